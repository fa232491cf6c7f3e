package httpapi

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// What the cookies are called, without their prefix.
const (
	sessionCookie = "escrowgrid"
	loginCookie   = "escrowgrid-login"
)

// hostPrefix has browsers refuse a cookie that is not this host's own, or could go over plain HTTP.
const hostPrefix = "__Host-"

// consoleHeader is what only a page of ours can add to a request: a form cannot, and a script of
// another origin would have to ask first.
const consoleHeader = "X-EscrowGrid-Console"

// isPlain reports whether browsers reach the server over plain HTTP, which they do on the same machine
// alone.
func (s *server) isPlain(r *http.Request) bool {
	if s.config.PublicURL != "" {
		return strings.HasPrefix(s.config.PublicURL, "http://")
	}
	return r.TLS == nil && isLoopback(r.Host)
}

// isLoopback reports whether a host, with or without a port, is the machine itself.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	address, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && address.IsLoopback()
}

func (s *server) cookieName(r *http.Request, name string) string {
	if s.isPlain(r) {
		return name
	}
	return hostPrefix + name
}

// setCookie has the browser keep a cookie until a time; a time that is past has it forget it.
func (c *call) setCookie(name, value string, ends time.Time) {
	cookie := &http.Cookie{ //nolint:gosec // It is Secure wherever browsers come by https.
		Name:     c.server.cookieName(c.request, name),
		Value:    value,
		Path:     "/",
		MaxAge:   max(int(ends.Sub(c.server.engine.Now()).Seconds()), 0),
		Secure:   !c.server.isPlain(c.request),
		HttpOnly: true,
		SameSite: http.SameSiteLaxMode,
	}
	if cookie.MaxAge == 0 {
		cookie.MaxAge = -1
	}
	http.SetCookie(&c.writer, cookie)
}

// forgetCookie has the browser forget a cookie.
func (c *call) forgetCookie(name string) { c.setCookie(name, "", time.Time{}) }

// forgetSession has the browser forget the session that it has shown, and what that one read.
func (c *call) forgetSession() {
	c.forgetCookie(sessionCookie)
	c.forgetPages()
}

// forgetPages has the browser forget what it was shown: to go back to, browsers keep whole pages,
// those with no-store too.
func (c *call) forgetPages() { c.writer.Header().Set("Clear-Site-Data", `"cache"`) }

// checkOrigin refuses what a page of somebody else has a browser send with the cookie of a session.
// Whoever follows a link to here may read: that changes nothing, and no other page sees it.
func (s *server) checkOrigin(r *http.Request) error {
	isCommand := web.IsCommand(r.Method)
	header := r.Header
	if header.Get("Sec-Fetch-Site") == "cross-site" && (isCommand || header.Get("Sec-Fetch-Mode") != "navigate") {
		return escrow.Errorf(codeOriginNotAllowed, "A session is not for requests from pages of other sites.")
	}
	if !isCommand {
		return nil
	}

	if origins := header["Origin"]; len(origins) != 1 || !s.isOurs(origins[0], r) {
		return escrow.Errorf(codeOriginNotAllowed,
			"With a session, what changes something takes an Origin header, which must be that of this server.")
	}
	if header.Get(consoleHeader) != "1" {
		return escrow.Errorf(codeOriginNotAllowed,
			"With a session, what changes something takes the header %s: 1.", consoleHeader)
	}
	return nil
}

// isOurs reports whether an origin is that of this server: PUBLIC_URL or, without, the host that the
// request is for. A browser sends its cookie to no other.
func (s *server) isOurs(origin string, r *http.Request) bool {
	if s.config.PublicURL != "" {
		return origin == s.config.PublicURL
	}
	return strings.EqualFold(origin, "https://"+r.Host) || isLoopback(r.Host) && strings.EqualFold(origin, "http://"+r.Host)
}
