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

// RequestID returns the id that the client gives its request, in X-Request-Id or
// X-Correlation-Id, where it is safe to log; otherwise one that it makes.
func RequestID(r *http.Request) string {
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
