package web

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// MaxBodySize bounds a request's body, in bytes.
const MaxBodySize = 1 << 20

// The codes of a BodyError.
const (
	CodeMalformedBody    = "malformed_body"
	CodeBodyTimeout      = "body_timeout"
	CodeBodyTooLarge     = "body_too_large"
	CodeUnsupportedMedia = "unsupported_media_type"
)

// BodyError is why a body was not read as JSON: a code, a sentence for the client that
// repeats nothing of the body, and the cause, for the log alone.
type BodyError struct {
	Code, Detail string
	cause        error
}

// Error implements error.
func (e *BodyError) Error() string {
	if e.cause == nil {
		return e.Detail
	}
	return e.Detail + ": " + e.cause.Error()
}

// Unwrap returns the cause, which may be nil.
func (e *BodyError) Unwrap() error { return e.cause }

// ReadBody returns the body of a request, which must be declared as JSON. The error is a
// *BodyError: the body is of another type, has more than MaxBodySize bytes, or did not
// arrive whole or in time.
func ReadBody(w *Writer, r *http.Request) ([]byte, error) {
	// Of two types it would be open which one the body has.
	if types := r.Header.Values("Content-Type"); len(types) != 1 || !isTaken(types[0], r.Method) {
		return nil, &BodyError{Code: CodeUnsupportedMedia, Detail: "The body must be " + takenType(r.Method) + "."}
	}
	if isEncoded(r.Header.Values("Content-Encoding")) {
		// RFC 9110, section 15.5.16: the answer says which codings are taken.
		w.Header().Set("Accept-Encoding", "identity")
		detail := "The body must have no content coding, such as gzip."
		return nil, &BodyError{Code: CodeUnsupportedMedia, Detail: detail}
	}
	if r.ContentLength > MaxBodySize {
		return nil, bodyTooLarge()
	}

	// net/http is told by its own writer when a body is too large: it closes the
	// connection then.
	body := bytes.NewBuffer(make([]byte, 0, max(r.ContentLength, 0)+bytes.MinRead))
	_, err := body.ReadFrom(http.MaxBytesReader(w.ResponseWriter, r.Body, MaxBodySize))
	if _, is := errors.AsType[*http.MaxBytesError](err); is {
		return nil, bodyTooLarge()
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, &BodyError{Code: CodeBodyTimeout, Detail: "The body did not arrive in time.", cause: err}
	}
	if err != nil {
		return nil, &BodyError{Code: CodeMalformedBody, Detail: "The body could not be read to its end.", cause: err}
	}

	return body.Bytes(), nil
}

// HasNoBody reports whether a request has no body, or an empty one. Where its length is not told, the beginning is
// read, and put back.
func HasNoBody(r *http.Request) bool {
	if r.ContentLength >= 0 {
		return r.ContentLength == 0
	}
	reader := bufio.NewReaderSize(r.Body, bytes.MinRead)
	_, err := reader.Peek(1)
	r.Body = struct {
		io.Reader
		io.Closer
	}{reader, r.Body}
	return errors.Is(err, io.EOF)
}

// takenType is the media type of the bodies that a method takes. A PATCH is JSON Merge Patch
// (RFC 7396), which many clients declare as plain JSON.
func takenType(method string) string {
	if method == http.MethodPatch {
		return ContentTypeMergePatch
	}
	return ContentTypeJSON
}

// isTaken reports whether a content type is one that a method takes.
func isTaken(contentType, method string) bool {
	if contentType == ContentTypeJSON {
		return true
	}
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	charset, hasCharset := parameters["charset"]
	return err == nil && (mediaType == ContentTypeJSON || mediaType == takenType(method)) &&
		(!hasCharset || strings.EqualFold(charset, "utf-8"))
}

// isEncoded reports whether Content-Encoding names a coding; identity is none.
func isEncoded(codings []string) bool {
	return slices.ContainsFunc(codings, func(coding string) bool {
		return !strings.EqualFold(strings.TrimSpace(coding), "identity")
	})
}

func bodyTooLarge() error {
	return &BodyError{Code: CodeBodyTooLarge, Detail: fmt.Sprintf("The body has more than %d bytes.", MaxBodySize)}
}

// malformed tells where the JSON breaks, without repeating what is there.
func malformed(err error) error {
	if syntax, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		detail := fmt.Sprintf("The body is not valid JSON, at byte %d.", syntax.ByteOffset)
		return &BodyError{Code: CodeMalformedBody, Detail: detail, cause: err}
	}
	return &BodyError{Code: CodeMalformedBody, Detail: "The body is not valid JSON.", cause: err}
}
