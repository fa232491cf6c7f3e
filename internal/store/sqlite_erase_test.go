package store_test

import (
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
)

// What was erased is in neither the file nor the log beside it, wherever SQLite has moved it
// before, and does not come back with what is written later.
func TestWhatIsErasedIsInNoFileOfSQLite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "e.db")
	w := journaltest.Open(t, "sqlite:"+path)
	e := w.Example()
	const rounds, each, erased = 30, 40, 5
	type named struct {
		id   escrow.PositionID
		name string
	}
	// Names in no order split the pages of indexes in their middle.
	write := func(state string) (made []named) {
		var creations, steps []escrow.Command
		for range each {
			made = append(made, named{name: "holder-" + rand.Text()})
			name := made[len(made)-1].name
			creations = append(creations, journaltest.Valid(escrow.NewCreatePosition(escrow.PositionInput{
				AssetID: e.Asset.String(), HolderReference: name, ExternalReference: &name, Currency: "USD", Amount: "100",
				Metadata: []byte(`{"name":"` + name + `"}`),
			})))
		}
		for i, resource := range w.Do(e.Institution, creations...) {
			made[i].id = journaltest.Made[escrow.Position]([]escrow.Resource{resource}).ID
			steps = append(steps, journaltest.Valid(escrow.NewTransitionPosition(made[i].id, escrow.TransitionInput{ToState: state, Reason: &made[i].name}, nil)))
		}
		w.Do(e.Institution, steps...)
		return made
	}

	var gone, kept []named
	for range rounds {
		made := write("CANCELLED")
		gone, kept = append(gone, made[:erased]...), append(kept, made[erased:]...)
	}
	for _, position := range gone {
		w.Do(e.Institution, journaltest.Valid(escrow.NewErasePosition(position.id, nil, nil, 0)))
	}
	inFiles := func(name string) bool {
		for _, file := range []string{path, path + "-wal"} {
			if bytes.Contains(journaltest.Must(os.ReadFile(file)), []byte(name)) {
				return true
			}
		}
		return false
	}
	check := func(when string) {
		t.Helper()
		for _, position := range gone {
			if inFiles(position.name) {
				t.Errorf("%s, a file has %s", when, position.name)
			}
		}
	}

	check("after the erasures")
	for range 3 {
		write("FUNDED")
	}
	check("after what came later")
	for _, position := range kept {
		if !inFiles(position.name) {
			t.Errorf("no file has %s, which was not erased", position.name)
		}
	}
}
