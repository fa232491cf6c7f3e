package web

import (
	"net/http"
	"slices"
)

// CrossOrigin is what a browser may do that shows a page of another origin. The zero
// value lets it do nothing.
type CrossOrigin struct {
	// Origins may send requests, as "https://console.example.com"; "*" is any.
	Origins []string
	// Methods and RequestHeaders are what their requests may have, AnswerHeaders what
	// they may read of the answers; all separated by commas.
	Methods, RequestHeaders, AnswerHeaders string
}

// Answer sets the headers of an answer to a request that may come from a browser.
func (c *CrossOrigin) Answer(w *Writer, r *http.Request) {
	if len(c.Origins) == 0 {
		return
	}
	// A cache must not give one origin what was meant for another.
	w.Header().Add("Vary", "Origin")

	origin := r.Header.Get("Origin")
	if !c.allows(origin) {
		return
	}
	w.Header().Set("Access-Control-Allow-Origin", origin)
	w.Header().Set("Access-Control-Expose-Headers", c.AnswerHeaders)
	w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
}

func (c *CrossOrigin) allows(origin string) bool {
	return origin != "" && (slices.Contains(c.Origins, "*") || slices.Contains(c.Origins, origin))
}

// AnswerPreflight answers a browser's question whether it may send a request, which
// carries no key, and reports whether the request was one.
func (c *CrossOrigin) AnswerPreflight(w *Writer, r *http.Request) bool {
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}

	if c.allows(r.Header.Get("Origin")) {
		w.Header().Set("Access-Control-Allow-Methods", c.Methods)
		w.Header().Set("Access-Control-Allow-Headers", c.RequestHeaders)
		w.Header().Set("Access-Control-Max-Age", "600") // seconds
	}
	w.WriteHeader(http.StatusNoContent)
	return true
}
