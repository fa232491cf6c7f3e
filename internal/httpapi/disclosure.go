package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/disclosure"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/translog"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// disclosureQuery says what is disclosed.
type disclosureQuery struct {
	tenantQuery
	Sequence int64    `query:"sequence" doc:"Of the entry, which is one on the position." minimum:"1" required:"true" example:"11"`
	Members  []string `query:"members" doc:"The private members whose values are disclosed; none when left out." words:"members" maxItems:"10"`
}

// disclosureView is the file, for the API's description.
type disclosureView struct {
	Format     string                 `json:"format" enum:"escrowgrid-disclosure"`
	Version    int64                  `json:"version" doc:"Of the format." minimum:"1"`
	Entry      string                 `json:"entry" doc:"The entry as it is stored: a JSON object, whose bytes in UTF-8 are hashed as they are."`
	Members    map[string]openingView `json:"members" doc:"The values that are disclosed, by member."`
	Proof      []translog.Hash        `json:"proof" nullable:"false" doc:"The audit path of RFC 6962, 2.1.1, from the entry to the checkpoint's root hash, in base64."`
	Checkpoint string                 `json:"checkpoint" doc:"The first checkpoint that covers the entry, as it was signed: a C2SP signed note."`
}

var disclosePositionEntryOperation = operation{
	Operation: web.Operation{
		ID: "disclosePositionEntry", Tag: "Transparency log", Summary: "Disclose one entry on a position",
		Query: disclosureQuery{}, Answer: disclosureView{}, AnswerHeaders: headers{fileHeader},
	},
	refusals: codes{
		escrow.CodePositionNotFound, escrow.CodeEntryNotFound, escrow.CodeDataErased, escrow.CodeCheckpointPending,
	},
}

// disclosePositionEntry answers a file that shows one entry on a position, the chosen private values
// of it, and the proof that the entry is in the journal: to somebody who is to see nothing else.
func (s *server) disclosePositionEntry(c *call) (reply, error) {
	query := queryOf[disclosureQuery](c)
	known := escrow.PrivateMembersOfPositions()
	members := wordsOf(&c.faults, "members", query.Members, known,
		"must be private members of positions: "+strings.Join(known, ", "))
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}
	id, err := pathID[escrow.PositionID](c, "id", escrow.CodePositionNotFound)
	if err != nil {
		return reply{}, err
	}

	entry, err := c.entryOn(institution, id, query.Sequence)
	if err != nil {
		return reply{}, err
	}
	if err := checkDisclosed(entry, members); err != nil {
		return reply{}, err
	}
	checkpoint, proof, err := s.config.TransparencyLog.Covered(c.context(), institution, entry.Sequence)
	if err != nil {
		return reply{}, err
	}

	content, err := s.disclosureOf(c.context(), disclosure.Disclosure{
		Body:    entry.Body,
		Members: entry.Openings().Only(members),
		Proof:   proof.Proof,
		Note:    checkpoint.Note,
	})
	c.offer(fmt.Sprintf("disclosure-%s-%d.json", id, entry.Sequence))
	return reply{status: http.StatusOK, raw: content, contentType: web.ContentTypeJSON}, err
}

// entryOn returns the entry of a sequence, which must be one on a position.
func (c *call) entryOn(
	institution escrow.InstitutionID, id escrow.PositionID, sequence int64,
) (escrow.Entry, error) {
	if _, err := c.position(institution, id); err != nil {
		return escrow.Entry{}, err
	}

	page := escrow.PageRequest{Limit: 1, After: new(escrow.SequenceCursor(sequence - 1))}
	entries, err := c.server.engine.Entries(c.context(), institution, escrow.EntryFilter{Subject: id.String()}, page)
	if err != nil {
		return escrow.Entry{}, err
	}
	if len(entries.Items) == 0 || entries.Items[0].Sequence != sequence {
		return escrow.Entry{}, escrow.Errorf(escrow.CodeEntryNotFound,
			"Entry %d is none on the position; its events tell which are.", sequence)
	}
	return entries.Items[0], nil
}

// checkDisclosed refuses to disclose what an entry does not have, or has no more.
func checkDisclosed(entry escrow.Entry, members []string) error {
	has, gone := entry.PrivateMembers(), entry.Unknown()
	isForeign := func(member string) bool {
		return !slices.ContainsFunc(has, func(path string) bool { return escrow.NamesMember([]string{member}, path) })
	}
	if slices.ContainsFunc(members, isForeign) {
		var faults escrow.Faults
		if len(has) == 0 {
			faults.Add("members", "must be left out: the entry has no private member")
		}
		faults.Add("members", "must be private members that the entry has: %s", strings.Join(has, ", "))
		return faults.Err()
	}

	erased := slices.DeleteFunc(gone, func(path string) bool { return !escrow.NamesMember(members, path) })
	if len(erased) > 0 {
		return escrow.Errorf(escrow.CodeDataErased,
			"What the entry had of this was erased: %s.", strings.Join(erased, ", "))
	}
	return nil
}

// disclosureOf returns a disclosure as it is written. One that would not verify is no answer, but a
// fault of the database.
func (s *server) disclosureOf(ctx context.Context, d disclosure.Disclosure) ([]byte, error) {
	stored, err := s.config.TransparencyLog.Keys(ctx)
	if err != nil {
		return nil, err
	}
	keys := make([]string, len(stored))
	for i, key := range stored {
		keys[i] = key.VerifierKey
	}

	trusted, err := translog.NewVerifiers(keys...)
	if err == nil {
		_, err = d.Verify(trusted)
	}
	if err != nil {
		return nil, fmt.Errorf("disclosure: %w", err)
	}
	return d.Text()
}
