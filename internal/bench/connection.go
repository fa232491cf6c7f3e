package bench

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
)

// connection is a connection over which one request goes after the other. It costs
// the machine a fraction of what net/http's client does, so that more of it is left
// for the server.
type connection struct {
	conn   net.Conn
	reader *bufio.Reader
	out    []byte
}

// request is what varies in the requests of a benchmark.
type request struct {
	method, path string
	// apiKey, idempotencyKey and ifNoneMatch are headers; "" leaves one out.
	apiKey, idempotencyKey, ifNoneMatch string
	body                                []byte
}

// reply is what is looked at of an answer.
type reply struct {
	status     int
	location   string
	retryAfter string
	body       []byte
}

func dial(ctx context.Context, address string) (*connection, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &connection{conn: conn, reader: bufio.NewReader(conn)}, nil
}

func (c *connection) close() { _ = c.conn.Close() }

// do sends a request and reads the answer.
func (c *connection) do(r request) (reply, error) {
	c.out = append(append(append(append(c.out[:0], r.method...), ' '), r.path...), " HTTP/1.1\r\nHost: bench\r\n"...)
	header := func(name, value string) {
		if value != "" {
			c.out = append(append(append(append(c.out, name...), ": "...), value...), "\r\n"...)
		}
	}
	header("X-API-KEY", r.apiKey)
	header("Idempotency-Key", r.idempotencyKey)
	header("If-None-Match", r.ifNoneMatch)
	if r.body != nil {
		header("Content-Type", "application/json")
		header("Content-Length", strconv.Itoa(len(r.body)))
	}
	c.out = append(append(c.out, "\r\n"...), r.body...)
	if _, err := c.conn.Write(c.out); err != nil {
		return reply{}, err
	}
	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()
	var body bytes.Buffer
	if response.ContentLength > 0 {
		body.Grow(int(response.ContentLength) + bytes.MinRead)
	}
	if _, err := io.Copy(&body, response.Body); err != nil {
		return reply{}, err
	}
	return reply{
		status: response.StatusCode, location: response.Header.Get("Location"), retryAfter: response.Header.Get("Retry-After"), body: body.Bytes(),
	}, nil
}

// errShed is work that an overloaded server refused: with 503, and a time after which
// to come again.
var errShed = errors.New("the server is overloaded")

// expect sends a request whose answer must have a status.
func (c *connection) expect(status int, r request) (reply, error) {
	answer, err := c.do(r)
	switch {
	case err != nil || answer.status == status:
		return answer, err
	case answer.status == http.StatusServiceUnavailable && answer.retryAfter != "":
		return answer, errShed
	}
	return answer, fmt.Errorf("%s %s: %d instead of %d: %s", r.method, r.path, answer.status, status, answer.body)
}
