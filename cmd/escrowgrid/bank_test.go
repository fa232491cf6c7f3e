package main

import (
	"fmt"
	"net/http"
	"strconv"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
)

// bank is an institution with an admin key and an asset in dollars.
type bank struct{ id, key, asset string }

// entriesOfABank are in its journal when it is new: the institution, its key, its
// template and its asset.
const entriesOfABank = 4

func openBank(t *testing.T, root apitest.Client) (b bank) {
	t.Helper()
	b.id = root.Post(t, "/institutions", `{"name": "Meridian Bank", "regions": ["US"]}`).Want(t, 201).Text("id")
	b.key = root.Post(t, "/institutions/"+b.id+"/api-keys", `{"label": "tests", "role": "admin"}`).Want(t, 201).Text("apiKey")
	admin := root.As(b.key)
	template := admin.Post(t, "/asset-templates",
		`{"code": "CONSTR_ESCROW", "name": "T", "vertical": "CONSTRUCTION", "region": "US", "config": {"currency": "USD"}}`).Want(t, 201).Text("id")
	b.asset = admin.Post(t, "/assets", fmt.Sprintf(`{"templateId": %q, "label": "A"}`, template)).Want(t, 201).Text("id")
	return b
}

// claim is the body of a position of 1000 dollars.
func (b bank) claim(reference string) string {
	return fmt.Sprintf(`{"assetId": %q, "holderReference": "h", "externalReference": %q, "currency": "USD", "amount": "1000.00"}`, b.asset, reference)
}

// awaitSigned waits until a checkpoint covers so many entries of a bank: what nobody has
// signed does not verify.
func (p *process) awaitSigned(t *testing.T, b bank, entries int) {
	t.Helper()
	p.eventually(t, fmt.Sprintf("%d entries are signed", entries), func() bool {
		signed := p.Get(t, "/institutions/"+b.id+"/journal/checkpoint")
		return signed.Status == http.StatusOK && journaltest.Must(strconv.Atoi(signed.Text("size"))) >= entries
	})
}

// checkJournal checks that a journal has so many entries and counts them without a
// gap.
func checkJournal(t *testing.T, admin apitest.Client, entries int) {
	t.Helper()
	sequences := admin.Walk(t, "/audit-events?limit=1000", "sequence")
	if len(sequences) != entries {
		t.Errorf("the journal has %d entries, want %d", len(sequences), entries)
	}
	for i, sequence := range sequences {
		if sequence != fmt.Sprint(i+1) {
			t.Fatalf("in the place of entry %d stands %s", i+1, sequence)
		}
	}
}
