package httpapi

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// patternUnreadable is the route in the log of what is no request. It counts among the errors,
// and not among the requests, whose statuses of 500 and more are the server's own failures.
const patternUnreadable = "unreadable"

// API is the handler of the whole API.
type API struct{ *server }

// Listener returns a listener for the server that has the API as its handler. What net/http
// refuses itself, because it is no request that it can read, is then answered with a problem
// document, logged and counted like any other refusal.
func (a *API) Listener(listener net.Listener) net.Listener {
	return web.AnswerUnreadable(listener, a.answerUnreadable)
}

// answerUnreadable is a web.Unreadable.
func (s *server) answerUnreadable(status int, client netip.Addr) (http.Header, []byte) {
	kind := unreadableKind(status)
	id := web.NewRequestID()
	s.metrics.refusals.WithLabelValues(string(kind.Code)).Inc()
	s.log.Info("request", slog.String("request_id", id), slog.String("method", methodOther),
		slog.String("route", patternUnreadable), slog.Int("status", status), slog.String("client", client.String()),
		slog.String("actor", escrow.ActorUnknown), slog.String("code", string(kind.Code)))

	header := web.SecureHeader()
	header.Set("Content-Type", web.ContentTypeProblem)
	header.Set("X-Request-Id", id)
	document := problem{
		ProblemMembers: problemMembers(&escrow.Error{Detail: kind.Meaning}, kind),
		RequestID:      id,
	}
	document.Status = status
	return header, web.EncodeProblem(document)
}

// unreadableKind finds the line of a status that net/http answers; any other is that of what
// it cannot read.
func unreadableKind(status int) ErrorKind {
	for _, code := range []escrow.Code{
		codeExpectationFailed, codeHeadersTooLarge, codeUnsupportedTransfer, codeUnsupportedVersion,
	} {
		if kind := errorKind(code); kind.Status == status {
			return kind
		}
	}
	return errorKind(codeMalformedRequest)
}
