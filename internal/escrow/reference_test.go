package escrow_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// referenced is what a client gives to make a position with an external reference.
func referenced(asset escrow.AssetID, reference string) escrow.PositionInput {
	return escrow.PositionInput{
		AssetID: asset.String(), HolderReference: "holder-1", Currency: "USD", Amount: "10",
		ExternalReference: new(reference),
	}
}

func withReference(asset escrow.AssetID, reference string) escrow.Command {
	return valid(escrow.NewCreatePosition(referenced(asset, reference)))
}

func TestATemplateCanHaveExternalReferencesUnique(t *testing.T) {
	t.Parallel()
	const unique = `{"currency":"USD","uniqueExternalReference":true}`
	d := openDesk(t)
	template := d.template(escrow.ConstructionEscrow, unique)
	asset, sibling := d.asset(template), d.asset(template)
	other := d.asset(d.template(escrow.ConstructionEscrow, unique))
	free := d.asset(d.template(escrow.ConstructionEscrow, `{"currency":"USD","uniqueExternalReference":false}`))

	first := subjectID[escrow.PositionID](d.accept(withReference(asset, "invoice 1")))
	refusal := d.refusal(withReference(asset, " invoice 1 "), escrow.CodeExternalReference)
	if !strings.Contains(refusal.Detail, first.String()) {
		t.Errorf("the refusal says %q, and does not name %s", refusal.Detail, first)
	}
	d.refuse(withReference(sibling, "invoice 1"), escrow.CodeExternalReference)
	d.accept(withReference(sibling, "Invoice 1")) // Another text.
	d.accept(withReference(other, "invoice 1"))
	for range 2 {
		d.accept(withReference(free, "invoice 1"))
		d.position(asset, "10", "USD") // It has no reference.
	}

	d.accept(transition(first, escrow.StateCancelled, ""))
	d.refuse(withReference(asset, "invoice 1"), escrow.CodeExternalReference)
}

func TestItemsOfABatchMeetEachOthersReferences(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset := d.asset(d.template(escrow.ConstructionEscrow, `{"currency":"USD","uniqueExternalReference":true}`))
	batch := func(atomic bool, references ...string) escrow.PositionBatch {
		inputs := make([]escrow.PositionInput, len(references))
		for i, reference := range references {
			inputs[i] = referenced(asset, reference)
		}
		return valid(escrow.NewCreationBatch(inputs, atomic))
	}

	refusal := d.refusal(batch(true, "a", "b", "a"), escrow.CodeBatchRefused)
	if got := fmt.Sprint(codes(refusal.Items)); got != "[  external_reference_taken]" {
		t.Errorf("the items of an atomic batch are refused with %s", got)
	}
	// Nothing of it was done, so its references are free.
	results := d.accept(batch(false, "a", "b", "a", "c")).Resource.(escrow.BatchResults)
	if got := fmt.Sprint(codes(results.Refusals())); got != "[  external_reference_taken ]" {
		t.Errorf("the items of a batch are refused with %s", got)
	}
	d.refuse(batch(true, "d", "c"), escrow.CodeBatchRefused)
	d.accept(batch(true, "d", "e"))
}

// A journal that has a reference twice is none that the domain has made.
func TestAJournalWithAReferenceTwiceIsNotRebuilt(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset := d.asset(d.template(escrow.ConstructionEscrow, `{"currency":"USD","uniqueExternalReference":true}`))
	d.accept(withReference(asset, "one"))
	d.accept(withReference(asset, "two"))

	books := escrow.NewBooks(d.books.InstitutionID(), escrow.Head{}, true)
	var err error
	for _, entry := range d.books.Entries {
		forged := bytes.Replace(entry.Private, []byte("two"), []byte("one"), 1)
		if err = books.Reapply(must(escrow.ParseEntry(entry.Body, forged))); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "has the external reference of") {
		t.Errorf("rebuilding it gives %v", err)
	}
}

// Only where a template asks for it does the store have to look for what others have.
func TestReferencesAreLookedForWhereTheyMustBeUnique(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	template := d.template(escrow.ConstructionEscrow, `{"currency":"USD","uniqueExternalReference":true}`)
	unique, free := d.asset(template), d.escrow()
	needs := escrow.MergeNeeds([]escrow.Request{
		{Command: withReference(unique, "a")},
		{Command: withReference(free, "a")},
		{Command: withReference(escrow.AssetID{1}, "a")},
		{Command: newPosition(unique, "10", "USD", nil)},
		{Command: withReference(unique, "b")},
	})
	want := []escrow.UniqueReference{{Template: template, Text: "a"}, {Template: template, Text: "b"}}
	if diff := cmp.Diff(want, d.books.UniqueReferences(&needs)); diff != "" {
		t.Errorf("references wanted (-) and looked for (+):\n%s", diff)
	}
}

// What the database has counts as what the books have made.
func TestAReferenceThatIsStoredIsTaken(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	template := d.template(escrow.ConstructionEscrow, `{"currency":"USD","uniqueExternalReference":true}`)
	asset, stored := d.asset(template), escrow.PositionID{1}
	d.books.LoadReferenced(escrow.Position{ID: stored, UniqueIn: template, ExternalReference: "invoice 1"})
	d.books.LoadReferenced(escrow.Position{ID: escrow.PositionID{2}, ExternalReference: "invoice 2"}) // Not unique.
	refusal := d.refusal(withReference(asset, "invoice 1"), escrow.CodeExternalReference)
	if !strings.Contains(refusal.Detail, stored.String()) {
		t.Errorf("the refusal says %q, and does not name %s", refusal.Detail, stored)
	}
	d.accept(withReference(asset, "invoice 2"))
}
