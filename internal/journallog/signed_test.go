package journallog_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/journallog"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// with has a log remember what was signed in a file.
func with(signed *journallog.Signed) func(*journallog.Config) {
	return func(c *journallog.Config) { c.Signed = signed }
}

func openSigned(t *testing.T, path string) *journallog.Signed {
	t.Helper()
	return must(journallog.OpenSigned(path))
}

// A database that went back while no server ran is known by what was signed of it.
func TestAJournalShorterThanWhatWasSignedIsClosed(t *testing.T) {
	journaltest.EachStore(t, func(t *testing.T, databaseURL string) {
		path := filepath.Join(t.TempDir(), "signed")
		w := open(t, databaseURL)
		lost, kept := w.Institution(), w.Institution()
		w.Policies(lost, 9)
		before := start(t, w.Store, with(openSigned(t, path)))
		before.round(t)
		before.Close()

		w.Tamper("DELETE FROM journal_checkpoints WHERE institution_id = $1", lost)
		w.Tamper("DELETE FROM journal_tiles WHERE institution_id = $1", lost)
		w.Truncate(lost, 4)
		w.Forget(lost)
		after := start(t, w.Store, with(openSigned(t, path)))
		after.round(t)
		if code := w.refusal(lost); code != escrow.CodeHistoryLost {
			t.Errorf("a command on the shorter journal is answered %q", code)
		}
		w.Policies(kept, 1)

		// What is written over the lost entries is not signed until it has outgrown them.
		w.Do(lost, escrow.AcceptHistory{})
		w.Policies(lost, 5)
		after.round(t)
		if checkpoints := after.check(t, w.Store, lost); len(checkpoints) != 0 {
			t.Errorf("signed after 10 entries: %+v", checkpoints)
		}
		w.Policies(lost, 1)
		after.round(t)
		if checkpoints := after.check(t, w.Store, lost); len(checkpoints) != 1 || checkpoints[0].Size != 11 {
			t.Errorf("signed after 11 entries: %+v", checkpoints)
		}
	})
}

func TestNoSecondRootIsSigned(t *testing.T) {
	journaltest.EachStore(t, func(t *testing.T, databaseURL string) {
		w := open(t, databaseURL)
		of, again := w.Institution(), w.Institution()
		w.Policies(of, 9)

		// One server signs, and stores nothing; another journal's comes to be what it was.
		signed := openSigned(t, "")
		other := journallog.SignedCheckpoint{Institution: of, Size: 7, Root: translog.Hash{1}, At: time.Now().Add(time.Hour)}
		body := w.Entry(again, 1).Body
		for _, c := range []journallog.SignedCheckpoint{
			other, {Institution: again, Size: 1, Root: translog.LeafHash(body), At: time.Now()},
		} {
			if err := signed.Note(c); err != nil {
				t.Fatal(err)
			}
		}

		l := start(t, w.Store, with(signed))
		if err := l.Round(t.Context()); err == nil || !strings.Contains(err.Error(), "another root") {
			t.Errorf("the round ends with %v", err)
		}
		if checkpoints := l.check(t, w.Store, of); len(checkpoints) != 0 {
			t.Errorf("signed in spite of another root: %+v", checkpoints)
		}
		if checkpoints := l.check(t, w.Store, again); len(checkpoints) != 1 {
			t.Errorf("of the other journal there is %+v", checkpoints)
		}
	})
}

func TestWhatWasSignedIsKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "signed")
	a, b := escrow.InstitutionID{15: 1}, escrow.InstitutionID{15: 2}
	signed := openSigned(t, path)
	note := func(c journallog.SignedCheckpoint) error { return signed.Note(c) }
	last := journallog.SignedCheckpoint{Institution: a, Size: 2000, Root: translog.Hash{9}, At: time.Now().UTC().Truncate(time.Microsecond)}
	for size := range int64(1200) {
		if err := note(journallog.SignedCheckpoint{Institution: a, Size: size + 1, Root: translog.Hash{1}, At: last.At}); err != nil {
			t.Fatal(err)
		}
	}
	if err := note(last); err != nil {
		t.Fatal(err)
	}
	if err := note(journallog.SignedCheckpoint{Institution: b, Size: 3, Root: translog.Hash{2}, At: last.At}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]journallog.SignedCheckpoint{
		"a smaller size": {Institution: a, Size: 1999, Root: translog.Hash{9}}, "another root": {Institution: a, Size: 2000},
	} {
		if err := note(c); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if err := note(last); err != nil {
		t.Errorf("the same again: %v", err)
	}

	// A line that was cut off says nothing; the others stay.
	file := must(os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0))
	_ = must(file.WriteString(b.String() + " 70"))
	_ = file.Close()
	signed = openSigned(t, path)
	if got := signed.Last(a); got != last {
		t.Errorf("of the first journal %+v is remembered, want %+v", got, last)
	}
	if got := signed.Last(b); got.Size != 3 {
		t.Errorf("of the second journal %+v is remembered", got)
	}
	if text := string(must(os.ReadFile(path))); strings.Count(text, "\n") != 2 {
		t.Errorf("the file has not been written anew: %d lines", strings.Count(text, "\n"))
	}

	if err := os.WriteFile(path, []byte(a.String()+" many\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := journallog.OpenSigned(path); err == nil || !strings.Contains(err.Error(), path+", line 1: ") {
		t.Errorf("a file that cannot be read: %v", err)
	}
}

