package httpapi

import (
	"bytes"
	"encoding/base32"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"mime"
	"net/http"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// call is one request on its way to an answer.
type call struct {
	server    *server
	request   *http.Request
	writer    countingWriter
	requestID string
	client    netip.Addr
	span      trace.Span
	// pattern is the path's template, for logs, metrics and traces.
	pattern string
	caller  caller
	// failure is the error that was answered.
	failure error
	// gone says that the request failed after its client had gone.
	gone bool
	// wait is how long the client is to wait before it tries again.
	wait time.Duration
	// values are those of headers, which are lists in net/http: together they take one
	// allocation instead of one each.
	values     [6]string
	valuesUsed int
}

// setHeader sets a header of the answer, by its canonical name.
func (c *call) setHeader(name, value string) {
	if c.valuesUsed == len(c.values) {
		c.writer.Header().Set(name, value)
		return
	}
	i := c.valuesUsed
	c.valuesUsed++
	c.values[i] = value
	c.writer.Header()[name] = c.values[i:c.valuesUsed:c.valuesUsed]
}

// reply is what a handler answers. A body is encoded as JSON; raw is sent as it
// is, with the content type.
type reply struct {
	status      int
	body        any
	raw         []byte
	contentType string
	etag        string
	location    string
	// next is the path of what continues the answer.
	next     string
	replayed bool
}

func ok(body any) reply { return reply{status: http.StatusOK, body: body} }

// created answers what a command has made, and where it is.
func created(location string, body any, replayed bool) reply {
	return reply{status: http.StatusCreated, body: body, location: location, replayed: replayed}
}

// maxCountedBody is the size of the buffer within which net/http finds out the length
// of an answer itself.
const maxCountedBody = 2048

func (c *call) write(r reply) {
	if r.etag != "" {
		c.setHeader("Etag", r.etag)
	}
	if r.location != "" {
		c.setHeader("Location", r.location)
	}
	if r.next != "" {
		c.setHeader("Link", "<"+r.next+`>; rel="next"`)
	}
	if r.replayed {
		c.setHeader("Idempotent-Replayed", "true")
	}
	content, contentType := r.raw, r.contentType
	if r.body != nil {
		var err error
		if content, err = encode(r.body); err != nil {
			c.writeError(escrow.Wrap(escrow.CodeInternal, err, "Something went wrong on the server."))
			return
		}
		contentType = contentTypeJSON
	}
	if contentType != "" {
		c.setHeader("Content-Type", contentType)
	}
	if len(content) >= maxCountedBody || c.request.Method == http.MethodHead {
		c.setHeader("Content-Length", strconv.Itoa(len(content)))
	}
	c.writer.WriteHeader(r.status)
	if len(content) > 0 && c.request.Method != http.MethodHead {
		_, _ = c.writer.Write(content) // The client has gone; nobody is left to tell.
	}
}

// countingWriter remembers the status that was sent.
type countingWriter struct {
	http.ResponseWriter
	status int
}

func (w *countingWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// maxRequestID bounds a request id that is taken over.
const maxRequestID = 128

// requestID takes the client's request id over, where it is safe to log, or makes
// one.
func requestID(r *http.Request) string {
	for _, name := range []string{"X-Request-Id", "X-Correlation-Id"} {
		if id := r.Header.Get(name); id != "" && len(id) <= maxRequestID && !strings.ContainsFunc(id, unsafeInID) {
			return id
		}
	}
	var random [16]byte
	binary.NativeEndian.PutUint64(random[:8], rand.Uint64()) //nolint:gosec // It names a request, and opens nothing.
	binary.NativeEndian.PutUint64(random[8:], rand.Uint64()) //nolint:gosec // See above.
	var id [32]byte
	return string(requestIDs.AppendEncode(append(id[:0], "req_"...), random[:]))
}

// requestIDs writes 128 bits as 26 letters and digits.
var requestIDs = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func unsafeInID(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._:-", r))
}

// readBody returns a JSON body, or the refusal of one that is of another type,
// too large or too slow.
func (c *call) readBody() ([]byte, error) {
	if !isJSON(c.request.Header.Get("Content-Type")) {
		return nil, escrow.Errorf(codeUnsupportedMedia, "The body must be application/json.")
	}
	length := c.request.ContentLength
	if length > MaxBodySize {
		return nil, bodyTooLarge()
	}
	body := bytes.NewBuffer(make([]byte, 0, max(length, 0)+bytes.MinRead))
	_, err := body.ReadFrom(http.MaxBytesReader(c.writer.ResponseWriter, c.request.Body, MaxBodySize))
	if _, is := errors.AsType[*http.MaxBytesError](err); is {
		return nil, bodyTooLarge()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, escrow.Wrap(codeBodyTimeout, err, "The body did not arrive in time.")
	}
	if err != nil {
		return nil, escrow.Wrap(codeMalformedBody, err, "The body could not be read to its end.")
	}
	return body.Bytes(), nil
}

func isJSON(contentType string) bool {
	if contentType == contentTypeJSON {
		return true
	}
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	charset, hasCharset := parameters["charset"]
	return err == nil && mediaType == contentTypeJSON && (!hasCharset || strings.EqualFold(charset, "utf-8"))
}

func bodyTooLarge() error {
	return escrow.Errorf(codeBodyTooLarge, "The body has more than %d bytes.", MaxBodySize)
}
