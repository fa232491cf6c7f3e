package verify_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
	"github.com/escrowgrid/escrowgrid/internal/translog"
	"github.com/escrowgrid/escrowgrid/internal/verify"
	"github.com/escrowgrid/escrowgrid/internal/verify/bundle"
)

// unsigned lets a verification bring its own keys.
func unsigned(c *verify.Config) { c.Keys = nil }

// What no trusted key has signed, whoever can write to the database could have made up.
func TestWhatIsNotSignedIsNotVerified(t *testing.T) {
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		f := newFixture(t, kind)
		of := f.Example.Institution
		note := f.checkpoint(lastSigned).Note

		for _, test := range []struct {
			name   string
			change func(*verify.Config)
			want   error
			tails  int64
		}{
			{"with a key that is trusted", nil, verify.ErrUnsignedTail, 2},
			{"with fewer allowed than there are", func(c *verify.Config) { c.AllowUnsigned = lastEntry - lastSigned - 1 }, verify.ErrUnsignedTail, 1},
			{"with as many allowed as there are", func(c *verify.Config) { c.AllowUnsigned = lastEntry - lastSigned }, nil, 0},
			{"with the keys that are there, while they are young", unsigned, nil, 0},
			{"with the keys that are there, when they are old", func(c *verify.Config) { c.Keys, c.SignedWithin = nil, 1 }, verify.ErrUnsignedTail, 1},
		} {
			report := f.verify(test.change)
			if err := report.Err(); !errors.Is(err, test.want) || report.TailCount != test.tails || int64(len(report.Tails)) != test.tails {
				t.Errorf("%s: %v, and the report is %+v", test.name, err, report)
			}
		}
		want := verify.Tail{Institution: of, Signed: lastSigned, Last: lastEntry}
		if tails := f.verify(nil).Tails; tails[0] != want && tails[1] != want {
			t.Errorf("the tails are %v", tails)
		}

		f.Rewrite(of, lastEntry, `"requestId":"test"`, `"requestId":"best"`)
		f.tamper("DELETE FROM journal_checkpoints WHERE institution_id = $1", of)
		f.tamper("DELETE FROM journal_tiles WHERE institution_id = $1", of)
		for name, change := range map[string]func(*verify.Config){
			"with a key that is trusted":   func(c *verify.Config) { c.AllowUnsigned = lastEntry },
			"with the keys that are there": unsigned,
		} {
			if report := f.verify(change); report.DifferenceCount != 0 || !errors.Is(report.Err(), verify.ErrNothingSigned) {
				t.Errorf("without checkpoints, %s: %v, and the report is %+v", name, report.Err(), report)
			}
		}
		// A checkpoint that was kept covers what it is of.
		report := f.verify(func(c *verify.Config) { c.Kept, c.AllowUnsigned = [][]byte{note}, lastEntry-lastSigned })
		if err := report.Err(); err != nil || report.Unsigned != lastEntry-lastSigned+1 {
			t.Errorf("with the checkpoint that was kept: %v, and the report is %+v", err, report)
		}
	})
}

// An empty database proves nothing, and neither does a journal that is there without entries.
func TestNothingIsNotVerified(t *testing.T) {
	journaltest.EachStore(t, func(t *testing.T, databaseURL string) {
		w := journaltest.Open(t, databaseURL)
		report := must(verify.Database(t.Context(), w.Store, verify.Config{}))
		if err := report.Err(); !errors.Is(err, verify.ErrNothing) {
			t.Errorf("an empty database: %v, and the report is %+v", err, report)
		}
		w.Tamper("INSERT INTO journal_heads (institution_id, sequence, last_at, lost_sequence, closed_sequence) SELECT $1, 0, last_at, 0, 0 FROM journal_heads", escrow.InstitutionID{15: 1})
		report = must(verify.Database(t.Context(), w.Store, verify.Config{}))
		if !strings.Contains(fmt.Sprint(report.Differences), "the journal: there is no entry") {
			t.Errorf("a journal without an entry: the report is %+v", report)
		}
	})
}

func TestBundlesThatAreNotSignedAreNotVerified(t *testing.T) {
	f := newFixture(t, "sqlite")
	stranger := "INSERT INTO keys VALUES ('" + stranger.VerifierKey() + "')"
	for _, test := range []struct {
		name       string
		statements []string
		allow      int64
		want       error
		code       int
	}{
		{"as it is", nil, 0, verify.ErrUnsignedTail, 3},
		{"with fewer allowed than there are", nil, lastEntry - lastSigned - 1, verify.ErrUnsignedTail, 3},
		{"with as many allowed as there are", nil, lastEntry - lastSigned, nil, 0},
		{"without checkpoints", []string{"DELETE FROM checkpoints"}, lastEntry, verify.ErrNothingSigned, 1},
		{"without keys and checkpoints", []string{"DELETE FROM checkpoints", "DELETE FROM keys"}, lastEntry, verify.ErrNothingSigned, 1},
		{"without entries and checkpoints", []string{"DELETE FROM checkpoints", "DELETE FROM entries"}, lastEntry, verify.ErrNothing, 1},
		{"with a stranger's key and no checkpoints", []string{"DELETE FROM checkpoints", "DELETE FROM keys", stranger}, lastEntry, verify.ErrNothingSigned, 1},
	} {
		path := f.export()
		change(t, path, test.statements...)
		for _, keys := range [][]string{{signer.VerifierKey()}, nil} {
			b := must(bundle.Open(t.Context(), path))
			report := must(verify.Bundle(t.Context(), b, verify.Config{Keys: keys, AllowUnsigned: test.allow}))
			if err := report.Err(); !errors.Is(err, test.want) {
				t.Errorf("%s, with the keys %v: %v, want %v", test.name, keys, err, test.want)
			}
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}
		if output, code := independentlyWith(t, fmt.Sprint(test.allow), path, signer.VerifierKey()); code != test.code {
			t.Errorf("%s: independently, it ends with %d, want %d: %s", test.name, code, test.code, output)
		}
	}
}

