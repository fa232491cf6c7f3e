package httpapi

import (
	"crypto/sha256"
	"strconv"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/journallog"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

type logKeyView struct {
	VerifierKey string    `json:"verifierKey" doc:"The public key: name+hash+base64, as C2SP signed notes and golang.org/x/mod/sumdb/note have it." example:"escrowgrid+3f1c8a2e+AZ…"`
	Algorithm   string    `json:"algorithm" enum:"Ed25519"`
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
}

type checkpointView struct {
	Origin   string        `json:"origin" doc:"Names the log: the operator's name for it, a slash and the institution's id."`
	Size     int64         `json:"size" doc:"How many entries it covers: those of the sequences 1 to size."`
	RootHash translog.Hash `json:"rootHash" doc:"The root of the Merkle tree over them (RFC 6962), in base64."`
	At       timestamp     `json:"at"`
	Note     string        `json:"note" doc:"The checkpoint as it was signed: a C2SP signed note. The other members repeat parts of it."`
}

type inclusionView struct {
	Sequence int64           `json:"sequence"`
	Size     int64           `json:"size"`
	LeafHash translog.Hash   `json:"leafHash" doc:"Of the entry, in base64."`
	RootHash translog.Hash   `json:"rootHash" doc:"Of the tree of this size, in base64: compare it with that of a checkpoint that you trust."`
	Proof    []translog.Hash `json:"proof" nullable:"false" doc:"The audit path of RFC 6962, 2.1.1, from the leaf's neighbour up, in base64."`
}

type consistencyView struct {
	From         int64           `json:"from"`
	To           int64           `json:"to"`
	FromRootHash translog.Hash   `json:"fromRootHash" doc:"Of the tree of the size from, in base64."`
	ToRootHash   translog.Hash   `json:"toRootHash" doc:"Of the tree of the size to, in base64."`
	Proof        []translog.Hash `json:"proof" nullable:"false" doc:"The consistency proof of RFC 6962, 2.1.2, in base64."`
}

type checkpointQuery struct {
	Size string `query:"size" doc:"The checkpoint of this many entries; the latest when left out." pattern:"^[0-9]+$"`
}

type inclusionQuery struct {
	Sequence string `query:"sequence" doc:"Of the entry." pattern:"^[0-9]+$"`
	Size     string `query:"size" doc:"Of the tree; that of the latest checkpoint when left out." pattern:"^[0-9]+$"`
}

type consistencyQuery struct {
	From string `query:"from" doc:"The size of the earlier tree." pattern:"^[0-9]+$"`
	To   string `query:"to" doc:"The size of the later tree; that of the latest checkpoint when left out." pattern:"^[0-9]+$"`
}

// balancesView is a trial balance: by double entry, what the accounts have sums to zero.
type balancesView struct {
	InstitutionID escrow.InstitutionID `json:"institutionId"`
	Sequence      int64                `json:"sequence" doc:"Of the last entry that is in the balances."`
	Balances      []balanceView        `json:"balances" nullable:"false" doc:"One of each currency, in order of code."`
}

type balanceView struct {
	Currency    money.Currency `json:"currency"`
	Holder      string         `json:"holder" doc:"What holders have paid in, as a negative amount." example:"-1000.00"`
	Escrow      string         `json:"escrow" doc:"What is held." example:"750.00"`
	Beneficiary string         `json:"beneficiary" doc:"What was released." example:"250.00"`
	Refund      string         `json:"refund" doc:"What went back." example:"0.00"`
	Total       string         `json:"total" doc:"The sum of the four: zero." example:"0.00"`
}

func viewCheckpoint(c journallog.Checkpoint) checkpointView {
	return checkpointView{c.Origin, c.Size, c.Root, timestamp(c.At), string(c.Note)}
}

func viewJournalEntry(e escrow.Entry) journalEntryView {
	return journalEntryView{e.Sequence, e.ID, e.Kind, timestamp(e.At), string(e.Body), translog.LeafHash(e.Body)}
}

func (s *server) listLogKeys(c *call) (reply, error) {
	var query listQuery
	read := c.readList(&query, &query)
	if err := read.faults.Err(); err != nil {
		return reply{}, err
	}
	keys, err := s.config.Log.Keys(c.request.Context())
	// A key has no id: its place is a hash of it.
	cursor := func(k journallog.Key) escrow.Cursor {
		hash := sha256.Sum256([]byte(k.VerifierKey))
		return escrow.Cursor(hash[:len(escrow.Cursor{})])
	}
	page := pageOf(keys, read, func(k journallog.Key) time.Time { return k.CreatedAt }, cursor)
	return listed(page, read.page.Limit, func(k journallog.Key) logKeyView {
		return logKeyView{k.VerifierKey, "Ed25519", k.Current, timestamp(k.CreatedAt)}
	}, cursor), err
}

func (s *server) listJournal(c *call) (reply, error) {
	var query listQuery
	read := c.readList(&query, &query)
	institution, err := c.readPathTenant(&read.faults)
	if err != nil {
		return reply{}, err
	}
	entries, err := s.engine.Entries(c.request.Context(), institution, escrow.EntryFilter{Period: read.period}, read.page)
	return listed(entries, read.page.Limit, viewJournalEntry, entryCursor), err
}

func (s *server) listCheckpoints(c *call) (reply, error) {
	var query pageQuery
	var faults escrow.Faults
	decodeQuery(c.request.URL.RawQuery, &query, &faults)
	page := query.page(&faults, escrow.MaxPageSize)
	institution, err := c.readPathTenant(&faults)
	if err != nil {
		return reply{}, err
	}
	checkpoints, err := s.config.Log.Checkpoints(c.request.Context(), institution, page)
	return listed(checkpoints, page.Limit, viewCheckpoint, func(c journallog.Checkpoint) escrow.Cursor {
		return escrow.SequenceCursor(c.Size)
	}), err
}

func (s *server) getCheckpoint(c *call) (reply, error) {
	var query checkpointQuery
	var faults escrow.Faults
	decodeQuery(c.request.URL.RawQuery, &query, &faults)
	size := wholeNumber(&faults, "size", query.Size)
	institution, err := c.readPathTenant(&faults)
	if err != nil {
		return reply{}, err
	}
	checkpoint, err := s.config.Log.Checkpoint(c.request.Context(), institution, size)
	return ok(viewCheckpoint(checkpoint)), err
}

func (s *server) proveInclusion(c *call) (reply, error) {
	var query inclusionQuery
	var faults escrow.Faults
	decodeQuery(c.request.URL.RawQuery, &query, &faults)
	sequence, size := requiredNumber(&faults, "sequence", query.Sequence), wholeNumber(&faults, "size", query.Size)
	institution, err := c.readPathTenant(&faults)
	if err != nil {
		return reply{}, err
	}
	p, err := s.config.Log.Inclusion(c.request.Context(), institution, sequence, size)
	return ok(inclusionView{p.Sequence, p.Size, p.Leaf, p.Root, notNil(p.Proof)}), err
}

func (s *server) proveConsistency(c *call) (reply, error) {
	var query consistencyQuery
	var faults escrow.Faults
	decodeQuery(c.request.URL.RawQuery, &query, &faults)
	from, to := requiredNumber(&faults, "from", query.From), wholeNumber(&faults, "to", query.To)
	institution, err := c.readPathTenant(&faults)
	if err != nil {
		return reply{}, err
	}
	p, err := s.config.Log.Consistency(c.request.Context(), institution, from, to)
	return ok(consistencyView{p.From, p.To, p.FromRoot, p.ToRoot, notNil(p.Proof)}), err
}

// notNil makes an empty list of none, which JSON tells apart.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// wholeNumber reads a parameter; it stays nil where none is given.
func wholeNumber(faults *escrow.Faults, field, text string) *int64 {
	if text == "" {
		return nil
	}
	// ParseUint takes no sign.
	const bits = 63
	number, err := strconv.ParseUint(text, 10, bits)
	if err != nil {
		faults.Add(field, "must be a whole number")
	}
	return new(int64(number))
}

func requiredNumber(faults *escrow.Faults, field, text string) int64 {
	if text == "" {
		faults.Add(field, "is required")
		return 0
	}
	return *wholeNumber(faults, field, text)
}

func (s *server) getBalances(c *call) (reply, error) {
	institution, err := c.existingTenant()
	if err != nil {
		return reply{}, err
	}
	balances, sequence, err := s.config.Log.Balances(c.request.Context(), institution)
	return ok(balancesView{institution, sequence, viewBalances(&balances, balances.Currencies())}), err
}

// viewBalances shows balances in some currencies.
func viewBalances(balances *escrow.Balances, currencies []money.Currency) []balanceView {
	views := make([]balanceView, len(currencies))
	for i, currency := range currencies {
		of := func(a escrow.Account) string { return money.FormatSum(balances.Of(currency, a), currency) }
		views[i] = balanceView{
			Currency: currency, Holder: of(escrow.AccountHolder), Escrow: of(escrow.AccountEscrow),
			Beneficiary: of(escrow.AccountBeneficiary), Refund: of(escrow.AccountRefund),
			Total: money.FormatSum(balances.Total(currency), currency),
		}
	}
	return views
}
