package disclosure_test

import (
	"fmt"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/escrowgrid/escrowgrid/internal/disclosure"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// exampleKey signs what the documentation shows and nothing else.
const exampleKey = "PRIVATE+KEY+escrow.example.com+06f581ef+AZhSbZB/8Nfp5mIsyCAPgWzo2fiC57UN17E+6hluhklp"

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

var signer = must(translog.NewSigner(exampleKey))

// journal is one that is signed whole: the same at each run.
type journal struct {
	books   *escrow.Books
	entries []escrow.Entry
}

// The entries of a journal.
const (
	assetEntry = 3 + iota
	createdEntry
	fundedEntry
	releasedEntry
	erasedEntry
	// These two are of a journal that goes on; see held.
	heldEntry
	liftedEntry
)

// noon is when a journal begins; each of its entries is a second later.
var noon = time.Date(2027, time.January, 31, 12, 0, 0, 0, time.UTC)

func newJournal(tb testing.TB) *journal {
	tb.Helper()
	j := &journal{books: escrow.NewBooks(escrow.InstitutionID{}, escrow.Head{}, true)}
	institution := do(tb, j, valid(escrow.NewCreateInstitution(escrow.InstitutionInput{Name: "Meridian Bank", Regions: []string{"US"}}))).(escrow.Institution)
	j.books = escrow.NewBooks(institution.ID, j.books.Head, true)
	if err := j.books.Reapply(j.entries[0]); err != nil {
		tb.Fatal(err)
	}
	template := do(tb, j, valid(escrow.NewCreateTemplate(escrow.TemplateInput{
		Code: "CONSTR_RETAINAGE", Name: "Towers", Vertical: "CONSTRUCTION", Region: "US", Config: []byte(`{"currency":"USD","retainagePercentage":10}`),
	}))).(escrow.AssetTemplate)
	asset := do(tb, j, valid(escrow.NewCreateAsset(escrow.AssetInput{TemplateID: template.ID.String(), Label: "Harbour Tower"}))).(escrow.Asset)
	position := do(tb, j, valid(escrow.NewCreatePosition(escrow.PositionInput{
		AssetID: asset.ID.String(), HolderReference: "ACME-4711", ExternalReference: new("PO 12"), Currency: "USD", Amount: "1000.00",
		ExpiresAt: new("2028-01-31T12:00:00Z"), Metadata: []byte(`{"lot": "3b", "note": "ä\u2028\"<&>"}`),
	}))).(escrow.Position)
	for _, step := range []escrow.TransitionInput{
		{ToState: "FUNDED"}, {ToState: "RELEASED", Amount: new(money.Digits("1000.00")), Reason: new("third floor is done"), Metadata: []byte(`{"inspector":"Ada"}`)},
	} {
		do(tb, j, valid(escrow.NewTransitionPosition(position.ID, step, nil)))
	}
	do(tb, j, valid(escrow.NewErasePosition(position.ID, new("article 17"), nil, 0)))
	return j
}

// held is a journal that goes on with a hold on the position, which is lifted.
func held(tb testing.TB) *journal {
	tb.Helper()
	j := newJournal(tb)
	var position escrow.PositionID
	if err := position.UnmarshalText([]byte(j.entries[createdEntry-1].Subject)); err != nil {
		tb.Fatal(err)
	}
	hold := do(tb, j, valid(escrow.NewPlaceHold(position, escrow.HoldInput{Kind: "LEGAL", Reason: "an order", Reference: new("HC/7")}, nil))).(escrow.Hold)
	do(tb, j, valid(escrow.NewLiftHold(position, hold.ID, "set aside")))
	return j
}

func valid[C escrow.Command](command C, faults escrow.Faults) C {
	if err := faults.Err(); err != nil {
		panic(err)
	}
	return command
}

func do(tb testing.TB, j *journal, command escrow.Command) escrow.Resource {
	tb.Helper()
	count := uint64(len(j.entries))
	outcome, err := j.books.Execute(
		escrow.Request{Institution: j.books.InstitutionID(), Actor: escrow.ActorRoot(), RequestID: "example", Command: command},
		escrow.Stamp{Now: noon.Add(time.Duration(count) * time.Second), Random: [2]uint64{2*count + 1, 2*count + 2}, Secret: escrow.Secret{1}.OfItem(int(count))})
	if err != nil || outcome.Refusal != nil {
		tb.Fatal(err, outcome.Refusal)
	}
	j.entries = append(j.entries, j.books.Entries[len(j.books.Entries)-1])
	return outcome.Resource
}

// replace puts other bytes in the place of an entry, as an operator could who signs them.
func (j *journal) replace(sequence int, body string) *journal {
	changed := &journal{entries: append([]escrow.Entry{}, j.entries...)}
	changed.entries[sequence-1].Body = []byte(body)
	return changed
}

// checkpoint is one of the whole journal.
func (j *journal) checkpoint() translog.Checkpoint {
	leaves, root := j.leaves()
	return translog.Checkpoint{
		Origin: translog.Origin(signer.Name(), j.entries[0].InstitutionID),
		Size:   int64(len(leaves)), Root: root, At: noon.Add(time.Minute),
	}
}

func (j *journal) leaves() (leaves []translog.Hash, root translog.Hash) {
	var roots translog.Roots
	for _, entry := range j.entries {
		leaves = append(leaves, translog.LeafHash(entry.Body))
		roots.Add(leaves[len(leaves)-1])
	}
	return leaves, roots.Root()
}

// disclose makes the disclosure of an entry with some of its members.
func (j *journal) disclose(tb testing.TB, sequence int, members ...string) disclosure.Disclosure {
	tb.Helper()
	leaves, _ := j.leaves()
	_, tiles, err := translog.Tree{}.Append(leaves)
	if err != nil {
		tb.Fatal(err)
	}
	tree := translog.Tree{Size: int64(len(leaves)), Read: func(ids []translog.TileID) ([]translog.Tile, error) {
		if len(ids) != 1 || len(tiles) != 1 {
			return nil, fmt.Errorf("%d tiles of %d are read", len(ids), len(tiles))
		}
		return tiles, nil
	}}

	entry := j.entries[sequence-1]
	return disclosure.Disclosure{
		Body:    entry.Body,
		Members: entry.Openings().Only(members),
		Proof:   must(tree.ProveInclusion(int64(sequence), tree.Size)),
		Note:    must(j.checkpoint().Sign(signer)),
	}
}

// verify verifies a file with the key of the journal.
func verify(text []byte) (disclosure.Proven, error) {
	read, err := disclosure.Parse(text)
	if err != nil {
		return disclosure.Proven{}, err
	}
	return read.Verify(must(translog.NewVerifiers(signer.VerifierKey())))
}

// sign signs any text.
func sign(text string) []byte {
	return must(note.Sign(&note.Note{Text: text}, must(note.NewSigner(exampleKey))))
}
