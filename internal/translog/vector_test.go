package translog_test

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// exampleKey signs the checkpoint that the documentation shows and nothing else.
const exampleKey = "PRIVATE+KEY+escrow.example.com+06f581ef+AZhSbZB/8Nfp5mIsyCAPgWzo2fiC57UN17E+6hluhklp"

// The documentation shows an entry, its hash and a checkpoint, for readers to recompute.
// They are what the program makes: hashed bytes must never change.
func TestTheDocumentationShowsTrueVectors(t *testing.T) {
	entry := newInstitution(t)
	hash := translog.LeafHash(entry.Body)
	signer, err := translog.NewSigner(exampleKey)
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, err := translog.Checkpoint{
		Origin: translog.Origin(signer.Name(), entry.InstitutionID),
		Size:   1,
		Root:   hash,
		At:     time.Date(2027, time.January, 31, 12, 0, 5, 0, time.UTC),
	}.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}

	checkVectors(t, "../../docs/transparency-log.md", map[string]string{
		"entry":      string(entry.Body),
		"hash":       hex.EncodeToString(hash[:]) + "\n" + hash.String(),
		"checkpoint": strings.TrimSuffix(string(checkpoint), "\n"),
		"key":        signer.VerifierKey(),
	})
}

// The documentation shows what stands beside the entry of a position.
func TestTheDocumentationShowsTruePrivateValues(t *testing.T) {
	opening := newInstitution(t)
	books := escrow.NewBooks(opening.InstitutionID, escrow.Head{}, true)
	if err := books.Reapply(opening); err != nil {
		t.Fatal(err)
	}
	template := execute(t, books, valid(escrow.NewCreateTemplate(escrow.TemplateInput{
		Code: "CONSTR_ESCROW", Name: "Project escrow", Vertical: "CONSTRUCTION", Region: "EU_UK", Config: []byte(`{"currency":"EUR"}`),
	})))
	asset := execute(t, books, valid(escrow.NewCreateAsset(escrow.AssetInput{TemplateID: template.Subject, Label: "Pier 7"})))
	reference := "contract 88"
	position := execute(t, books, valid(escrow.NewCreatePosition(escrow.PositionInput{
		AssetID: asset.Subject, HolderReference: "ACME-4711", ExternalReference: &reference, Currency: "EUR", Amount: "1000",
		Metadata: []byte(`{"contact":"Müller"}`),
	})))

	openings, err := position.Openings().Text()
	if err != nil {
		t.Fatal(err)
	}
	checkVectors(t, "../../docs/personal-data.md", map[string]string{
		"private":  string(position.Body) + "\n" + hex.EncodeToString(position.Private),
		"openings": string(openings),
	})
}

func valid[C escrow.Command](command C, faults escrow.Faults) escrow.Command {
	if err := faults.Err(); err != nil {
		panic(err)
	}
	return command
}

func newInstitution(t *testing.T) escrow.Entry {
	t.Helper()
	return execute(t, escrow.NewBooks(escrow.InstitutionID{}, escrow.Head{}, true), valid(escrow.NewCreateInstitution(escrow.InstitutionInput{
		Name:      "Müller & Söhne",
		Regions:   []string{"EU_UK"},
		Verticals: &[]string{"CONSTRUCTION"},
	})))
}

// execute carries out a command of the example's, and returns its entry.
func execute(t *testing.T, books *escrow.Books, command escrow.Command) escrow.Entry {
	t.Helper()
	stamp := escrow.Stamp{Now: time.Date(2027, time.January, 31, 12, 0, 0, 1000, time.UTC), Random: [2]uint64{1, 2}}
	for i := range stamp.Secret {
		stamp.Secret[i] = byte(i)
	}
	stamp.Random[0] += 2 * uint64(len(books.Entries))
	stamp.Random[1] += 2 * uint64(len(books.Entries))
	request := escrow.Request{Institution: books.InstitutionID(), Actor: escrow.ActorRoot(), RequestID: "example", Command: command}
	outcome, err := books.Execute(request, stamp)
	if err != nil || outcome.Refusal != nil {
		t.Fatal(err, outcome.Refusal)
	}
	return books.Entries[len(books.Entries)-1]
}

// checkVectors compares what a page shows with what the program makes.
func checkVectors(t *testing.T, path string, vectors map[string]string) {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range vectors {
		_, rest, _ := strings.Cut(string(page), "<!-- begin vector: "+name+" -->\n\n```text\n")
		shown, _, found := strings.Cut(rest, "\n```\n\n<!-- end vector: "+name+" -->")
		if !found || shown != want {
			t.Errorf("the page shows the %s\n%s\nand the program makes\n%s", name, shown, want)
		}
	}
}
