package httpapi

import (
	"io"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// This file goes through what is held about a holder, some at a time, so that neither memory nor the database is held
// by an answer however long: the positions first, and then what was asked for and never made.

// holderData is what is held about a holder, on its way to a client.
type holderData struct {
	HolderDataFields
	call *call
	list listRequest
}

// heldApprovalView is what was asked for a holder, and not made.
type heldApprovalView struct {
	ID          escrow.ApprovalID     `json:"id"`
	Status      escrow.ApprovalStatus `json:"status" words:"approvalStatuses"`
	Command     jsontext.Value        `json:"command" doc:"What is asked for, of a batch only what is for the holder. Of the member type."`
	RequestedBy escrow.Actor          `json:"requestedBy" doc:"The maker: the id of an API key, a user or one of the operator's people, or root."`
	Approvals   []givenApprovalView   `json:"approvals" doc:"Those that were given, with what was said." nullable:"false"`
	Rejection   *rejectionView        `json:"rejection,omitempty"`
	Refusal     *approvalRefusalView  `json:"refusal,omitempty"`
	ExpiresAt   timestamp             `json:"expiresAt" doc:"Until when it waits, or has waited."`
	CreatedAt   timestamp             `json:"createdAt"`
	UpdatedAt   timestamp             `json:"updatedAt"`
}

// holderWalk is how far an answer has come.
type holderWalk struct {
	holderData

	started time.Time
	left    int // how many more are wanted
	// next is where another request goes on; nil while it is this one that does.
	next *escrow.Cursor
}

// The place of an approval is marked, so that it is none of a position: all ids are UUIDs of version 7, which bits of
// this byte say, and the other bits of it are those of the id.
const (
	markedByte = 6
	mark       = 0xf0
)

func markApproval(place escrow.Cursor) *escrow.Cursor {
	place[markedByte] ^= mark
	return &place
}

// isOfApproval reports whether a place is one of an approval.
func isOfApproval(place *escrow.Cursor) bool { return place != nil && place[markedByte]&mark != 0x70 }

// each calls functions with the positions of the holder and their events, and then with what was asked for and not
// made. It ends before the last where there are more than were wanted, or half of the request's time is over; the
// rest is that of another request.
func (d holderData) each(
	positions func([]escrow.Position) error, approvals func([]heldApprovalView) error,
) (pagination, error) {
	w := &holderWalk{holderData: d, started: time.Now(), left: d.list.page.Limit}
	after := d.list.page.After
	if isOfApproval(after) {
		after = markApproval(*after)
	} else {
		if err := w.eachPosition(after, positions); err != nil {
			return pagination{}, err
		}
		after = nil
	}
	if w.next == nil {
		if err := w.eachApproval(after, approvals); err != nil {
			return pagination{}, err
		}
	}

	where := pagination{Limit: d.list.page.Limit}
	if w.next != nil {
		next := d.list.cursorText(*w.next)
		where.HasMore, where.NextCursor = true, &next
	}
	return where, nil
}

// isOver reports whether the rest is that of another request.
func (w *holderWalk) isOver() bool {
	return w.left <= 0 || engine.IsHalfOver(w.call.context(), w.started)
}

func (w *holderWalk) eachPosition(after *escrow.Cursor, do func([]escrow.Position) error) error {
	filter := escrow.PositionFilter{HolderReference: w.HolderReference, WithEvents: true}
	page := escrow.PageRequest{After: after}
	for {
		page.Limit = min(w.left, escrow.MaxPageWithEvents)
		found, err := w.call.server.engine.Positions(w.call.context(), w.InstitutionID, filter, page)
		if err == nil {
			err = do(found.Items)
		}
		if err != nil {
			return err
		}

		w.left -= len(found.Items)
		if !found.More {
			return nil
		}
		page.After = new(positionCursor(found.Items[len(found.Items)-1]))
		if w.isOver() {
			w.next = page.After
			return nil
		}
	}
}

// heldAtOnce is how many approvals are read together: each with all that was said about it.
const heldAtOnce = 100

func (w *holderWalk) eachApproval(after *escrow.Cursor, do func([]heldApprovalView) error) error {
	page := escrow.PageRequest{After: after}
	for {
		// Where no more is wanted, it is still to be told whether there is more.
		over := w.isOver()
		page.Limit = min(max(w.left, 1), heldAtOnce)
		filter := escrow.ApprovalFilter{HolderReference: w.HolderReference}
		found, err := w.call.server.engine.Approvals(w.call.context(), w.InstitutionID, filter, page)
		if err != nil || len(found.Items) == 0 {
			return err
		}
		if over {
			if page.After == nil {
				page.After = new(escrow.Cursor)
			}
			w.next = markApproval(*page.After)
			return nil
		}

		views, err := w.call.viewHeld(found.Items, w.HolderReference)
		if err == nil {
			err = do(views)
		}
		if err != nil || !found.More {
			return err
		}
		w.left -= len(found.Items)
		page.After = new(approvalCursor(found.Items[len(found.Items)-1]))
	}
}

// viewHeld shows what approvals have of a holder. One that was erased since it was read has nothing.
func (c *call) viewHeld(approvals []escrow.Approval, holder string) (views []heldApprovalView, err error) {
	for _, a := range approvals {
		command, err := a.CreatedFor(holder)
		if err != nil {
			return nil, err
		}
		about, err := c.saidAbout(a.InstitutionID, a.ID)
		if err != nil {
			return nil, err
		}
		if command == nil {
			continue
		}

		view := heldApprovalView{
			ID:          a.ID,
			Status:      a.Status,
			Command:     command,
			RequestedBy: a.Maker,
			Approvals:   viewGiven(a.Given),
			Rejection:   about.rejection,
			Refusal:     (*approvalRefusalView)(a.Refusal),
			ExpiresAt:   timestamp(a.ExpiresAt),
			CreatedAt:   timestamp(a.CreatedAt),
			UpdatedAt:   timestamp(a.UpdatedAt),
		}
		about.addTo(view.Approvals)
		views = append(views, view)
	}
	return views, nil
}

// writeJSON writes a holderDataView with an end of line.
func (d holderData) writeJSON(w io.Writer) error {
	text, err := appendJSON(nil, d.HolderDataFields)
	if err != nil {
		return err
	}
	l := listWriter{to: w, text: append(text[:len(text)-len("}")], `,"positions":[`...)}
	inApprovals := false
	begin := func() {
		if !inApprovals {
			inApprovals, l.count = true, 0
			l.text = append(l.text, `],"approvals":[`...)
		}
	}

	where, err := d.each(func(positions []escrow.Position) error {
		pending, err := d.call.pendingOn(positions...)
		if err != nil {
			return err
		}
		for _, p := range positions {
			view := viewPosition(p)
			view.PendingApprovals = pending[p.ID]
			if err := l.write(view); err != nil {
				return err
			}
		}
		return nil
	}, func(approvals []heldApprovalView) error {
		begin()
		for _, view := range approvals {
			if err := l.write(view); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}

	begin()
	text, err = appendJSON(append(l.text, `],"pagination":`...), where)
	if err == nil {
		_, err = w.Write(append(text, "}\n"...))
	}
	return err
}

// listWriter writes the elements of an array, one after the other.
type listWriter struct {
	to    io.Writer
	text  []byte // what is still to be written
	count int
}

func (l *listWriter) write(value any) (err error) {
	if l.count > 0 {
		l.text = append(l.text, ',')
	}
	l.count++
	if l.text, err = appendJSON(l.text, value); err == nil {
		_, err = l.to.Write(l.text)
	}
	l.text = l.text[:0]
	return err
}
