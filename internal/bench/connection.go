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

// connection sends one HTTP request after the other over one TCP connection. It costs
// the machine a fraction of what net/http's client does, and so leaves more of it to
// the server.
type connection struct {
	conn   net.Conn
	reader *bufio.Reader
	// out is the request that is being written; its memory is used again.
	out []byte
}

// request is what varies in the requests of a benchmark.
type request struct {
	method, path string
	// apiKey, idempotencyKey and ifNoneMatch are headers; "" leaves one out.
	apiKey, idempotencyKey, ifNoneMatch string
	body                                []byte
}

// reply is what the benchmarks need of an answer.
type reply struct {
	status     int
	location   string
	retryAfter string
	body       []byte
}

// dial connects to an address.
func dial(ctx context.Context, address string) (*connection, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &connection{conn: conn, reader: bufio.NewReader(conn)}, nil
}

func (c *connection) close() { _ = c.conn.Close() }

// do sends a request and reads the whole answer, whatever its status is.
func (c *connection) do(r request) (reply, error) {
	c.write(r)
	if _, err := c.conn.Write(c.out); err != nil {
		return reply{}, err
	}

	response, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		return reply{}, err
	}
	defer response.Body.Close()

	// With room for the end of the input, reading the body takes one allocation.
	var body bytes.Buffer
	if response.ContentLength > 0 {
		body.Grow(int(response.ContentLength) + bytes.MinRead)
	}
	if _, err := io.Copy(&body, response.Body); err != nil {
		return reply{}, err
	}

	return reply{
		status:     response.StatusCode,
		location:   response.Header.Get("Location"),
		retryAfter: response.Header.Get("Retry-After"),
		body:       body.Bytes(),
	}, nil
}

// write puts a request into c.out.
func (c *connection) write(r request) {
	c.out = append(append(append(c.out[:0], r.method...), ' '), r.path...)
	c.out = append(c.out, " HTTP/1.1\r\nHost: bench\r\n"...)

	c.writeHeader("X-API-KEY", r.apiKey)
	c.writeHeader("Idempotency-Key", r.idempotencyKey)
	c.writeHeader("If-None-Match", r.ifNoneMatch)
	if r.body != nil {
		c.writeHeader("Content-Type", "application/json")
		c.writeHeader("Content-Length", strconv.Itoa(len(r.body)))
	}
	c.out = append(append(c.out, "\r\n"...), r.body...)
}

// writeHeader appends a header to c.out, unless its value is empty.
func (c *connection) writeHeader(name, value string) {
	if value != "" {
		c.out = append(append(append(append(c.out, name...), ": "...), value...), "\r\n"...)
	}
}

// errShed says that an overloaded server refused a piece of work, with status 503 and a
// Retry-After.
var errShed = errors.New("the server is overloaded")

// expect sends a request, and returns an error unless the answer has a status. The error is
// errShed when the server is overloaded.
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