// A server that goes on verifying knows what it has found before: those who delete checkpoints,
// or write history anew and have it signed again, contradict it.
func TestWhatWasSeenMustStillBeThere(t *testing.T) {
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		f := newFixture(t, kind)
		of := f.Example.Institution
		seen := verify.Checkpoints{}
		again := func() verify.Report {
			return f.verify(func(c *verify.Config) { c.Keys, c.Seen = nil, seen })
		}
		report := again()
		if err := report.Err(); err != nil || len(report.Seen) != 1 || report.Seen[of].Size != lastSigned || len(seen) != 0 {
			t.Fatalf("%v, and the report is %+v", err, report)
		}
		seen = report.Seen
		f.sign()
		if report = again(); report.Err() != nil || report.Seen[of].Size != lastEntry {
			t.Fatalf("%v, and the report is %+v", report.Err(), report)
		}

		f.tamper("DELETE FROM journal_checkpoints WHERE institution_id = $1 AND size > $2", of, int64(firstSigned))
		report = again()
		if want := fmt.Sprintf("checkpoint of %d entries: there is nothing", lastSigned); !strings.Contains(fmt.Sprint(report.Differences), want) ||
			report.Seen[of].Size != lastSigned {
			t.Errorf("no difference has %q, the report is %+v", want, report)
		}

		f.Rewrite(of, anEntry, `"requestId":"test"`, `"requestId":"best"`)
		f.tamper("DELETE FROM journal_checkpoints WHERE institution_id = $1", of)
		f.tamper("DELETE FROM journal_tiles WHERE institution_id = $1", of)
		f.forget()
		f.sign()
		report = again()
		if want := "that an earlier verification has found says"; !strings.Contains(fmt.Sprint(report.Differences), want) {
			t.Errorf("no difference has %q, the report is %+v", want, report)
		}

		seen = verify.Checkpoints{{15: 1}: translog.Checkpoint{Size: 3, At: time.Now()}}
		if report = again(); !strings.Contains(fmt.Sprint(report.Differences), "there is no journal") {
			t.Errorf("a journal that is gone: the report is %+v", report)
		}
	})
}

// What a server remembers to have signed must still be there, until the operator has accepted
// that it is lost; an earlier verification's memory ends then, too.
func TestWhatAServerHasSignedMustStillBeThere(t *testing.T) {
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		f := newFixture(t, kind)
		of, stranger := f.Example.Institution, escrow.InstitutionID{15: 1}
		known := must(translog.Unverified(f.checkpoint(lastSigned).Note))
		changed, beyond := known, known
		changed.Root[0]++
		beyond.Size = lastEntry + 5
		with := func(signed verify.Checkpoints) verify.Report {
			return f.verify(func(c *verify.Config) { c.Keys, c.Signed = nil, signed })
		}

		if report := with(verify.Checkpoints{of: known}); report.Err() != nil {
			t.Errorf("what is there: %+v", report)
		}
		for want, signed := range map[string]verify.Checkpoints{
			"that the server has signed says":                         {of: changed},
			"that the server has signed: there is a journal of":       {of: beyond},
			"that the server has signed: there is no journal, and sh": {stranger: known},
		} {
			if report := with(signed); report.DifferenceCount != 1 || !strings.Contains(fmt.Sprint(report.Differences), want) {
				t.Errorf("no difference has %q, the report is %+v", want, report)
			}
		}

		// A bundle is of one journal, and says nothing of others.
		b := must(bundle.Open(t.Context(), f.export()))
		defer b.Close()
		report := must(verify.Bundle(t.Context(), b, verify.Config{Signed: verify.Checkpoints{of: beyond, stranger: known}, AllowUnsigned: lastEntry}))
		if report.DifferenceCount != 1 || report.Differences[0].Institution != of {
			t.Errorf("the bundle's report is %+v", report)
		}

		lost := escrow.Head{Sequence: beyond.Size, At: time.Now()}
		if closed := must(f.HaltIfLost(t.Context(), of, lost)); !closed {
			t.Fatal("the journal is not closed")
		}
		f.Do(of, escrow.AcceptHistory{})
		if report := with(verify.Checkpoints{of: beyond}); report.Err() != nil {
			t.Errorf("the loss was accepted: %+v", report)
		}
		seen := verify.Checkpoints{of: beyond}
		report = f.verify(func(c *verify.Config) { c.Keys, c.Seen = nil, seen })
		if report.Err() != nil || report.Seen[of].Size != lastSigned {
			t.Errorf("what was seen is not forgotten: %+v", report)
		}
	})
}

// SQLite itself knows of a file whose rows its constraints do not allow, or whose indexes have
// what no row has.
func TestADamagedFileIsFound(t *testing.T) {
	f := newFixture(t, "sqlite")
	journaltest.Execute(t, f.URL, "PRAGMA ignore_check_constraints = on; UPDATE api_keys SET version = 0")
	want := "the database: the file: there is CHECK constraint failed in api_keys, and should be one without damage"
	if report := f.verify(nil); !strings.Contains(fmt.Sprint(report.Differences), want) {
		t.Errorf("no difference has %q, the report is %+v", want, report)
	}
}
