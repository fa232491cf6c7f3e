package httpapi

import (
	"errors"
	"math"
	"net/http"
	"strconv"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// problem is the problem document of a request. An item of a batch has one without the
// request's id, see itemProblem.
type problem struct {
	web.ProblemMembers
	RequestID string         `json:"requestId" doc:"Names the request in the server's log."`
	Errors    []escrow.Fault `json:"errors,omitempty" doc:"Each fault of an invalid input."`
	DryRunMembers
	Results []batchResultView `json:"results,omitempty" doc:"What became of each item of an atomic batch that is refused." nullable:"false"`
}

// problemMembers tells a refusal in the members of any problem document.
func problemMembers(refusal *escrow.Error, kind ErrorKind) web.ProblemMembers {
	return web.ProblemMembers{
		Type:   "urn:escrowgrid:error:" + string(kind.Code),
		Title:  kind.Title,
		Status: kind.Status,
		Detail: refusal.Detail,
		Code:   string(kind.Code),
	}
}

// writeError answers an error. It never tells more than its code and detail.
func (c *call) writeError(err error) {
	c.failure = err

	// What is no refusal is for the log: its text may tell of the server's inside.
	refusal, ok := errors.AsType[*escrow.Error](err)
	if !ok {
		refusal = escrow.Errorf(escrow.CodeInternal, "Something went wrong on the server.")
	}
	kind := errorKind(refusal.Code)
	document := problem{
		ProblemMembers: problemMembers(refusal, kind),
		RequestID:      c.requestID,
		Errors:         refusal.Faults,
		Results:        viewRefusals(refusal.Items),
	}
	if c.dryRun {
		document.DryRunMembers = DryRunMembers{DryRun: true, JudgedOn: c.judgedOn}
	}

	if earlier, ok := errors.AsType[replayedError](err); ok {
		// The same answer once and for all includes whose answer it was.
		document.RequestID = earlier.requestID
		c.writer.Header().Set("Idempotent-Replayed", "true")
	}
	// What is refused for now says when to come again, at least a second later.
	switch kind.Status {
	case http.StatusServiceUnavailable, http.StatusTooManyRequests:
		c.writer.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(max(c.wait.Seconds(), 1)))))
	case http.StatusUnauthorized:
		c.writer.Header().Set("WWW-Authenticate",
			`Bearer realm="escrowgrid", ApiKey realm="escrowgrid", header="X-API-KEY"`)
	}

	if securityRelevant(kind) {
		c.noteSecurityEvent(kind.Code)
	}
	// What a dry run was told would have been refused was refused to nobody.
	if c.judgedOn == nil || securityRelevant(kind) {
		c.server.metrics.refusals.WithLabelValues(string(kind.Code)).Inc()
	}
	c.writer.Send(kind.Status, web.ContentTypeProblem, web.EncodeProblem(document))
}

// securityRelevant tells the refusals that are kept as security events: of somebody who is
// not known, may not do it, or does it too often.
func securityRelevant(kind ErrorKind) bool {
	switch kind.Status {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusTooManyRequests:
		return true
	}
	return false
}

// noteSecurityEvent keeps the refused attempt among the bounded security events.
func (c *call) noteSecurityEvent(code escrow.Code) {
	network := web.ClientNetwork(c.client)
	c.server.engine.NoteSecurityEvent(network, escrow.SecurityEvent{
		InstitutionID: c.caller.institution,
		Actor:         c.caller.name(),
		Code:          code,
		Method:        c.loggedMethod(),
		Path:          c.pattern,
		Client:        c.clientName(),
		RequestID:     c.requestID,
	})
}

// bodyRefusal turns the error of a body that cannot be read into a refusal.
func bodyRefusal(err error) error {
	if failed, ok := errors.AsType[*web.BodyError](err); ok {
		return escrow.Wrap(escrow.Code(failed.Code), failed.Unwrap(), failed.Detail)
	}
	return err
}

// detailOf returns what a client may read of an error.
func detailOf(err error) string {
	if refusal, ok := errors.AsType[*escrow.Error](err); ok {
		return refusal.Detail
	}
	return ""
}
