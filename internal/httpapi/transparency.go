package httpapi

import (
	"crypto/sha256"
	"encoding/base64"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/journallog"
	"github.com/escrowgrid/escrowgrid/internal/translog"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// checkpointKeyView is a key that checkpoints are verified with.
type checkpointKeyView struct {
	VerifierKey string    `json:"verifierKey" doc:"The public key: name+hash+base64, as C2SP signed notes and golang.org/x/mod/sumdb/note have it." example:"escrowgrid+3f1c8a2e+AZ…"`
	Algorithm   string    `json:"algorithm" words:"algorithms"`
	Current     bool      `json:"current" doc:"Whether this server signs with it; others are for the checkpoints of their time."`
	CreatedAt   timestamp `json:"createdAt" doc:"When a server first signed with it."`
}

// journalEntryView is an entry with the bytes that are hashed.
type journalEntryView struct {
	Sequence int64          `json:"sequence" doc:"The entry's place in the journal, from 1; it is leaf sequence-1 of the tree."`
	ID       escrow.EntryID `json:"id"`
	Kind     escrow.Kind    `json:"kind"`
	At       timestamp      `json:"at"`
	Body     string         `json:"body" doc:"The entry as it is stored: a JSON object, whose bytes in UTF-8 are hashed as they are."`
	LeafHash translog.Hash  `json:"leafHash" doc:"SHA-256 of a zero byte and the body (RFC 6962), in base64."`
	// Private is nil where it was not asked for.
	Private map[string]openingView `json:"private,omitempty" doc:"With include=private, the values that the body has commitments to, by member; those that were erased are left out."`
}

// openingView is a private value with what shows that it is the one that was committed to.
type openingView struct {
	Salt  string `json:"salt" doc:"32 bytes in base64url."`
	Value string `json:"value" doc:"A text; of metadata, the JSON as it was sent. The commitment is the SHA-256 of a byte 2, the salt and this text in UTF-8."`
}

// journalQuery is the parameters of the list of a journal.
type journalQuery struct {
	listQuery
	Include string `query:"include" doc:"private adds the private values to the entries." enum:"private"`
}

// checkpointView is a checkpoint with what a client would read out of its note.
type checkpointView struct {
	Origin   string        `json:"origin" doc:"Names the log: the operator's name for it, a slash and the institution's id."`
	Size     int64         `json:"size" doc:"How many entries it covers: those of the sequences 1 to size."`
	RootHash translog.Hash `json:"rootHash" doc:"The root of the Merkle tree over them (RFC 6962), in base64."`
	At       timestamp     `json:"at"`
	Note     string        `json:"note" doc:"The checkpoint as it was signed: a C2SP signed note. The other members repeat parts of it."`
}

// inclusionProofView is the proof that an entry is in a tree.
type inclusionProofView struct {
	Sequence int64           `json:"sequence"`
	Size     int64           `json:"size"`
	LeafHash translog.Hash   `json:"leafHash" doc:"Of the entry, in base64."`
	RootHash translog.Hash   `json:"rootHash" doc:"Of the tree of this size, in base64: compare it with that of a checkpoint that you trust."`
	Proof    []translog.Hash `json:"proof" nullable:"false" doc:"The audit path of RFC 6962, 2.1.1, from the leaf's neighbour up, in base64."`
}

// consistencyProofView is the proof that a tree is the beginning of another.
type consistencyProofView struct {
	From         int64           `json:"from"`
	To           int64           `json:"to"`
	FromRootHash translog.Hash   `json:"fromRootHash" doc:"Of the tree of the size from, in base64."`
	ToRootHash   translog.Hash   `json:"toRootHash" doc:"Of the tree of the size to, in base64."`
	Proof        []translog.Hash `json:"proof" nullable:"false" doc:"The consistency proof of RFC 6962, 2.1.2, in base64."`
}

// checkpointQuery, and the queries of proofs, name trees by their size.
type checkpointQuery struct {
	Size *int64 `query:"size" doc:"The checkpoint of this many entries; the latest when left out." minimum:"0"`
}

type inclusionQuery struct {
	Sequence int64  `query:"sequence" doc:"Of the entry." minimum:"0" required:"true" example:"1"`
	Size     *int64 `query:"size" doc:"Of the tree; that of the latest checkpoint when left out." minimum:"0"`
}

type consistencyQuery struct {
	From int64  `query:"from" doc:"The size of the earlier tree." minimum:"0" required:"true" example:"1"`
	To   *int64 `query:"to" doc:"The size of the later tree; that of the latest checkpoint when left out." minimum:"0"`
}

// viewCheckpoint shows a checkpoint.
func viewCheckpoint(c journallog.Checkpoint) checkpointView {
	return checkpointView{
		Origin:   c.Origin,
		Size:     c.Size,
		RootHash: c.Root,
		At:       timestamp(c.At),
		Note:     string(c.Note),
	}
}

// checkpointCursor is a checkpoint's place in a list: a journal has one of each size.
func checkpointCursor(c journallog.Checkpoint) escrow.Cursor { return escrow.SequenceCursor(c.Size) }

// viewJournalEntry shows an entry with its hash, which a client can make of the body.
func viewJournalEntry(e escrow.Entry) journalEntryView {
	return journalEntryView{
		Sequence: e.Sequence,
		ID:       e.ID,
		Kind:     e.Kind,
		At:       timestamp(e.At),
		Body:     string(e.Body),
		LeafHash: translog.LeafHash(e.Body),
	}
}

// viewOpenedEntry is viewJournalEntry with the private values.
func viewOpenedEntry(e escrow.Entry) journalEntryView {
	view := viewJournalEntry(e)
	for member, opening := range e.Openings() {
		if view.Private == nil {
			view.Private = make(map[string]openingView)
		}
		view.Private[member] = openingView{base64.RawURLEncoding.EncodeToString(opening.Salt[:]), opening.Value}
	}
	return view
}

// viewCheckpointKey shows a key that checkpoints are verified with.
func viewCheckpointKey(k journallog.Key) checkpointKeyView {
	return checkpointKeyView{
		VerifierKey: k.VerifierKey,
		Algorithm:   translog.Algorithm,
		Current:     k.Current,
		CreatedAt:   timestamp(k.CreatedAt),
	}
}

// checkpointKeyCursor is a key's place: it has no id, but a hash.
func checkpointKeyCursor(k journallog.Key) escrow.Cursor {
	hash := sha256.Sum256([]byte(k.VerifierKey))
	return escrow.Cursor(hash[:len(escrow.Cursor{})])
}

var listCheckpointKeysOperation = operation{
	Operation: web.Operation{
		ID: "listCheckpointKeys", Tag: "Transparency log", Summary: "List the keys that sign checkpoints",
		Query: listQuery{}, Answer: listView[checkpointKeyView]{},
	},
}

// listCheckpointKeys answers the public keys that have signed checkpoints. It takes no key:
// auditors are no callers of ours.
func (s *server) listCheckpointKeys(c *call) (reply, error) {
	list := queryOf[listQuery](c).read(&c.faults, "keys")
	// No tenant is asked for, which elsewhere reports the faults.
	if err := c.faults.Err(); err != nil {
		return reply{}, err
	}

	// There are as many keys as there ever were: few enough to be read at once.
	keys, err := s.config.TransparencyLog.Keys(c.context())
	page := pageOf(keys, list, func(k journallog.Key) time.Time { return k.CreatedAt }, checkpointKeyCursor)
	return listed(list, page, viewCheckpointKey, checkpointKeyCursor), err
}

var listJournalOperation = operation{
	Operation: web.Operation{
		ID: "listJournal", Tag: "Transparency log", Summary: "List the journal as it is hashed",
		Query: journalQuery{}, Answer: listView[journalEntryView]{},
	},
}

// listJournal answers the entries as they are stored, so that a client can hash them
// itself. The body is a string of JSON in JSON: as an object, a client's parser could change
// its bytes.
func (s *server) listJournal(c *call) (reply, error) {
	query := queryOf[journalQuery](c)
	list, view := query.read(&c.faults, "journal"), viewJournalEntry
	switch query.Include {
	case "":
	case "private":
		view = viewOpenedEntry
	default:
		c.faults.Add("include", "must be private")
	}
	institution, err := c.institution()
	if err == nil && query.Include != "" {
		err = takes(escrow.PermissionPersonalDataRead).check(c)
	}
	if err != nil {
		return reply{}, err
	}

	entries, err := s.engine.Entries(c.context(), institution, escrow.EntryFilter{Period: list.period}, list.page)
	return listed(list, entries, view, entryCursor), err
}

var listCheckpointsOperation = operation{
	Operation: web.Operation{
		ID: "listCheckpoints", Tag: "Transparency log", Summary: "List checkpoints",
		Query: pageQuery{}, Answer: listView[checkpointView]{},
	},
}

// listCheckpoints answers the checkpoints of a journal, by size.
func (s *server) listCheckpoints(c *call) (reply, error) {
	list := queryOf[pageQuery](c).read(&c.faults, "checkpoints")
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}

	checkpoints, err := s.config.TransparencyLog.Checkpoints(c.context(), institution, list.page)
	return listed(list, checkpoints, viewCheckpoint, checkpointCursor), err
}

