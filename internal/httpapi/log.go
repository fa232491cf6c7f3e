package httpapi

import (
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/identity"
)

// statusClientGone is how a request is logged and counted that failed because its
// client did not wait for the answer: it is no failure of the server's. nginx made
// the number known.
const statusClientGone = 499

// finish logs and counts a request that was answered.
func (s *server) finish(c *call, duration time.Duration) {
	method, status := c.loggedMethod(), c.writer.Status()
	if c.gone {
		status = statusClientGone
	}
	s.metrics.observe(c.pattern, method, status, duration)
	c.endSpan(method, status)

	// Below that level nothing is put together: a busy server logs no requests.
	level := slog.LevelInfo
	switch {
	case status >= http.StatusInternalServerError:
		level = levelOf(c.failure)
	case c.failure == nil && c.route != nil && c.route.probe:
		level = slog.LevelDebug
	}
	if !s.log.Enabled(c.context(), level) {
		return
	}

	attributes := make([]slog.Attr, 0, 12)
	attributes = append(attributes,
		slog.String("request_id", c.requestID), slog.String("method", method), slog.String("route", c.pattern),
		slog.Int("status", status), slog.Float64("duration_ms", milliseconds(duration)),
		slog.String("client", c.clientName()), slog.String("actor", c.caller.name()))
	if !c.caller.institution.IsZero() {
		attributes = append(attributes, slog.String("institution_id", c.caller.institution.String()))
	}
	if c.failure != nil {
		attributes = append(attributes, slog.String("code", string(escrow.ErrorCode(c.failure))))
		// What a refusal says may be the client's own text, which is not for logs. Why a token or a login is
		// refused is our own, or the provider's code.
		if status >= http.StatusInternalServerError {
			attributes = append(attributes, slog.String("error", c.failure.Error()))
		} else if reason := identity.Reason(c.failure); reason != "" {
			attributes = append(attributes, slog.String("reason", reason))
		}
	}
	attributes = append(attributes, c.traceAttributes()...)
	s.log.LogAttrs(c.context(), level, "request", attributes...)
}

// milliseconds returns a duration in milliseconds, to the microsecond.
func milliseconds(duration time.Duration) float64 { return float64(duration.Microseconds()) / 1000 }

// clientName is the client's address in logs; "unknown" where proxies tell none.
func (c *call) clientName() string {
	if !c.client.IsValid() {
		return "unknown"
	}
	return c.client.String()
}

// levelOf is the level at which a failure of the server is logged. An overloaded server
// has better things to do than to complain of each, and there is a metric; one that shuts
// down was told to; a journal that has lost entries, and an identity provider that is away,
// were logged when that was noticed.
func levelOf(failure error) slog.Level {
	calm := []escrow.Code{
		escrow.CodeOverloaded, escrow.CodeShuttingDown, escrow.CodeHistoryLost, codeProviderUnavailable,
	}
	if slices.Contains(calm, escrow.ErrorCode(failure)) {
		return slog.LevelInfo
	}
	return slog.LevelError
}

// methodOther stands for a method that is not known.
const methodOther = "other"

// loggedMethod is the request's method, or methodOther: clients make up methods, and
// labels and logs must not grow with them.
func (c *call) loggedMethod() string {
	known := []string{
		http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
		http.MethodOptions,
	}
	if slices.Contains(known, c.request.Method) {
		return c.request.Method
	}
	return methodOther
}
