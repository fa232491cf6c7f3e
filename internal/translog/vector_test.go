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
	command, faults := escrow.NewCreateInstitution(escrow.InstitutionInput{
		Name:      "Müller & Söhne",
		Regions:   []string{"EU_UK"},
		Verticals: &[]string{"CONSTRUCTION"},
	})
	if err := faults.Err(); err != nil {
		t.Fatal(err)
	}

	books := escrow.NewBooks(escrow.InstitutionID{}, escrow.Head{}, true)
	outcome, err := books.Execute(
		escrow.Request{Actor: escrow.ActorRoot(), RequestID: "example", Command: command},
		escrow.Stamp{Now: time.Date(2027, time.January, 31, 12, 0, 0, 1000, time.UTC), Random: [2]uint64{1, 2}})
	if err != nil || outcome.Refusal != nil {
		t.Fatal(err, outcome.Refusal)
	}

	body := books.Entries[0].Body
	hash := translog.LeafHash(body)
	signer, err := translog.NewSigner(exampleKey)
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, err := translog.Checkpoint{
		Origin: translog.Origin(signer.Name(), books.Entries[0].InstitutionID),
		Size:   1,
		Root:   hash,
		At:     time.Date(2027, time.January, 31, 12, 0, 5, 0, time.UTC),
	}.Sign(signer)
	if err != nil {
		t.Fatal(err)
	}

	page, err := os.ReadFile("../../docs/transparency-log.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"entry":      string(body),
		"hash":       hex.EncodeToString(hash[:]) + "\n" + hash.String(),
		"checkpoint": strings.TrimSuffix(string(checkpoint), "\n"),
		"key":        signer.VerifierKey(),
	} {
		_, rest, _ := strings.Cut(string(page), "<!-- begin vector: "+name+" -->\n\n```text\n")
		shown, _, found := strings.Cut(rest, "\n```\n\n<!-- end vector: "+name+" -->")
		if !found || shown != want {
			t.Errorf("the page shows the %s\n%s\nand the program makes\n%s", name, shown, want)
		}
	}
}
