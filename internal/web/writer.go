package web

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"strconv"
)

// Writer writes one answer and remembers its status.
type Writer struct {
	http.ResponseWriter
	status int
	isHead bool
}

// NewWriter returns a writer of the answer to a request.
func NewWriter(w http.ResponseWriter, r *http.Request) Writer {
	return Writer{ResponseWriter: w, isHead: r.Method == http.MethodHead}
}

// Status returns the status that was sent; 0 before that.
func (w *Writer) Status() int { return w.status }

// WriteHeader implements http.ResponseWriter.
func (w *Writer) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the connection.
func (w *Writer) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// securityHeaders are those of every answer, which pages replace some of. The lists are
// shared by all answers: a header is to be set anew, not added to.
var securityHeaders = http.Header{
	"X-Content-Type-Options":       {"nosniff"},
	"Cache-Control":                {"no-store"},
	"Content-Security-Policy":      {"default-src 'none'; frame-ancestors 'none'"},
	"X-Frame-Options":              {"DENY"},
	"Cross-Origin-Resource-Policy": {"same-origin"},
}

// Secure sets the headers that keep browsers from doing with an answer what they are not
// asked to: to guess its type, keep it, run it or show it within another page.
func (w *Writer) Secure() { maps.Copy(w.Header(), securityHeaders) }

// SecureHeader returns the headers that Secure sets.
func SecureHeader() http.Header { return securityHeaders.Clone() }

// SecurePage lets the browser show the answer as a page within a policy, and tell no
// other host about it.
func (w *Writer) SecurePage(policy string) {
	w.Header().Set("Content-Security-Policy", policy)
	w.Header().Set("Referrer-Policy", "no-referrer")
}

// maxCountedBody is the size of the buffer within which net/http finds out the length
// of an answer itself.
const maxCountedBody = 2048

// Send sends the answer. To HEAD it sends the headers alone, with the length that the
// content would have.
func (w *Writer) Send(status int, contentType string, content []byte) {
	if contentType != "" {
		w.Header().Set("Content-Type", contentType)
	}
	if len(content) >= maxCountedBody || w.isHead {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
	}

	w.WriteHeader(status)
	if len(content) > 0 && !w.isHead {
		_, _ = w.Write(content) // The client has gone; nobody is left to tell.
	}
}

// maxHeldBody bounds how much of a streamed answer is held back, in bytes. One that fits is sent
// like any other, with its length, and can still become an error.
const maxHeldBody = 64 << 10

// Stream sends an answer that write writes, piece by piece, so that a large one never is in
// memory as a whole. The error is that of write, before anything was sent. With one that comes
// later it panics: the connection must end, as the client would take a part for the whole.
func (w *Writer) Stream(status int, contentType string, write func(io.Writer) error) error {
	s := &bodyStream{writer: w, status: status, contentType: contentType}
	err := write(s)

	switch {
	case s.gone: // Nobody is left to tell.
	case err != nil && s.begun:
		panic(fmt.Errorf("after the answer had begun: %w", err))
	case err != nil:
		return err
	case w.isHead:
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Length", strconv.Itoa(s.length))
		w.WriteHeader(status)
	case !s.begun:
		w.Send(status, contentType, s.held)
	default:
		_, _ = w.Write(s.held) // The client has gone; nobody is left to tell.
	}
	return nil
}

// bodyStream is the body of an answer on its way.
type bodyStream struct {
	writer      *Writer
	status      int
	contentType string
	held        []byte
	// length is that of all that was written.
	length int
	// begun says that a part was sent, gone that the client did not take it.
	begun, gone bool
}

// Write implements io.Writer. It fails where the client has gone.
func (s *bodyStream) Write(piece []byte) (int, error) {
	s.length += len(piece)
	if s.writer.isHead {
		return len(piece), nil
	}
	if len(s.held)+len(piece) <= maxHeldBody {
		s.held = append(s.held, piece...)
		return len(piece), nil
	}

	if !s.begun {
		s.begun = true
		s.writer.Header().Set("Content-Type", s.contentType)
		s.writer.WriteHeader(s.status)
	}
	_, err := s.writer.Write(s.held)
	s.held = s.held[:0]
	if err == nil {
		_, err = s.writer.Write(piece)
	}
	s.gone = err != nil
	return len(piece), err
}
