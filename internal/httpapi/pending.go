package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/jsonwriter"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// pendingView is something that is asked for of a position and waits for an approval. Its JSON is written by
// hand, as that of positions.
type pendingView struct {
	ID         escrow.ApprovalID `json:"id" doc:"Of the approval."`
	Permission escrow.Permission `json:"permission" doc:"What is asked for."`
	Amount     string            `json:"amount,omitempty" example:"250.00"`
	Currency   money.Code        `json:"currency,omitempty"`
}

// AppendJSON implements jsonwriter.Value.
func (v pendingView) AppendJSON(text []byte) []byte {
	o := jsonwriter.Begin(text)
	jsonwriter.Appender(&o, "id", v.ID)
	o.Word("permission", string(v.Permission))
	o.OptionalWord("amount", v.Amount)
	o.OptionalWord("currency", string(v.Currency))
	return o.End()
}

// idsOf returns the ids of what waits.
func idsOf(waiting []pendingView) string {
	ids := make([]string, len(waiting))
	for i, one := range waiting {
		ids[i] = one.ID.String()
	}
	return strings.Join(ids, " ")
}

// pendingByPosition is what waits, in the order in which it was asked for.
type pendingByPosition map[escrow.PositionID][]pendingView

// pendingOn returns what waits of some positions of one institution. Where nothing waits in the institution,
// nothing is read.
func (c *call) pendingOn(positions ...escrow.Position) (pendingByPosition, error) {
	var pending pendingByPosition
	if len(positions) == 0 {
		return pending, nil
	}
	subjects := make([]string, len(positions))
	for i, p := range positions {
		subjects[i] = p.ID.String()
	}
	found, err := c.server.engine.PendingOn(c.context(), positions[0].InstitutionID, subjects)
	if err != nil || len(found) == 0 {
		return pending, err
	}

	slices.SortFunc(found, func(a, b escrow.ApprovalSubject) int { return a.ApprovalID.Compare(b.ApprovalID) })
	pending = make(pendingByPosition)
	for _, s := range found {
		var id escrow.PositionID
		if err := id.UnmarshalText([]byte(s.Subject)); err != nil {
			return nil, err
		}
		view := pendingView{ID: s.ApprovalID, Permission: s.Permission}
		if s.Amount.Amount > 0 {
			view.Amount, view.Currency = s.Amount.Format(), s.Amount.Currency.Code
		}
		pending[id] = append(pending[id], view)
	}
	return pending, nil
}

// waitingPosition answers a position of which something waits. Its entity tag is another one than that of the
// same version without: If-Match reads both as the version.
func (c *call) waitingPosition(p escrow.Position, waiting []pendingView) (reply, error) {
	sum := sha256.New()
	for _, one := range waiting {
		sum.Write(one.AppendJSON(nil))
	}
	tag := web.ETagOf(p.Version, hex.EncodeToString(sum.Sum(nil)[:8]))

	if err := c.checkVersion(p.Version); err != nil {
		return reply{}, err
	}
	if web.NamesTag(c.request.Header["If-None-Match"], tag) {
		return reply{status: http.StatusNotModified, etag: tag}, nil
	}
	if err := c.reserveMemory(historySize(p)); err != nil {
		return reply{}, err
	}
	p, err := c.server.engine.WithEvents(c.context(), p)
	view := viewPosition(p)
	view.PendingApprovals = waiting
	return reply{status: http.StatusOK, body: view, etag: tag}, err
}
