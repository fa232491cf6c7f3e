package httpapi

import (
	_ "embed" // for the page
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

//go:embed assets/holder.html.tmpl
var holderText string

var holderPage = newPage("holder", holderText)

// shownHolder is the beginning and the end of a page about a holder.
type shownHolder struct {
	holderData
	Institution escrow.Institution
	// Continues says that the page begins in the middle.
	Continues bool
	// Next is the path of the rest, where there is one.
	Next string
	pageFormats
}

// shownHolding is one position on the page, with what it is a claim on.
type shownHolding struct {
	positionView
	Asset string
	pageFormats
}

// shownAsking is something on the page that was asked for and not made.
type shownAsking struct {
	heldApprovalView
	pageFormats
}

// writePage writes a page that needs no other file, position by position.
func (d holderData) writePage(w io.Writer, of escrow.Institution, zone *time.Location) error {
	page := shownHolder{
		holderData: d, Institution: of, Continues: d.list.page.After != nil, pageFormats: pageFormats{zone},
	}
	if err := holderPage.ExecuteTemplate(w, "begin", page); err != nil {
		return err
	}

	where, err := d.each(func(positions []escrow.Position) error {
		claims, err := d.claims(positions)
		if err != nil {
			return err
		}
		for _, p := range positions {
			holding := shownHolding{viewPosition(p), claims[p.ID].AssetLabel, page.pageFormats}
			if err := holderPage.ExecuteTemplate(w, "position", holding); err != nil {
				return err
			}
		}
		return nil
	}, func(approvals []heldApprovalView) error {
		for _, view := range approvals {
			if err := holderPage.ExecuteTemplate(w, "approval", shownAsking{view, page.pageFormats}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}

	if where.NextCursor != nil {
		page.Next = d.call.pathWith("cursor", *where.NextCursor)
	}
	return holderPage.ExecuteTemplate(w, "end", page)
}

// claims returns what positions are claims on.
func (d holderData) claims(positions []escrow.Position) (map[escrow.PositionID]escrow.Claim, error) {
	ids, claims := make([]escrow.PositionID, len(positions)), make(map[escrow.PositionID]escrow.Claim, len(positions))
	for i, p := range positions {
		ids[i] = p.ID
	}
	return claims, d.call.server.engine.Claims(d.call.context(), d.InstitutionID, ids, claims)
}

// Steps returns the events of the position.
func (h shownHolding) Steps() []positionEventView {
	if h.Events == nil {
		return nil
	}
	return *h.Events
}

// Count is how many positions the holder has, with the thousands apart.
func (s shownHolder) Count() string { return s.Figure(strconv.FormatInt(s.PositionCount, 10)) }

// PaidIn is the balance of the account that money comes from, as people count it.
func (shownHolder) PaidIn(balance string) string { return strings.TrimPrefix(balance, "-") }