var getCheckpointOperation = operation{
	Operation: web.Operation{
		ID: "getCheckpoint", Tag: "Transparency log", Summary: "Get a checkpoint",
		Query: checkpointQuery{}, Answer: checkpointView{},
	},
	refusals: codes{escrow.CodeCheckpointNotFound},
}

// getCheckpoint answers the checkpoint of a size, or the latest.
func (s *server) getCheckpoint(c *call) (reply, error) {
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}

	checkpoint, err := s.config.TransparencyLog.Checkpoint(c.context(), institution, queryOf[checkpointQuery](c).Size)
	return ok(viewCheckpoint(checkpoint)), err
}

var proveInclusionOperation = operation{
	Operation: web.Operation{
		ID: "proveInclusion", Tag: "Transparency log", Summary: "Prove that an entry is in the journal",
		Query: inclusionQuery{}, Answer: inclusionProofView{},
	},
	refusals: codes{escrow.CodeCheckpointNotFound, escrow.CodeEntryNotFound},
}

// proveInclusion answers the proof that an entry is in the tree of a size, or in that of
// the latest checkpoint.
func (s *server) proveInclusion(c *call) (reply, error) {
	query := queryOf[inclusionQuery](c)
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}

	p, err := s.config.TransparencyLog.Inclusion(c.context(), institution, query.Sequence, query.Size)
	return ok(inclusionProofView{
		Sequence: p.Sequence,
		Size:     p.Size,
		LeafHash: p.Leaf,
		RootHash: p.Root,
		Proof:    notNil(p.Proof),
	}), err
}

var proveConsistencyOperation = operation{
	Operation: web.Operation{
		ID: "proveConsistency", Tag: "Transparency log", Summary: "Prove that the journal has only grown",
		Query: consistencyQuery{}, Answer: consistencyProofView{},
	},
	refusals: codes{escrow.CodeCheckpointNotFound},
}

// proveConsistency answers the proof that the tree of one size is the beginning of that of
// another, or of the latest checkpoint's.
func (s *server) proveConsistency(c *call) (reply, error) {
	query := queryOf[consistencyQuery](c)
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}

	p, err := s.config.TransparencyLog.Consistency(c.context(), institution, query.From, query.To)
	return ok(consistencyProofView{
		From:         p.From,
		To:           p.To,
		FromRootHash: p.FromRoot,
		ToRootHash:   p.ToRoot,
		Proof:        notNil(p.Proof),
	}), err
}

// notNil makes an empty list of none, which JSON tells apart: clients may rely on a list.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
