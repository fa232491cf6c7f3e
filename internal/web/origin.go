package httpapi

import (
	"net/http"
	"slices"
)

// Cross-origin requests: a browser may call from the origins that are allowed.

// setOrigin answers the Origin of a request from a browser.
func (s *server) setOrigin(c *call) {
	origin := c.request.Header.Get("Origin")
	if len(s.config.AllowedOrigins) == 0 {
		return
	}
	header := c.writer.Header()
	header.Add("Vary", "Origin")
	if !s.allowsOrigin(origin) {
		return
	}
	header.Set("Access-Control-Allow-Origin", origin)
	header.Set("Access-Control-Expose-Headers", "Content-Disposition, ETag, Idempotent-Replayed, Link, Location, Retry-After, X-Request-Id")
	header.Set("Cross-Origin-Resource-Policy", "cross-origin")
}

func (s *server) allowsOrigin(origin string) bool {
	return origin != "" && (slices.Contains(s.config.AllowedOrigins, "*") || slices.Contains(s.config.AllowedOrigins, origin))
}

// answerPreflight answers a browser's question whether it may send a request; it
// carries no key.
func (s *server) answerPreflight(c *call) bool {
	if c.request.Method != http.MethodOptions || c.request.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	if s.allowsOrigin(c.request.Header.Get("Origin")) {
		header := c.writer.Header()
		header.Set("Access-Control-Allow-Methods", "GET, HEAD, POST, PUT")
		header.Set("Access-Control-Allow-Headers",
			"Authorization, Content-Type, Idempotency-Key, If-Match, If-None-Match, X-API-KEY, X-Correlation-Id, X-Request-Id")
		header.Set("Access-Control-Max-Age", "600")
	}
	c.pattern = "preflight"
	c.writer.WriteHeader(http.StatusNoContent)
	return true
}