// The generated key is written again by whoever has it, and never replaced in silence.
func TestAKeyThatIsGone(t *testing.T) {
	journaltest.EachStore(t, func(t *testing.T, databaseURL string) {
		w := open(t, databaseURL)
		of := w.Institution()
		holder := start(t, w.Store, nil)
		holder.round(t)
		before := must(holder.Keys(t.Context()))

		w.Tamper("DELETE FROM checkpoint_keys")
		w.Policies(of, 1)
		stranger := start(t, w.Store, nil)
		if err := stranger.Round(t.Context()); err == nil || !strings.Contains(err.Error(), "CHECKPOINT_SIGNING_KEY") {
			t.Errorf("a server that does not have the key: %v", err)
		}
		holder.round(t)
		if after := must(holder.Keys(t.Context())); len(after) != 1 || after[0].VerifierKey != before[0].VerifierKey {
			t.Errorf("the keys are %v, want %v", after, before)
		}
		holder.check(t, w.Store, of)
		w.Policies(of, 1)
		stranger.round(t)
		stranger.check(t, w.Store, of)
	})
}

// Whoever swaps the generated key has servers sign with one that nobody can look up, so none does.
func TestAForeignKeySignsNothing(t *testing.T) {
	t.Parallel()
	journaltest.EachStore(t, func(t *testing.T, databaseURL string) {
		t.Parallel()
		w := open(t, databaseURL)
		of := w.Institution()
		start(t, w.Store, nil).round(t)
		own := must(w.CheckpointKeys(t.Context()))[0]
		foreign, _, err := translog.GenerateKey("escrowgrid.test")
		if err != nil {
			t.Fatal(err)
		}

		w.Tamper("UPDATE checkpoint_keys SET signing_key = $1", foreign)
		w.Policies(of, 1)
		l := start(t, w.Store, nil)
		if err := l.Round(t.Context()); err == nil || !strings.Contains(err.Error(), "is not that of the public key beside it") {
			t.Errorf("the round ends with %v", err)
		}
		if signed := l.check(t, w.Store, of); len(signed) != 1 {
			t.Errorf("there are %d checkpoints, want the one that the server's own key has signed", len(signed))
		}

		w.Tamper("UPDATE checkpoint_keys SET signing_key = $1", own.SigningKey)
		l.round(t)
		if signed := l.check(t, w.Store, of); len(signed) != 2 {
			t.Errorf("with its own key again, there are %d checkpoints", len(signed))
		}
	})
}

// Any server can be the next to sign: what one has signed, the others remember.
func TestServersRememberWhatOthersHaveSigned(t *testing.T) {
	w := open(t, pgtest.Shared(t).NewDatabase(t))
	of := w.Institution()
	signed := openSigned(t, "")
	one, other := start(t, w.Store, nil), start(t, w.Store, with(signed))
	one.round(t)
	other.round(t)
	if last := signed.Last(of); last.Size != 1 {
		t.Errorf("the other server remembers %+v", last)
	}
}

// refusal returns the code with which a command on an institution is refused.
func (w *writer) refusal(of escrow.InstitutionID) escrow.Code {
	w.t.Helper()
	command := journaltest.Valid(escrow.NewSetPolicy("US", escrow.PolicyInput{}))
	request := escrow.Request{Institution: of, Actor: escrow.ActorRoot(), RequestID: "r", Command: command}
	tx := must(w.Begin(w.t.Context(), map[escrow.InstitutionID]escrow.Needs{of: request.Needs()}))
	defer tx.Rollback(w.t.Context())
	outcome := must(tx.Books(of).Execute(request, escrow.Stamp{Now: time.Now(), Secret: escrow.Secret{1}}))
	if outcome.Refusal == nil {
		return ""
	}
	return outcome.Refusal.Code
}
