package web

import (
	"encoding/base32"
	"encoding/binary"
	"math/rand/v2"
	"net/http"
	"strings"
)

// maxRequestID bounds a request id that is taken over.
const maxRequestID = 128

// RequestID returns the id that the client gives its request, once, in X-Request-Id or
// X-Correlation-Id, where it is safe to log; otherwise one that it makes.
func RequestID(r *http.Request) string {
	for _, name := range []string{"X-Request-Id", "X-Correlation-Id"} {
		given := r.Header.Values(name)
		if len(given) == 1 && isRequestID(given[0]) {
			return given[0]
		}
	}
	return NewRequestID()
}

// NewRequestID makes an id for a request that has none.
func NewRequestID() string {
	var random [16]byte
	binary.NativeEndian.PutUint64(random[:8], rand.Uint64()) //nolint:gosec // It names a request, and opens nothing.
	binary.NativeEndian.PutUint64(random[8:], rand.Uint64()) //nolint:gosec // See above.
	var id [32]byte
	return string(requestIDs.AppendEncode(append(id[:0], "req_"...), random[:]))
}

// requestIDs writes 128 bits as 26 letters and digits.
var requestIDs = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

func isRequestID(id string) bool {
	return id != "" && len(id) <= maxRequestID && !strings.ContainsFunc(id, unsafeInID)
}

func unsafeInID(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._:-", r))
}
