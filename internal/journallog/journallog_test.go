package journallog_test

import (
	"context"
	"log/slog"
	"math"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/journallog"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// writer writes to the journals of a database.
type writer struct {
	*journaltest.Writer
	t *testing.T
}

func open(t *testing.T, databaseURL string) *writer {
	t.Helper()
	return &writer{journaltest.Open(t, databaseURL), t}
}

func must[T any](value T, err error) T { return journaltest.Must(value, err) }

// started is a log with its metrics.
type started struct {
	*journallog.Log
	registry *prometheus.Registry
}

func start(t *testing.T, s *store.Store, change func(*journallog.Config)) started {
	t.Helper()
	config := journallog.Config{
		Store:    s,
		Logger:   slog.New(slog.DiscardHandler),
		Now:      time.Now,
		Metrics:  prometheus.NewRegistry(),
		Origin:   "escrowgrid.test",
		Interval: time.Hour,
	}
	if change != nil {
		change(&config)
	}
	log := journallog.Start(config)
	t.Cleanup(log.Close)
	return started{log, config.Metrics.(*prometheus.Registry)}
}

func (l started) round(t *testing.T) {
	t.Helper()
	if err := l.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// check reads a journal and compares its tree with all of its checkpoints, which it
// returns.
func (l started) check(t *testing.T, s *store.Store, institution escrow.InstitutionID) []journallog.Checkpoint {
	t.Helper()
	keys := must(l.Keys(t.Context()))
	var trusted []string
	for _, key := range keys {
		trusted = append(trusted, key.VerifierKey)
	}
	verifiers := must(translog.NewVerifiers(trusted...))

	page := must(l.Checkpoints(t.Context(), institution, escrow.PageRequest{Limit: 1000}))
	entries := must(s.StoredEntries(t.Context(), institution, 1, math.MaxInt64))

	var roots translog.Roots
	next := 0
	for _, entry := range entries {
		roots.Add(translog.LeafHash(entry.Body))
		if next < len(page.Items) && page.Items[next].Size == roots.Size() {
			opened, err := verifiers.Open(page.Items[next].Note)
			if err != nil || opened.Root != roots.Root() || opened.At.Before(entry.At) ||
				opened.Origin != translog.Origin("escrowgrid.test", institution) {
				t.Errorf("the checkpoint of %d is %+v, %v", roots.Size(), opened, err)
			}
			next++
		}
	}

	if next != len(page.Items) {
		t.Errorf("of %d checkpoints the journal of %d entries has %d", len(page.Items), len(entries), next)
	}
	return page.Items
}

func TestALogCatchesUp(t *testing.T) {
	journaltest.EachStore(t, func(t *testing.T, databaseURL string) {
		w := open(t, databaseURL)
		s := w.Store
		large, small := w.Institution(), w.Institution()
		w.Policies(large, 9000)

		l := start(t, s, nil)
		l.round(t)
		// A backlog is signed in pieces, so that no request has to read all of it.
		if checkpoints := l.check(t, s, large); len(checkpoints) != 2 ||
			checkpoints[0].Size != 8192 || checkpoints[1].Size != 9001 {
			t.Errorf("the checkpoints are %+v", checkpoints)
		}
		if checkpoints := l.check(t, s, small); len(checkpoints) != 1 {
			t.Errorf("the checkpoints of the other journal are %+v", checkpoints)
		}

		for _, more := range []int{1, 254, 300} {
			w.Policies(large, more)
			l.round(t)
		}
		l.round(t) // There is nothing new.
		if checkpoints := l.check(t, s, large); len(checkpoints) != 5 || checkpoints[4].Size != 9556 {
			t.Errorf("the checkpoints are then %+v", checkpoints)
		}

		for _, from := range []int64{1, 256, 8192, 9001, 9002} {
			p, err := l.Consistency(t.Context(), large, from, nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := translog.CheckConsistency(p.Proof, from, p.FromRoot, p.To, p.ToRoot); err != nil {
				t.Errorf("from %d: %v", from, err)
			}
		}

		const want = `
			# HELP escrowgrid_checkpoints_signed_total Checkpoints that this server signed.
			# TYPE escrowgrid_checkpoints_signed_total counter
			escrowgrid_checkpoints_signed_total 6
			# HELP escrowgrid_checkpoint_lag_entries Entries that no checkpoint covered when this server last looked, whichever server signs.
			# TYPE escrowgrid_checkpoint_lag_entries gauge
			escrowgrid_checkpoint_lag_entries 0
		`
		if err := testutil.GatherAndCompare(l.registry, strings.NewReader(want),
			"escrowgrid_checkpoints_signed_total", "escrowgrid_checkpoint_lag_entries"); err != nil {
			t.Error(err)
		}
	})
}

// Two servers that both believe that they follow the journals, as after a lost lock, still
// keep one consistent log.
func TestTwoFollowersKeepOneLog(t *testing.T) {
	journaltest.EachStore(t, func(t *testing.T, databaseURL string) {
		w := open(t, databaseURL)
		first := w.Store
		second := first
		if !first.Exclusive() {
			second = open(t, databaseURL).Store
		}
		institution := w.Institution()

		a, b := start(t, first, nil), start(t, second, nil)
		a.round(t)
		for range 5 {
			w.Policies(institution, 300)
			var rounds sync.WaitGroup
			for _, l := range []started{a, b} {
				rounds.Go(func() { _ = l.Round(t.Context()) }) // One of them may find that the other was faster.
			}
			rounds.Wait()
		}
		b.round(t)

		checkpoints := a.check(t, first, institution)
		if last := checkpoints[len(checkpoints)-1]; last.Size != 1501 {
			t.Errorf("the last checkpoint is of %d", last.Size)
		}
		if keys := must(b.Keys(t.Context())); len(keys) != 1 || !keys[0].Current {
			t.Errorf("the keys are %+v", keys)
		}
	})
}

func TestKeysRotate(t *testing.T) {
	journaltest.EachStore(t, func(t *testing.T, databaseURL string) {
		w := open(t, databaseURL)
		s := w.Store
		institution := w.Institution()

		sign := func(signers ...translog.Signer) (journallog.Checkpoint, []journallog.Key) {
			w.Policies(institution, 1)
			l := start(t, s, func(c *journallog.Config) { c.Signers = signers })
			l.round(t)
			l.check(t, s, institution)
			return must(l.Checkpoint(t.Context(), institution, nil)), must(l.Keys(t.Context()))
		}

		_, keys := sign()
		if len(keys) != 1 || !keys[0].Current {
			t.Fatalf("the first key is %+v", keys)
		}
		made := keys[0].VerifierKey
		if _, keys = sign(); len(keys) != 1 || keys[0].VerifierKey != made || !keys[0].Current {
			t.Errorf("after a restart the keys are %+v", keys)
		}

		older, newer := newSigner(t), newSigner(t)
		both, keys := sign(newer, older)
		if len(keys) != 3 || keys[0].VerifierKey != made || keys[0].Current || !keys[1].Current || !keys[2].Current {
			t.Errorf("with two keys they are %+v", keys)
		}
		for _, signer := range []translog.Signer{older, newer} {
			if _, err := must(translog.NewVerifiers(signer.VerifierKey())).Open(both.Note); err != nil {
				t.Errorf("with one of the two keys: %v", err)
			}
		}

		last, _ := sign(newer)
		if _, err := must(translog.NewVerifiers(older.VerifierKey())).Open(last.Note); err == nil {
			t.Error("the old key still signs")
		}
	})
}

func newSigner(t *testing.T) translog.Signer {
	t.Helper()
	_, signer, err := translog.GenerateKey("escrowgrid.test")
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

// A broken journal is reported and gets no checkpoint; the others get theirs.
func TestABrokenJournalIsNotSigned(t *testing.T) {
	journaltest.EachStore(t, func(t *testing.T, databaseURL string) {
		w := open(t, databaseURL)
		s := w.Store
		broken, whole := w.Institution(), w.Institution()
		w.Policies(broken, 3)
		w.Policies(whole, 3)
		w.Tamper("DELETE FROM journal_entries WHERE institution_id = $1 AND sequence = 2", broken)

		l := start(t, s, nil)
		err := l.Round(t.Context())
		if err == nil || !strings.Contains(err.Error(), broken.String()) ||
			!strings.Contains(err.Error(), "entry 2 is missing") {
			t.Errorf("a journal without its second entry is reported as %v", err)
		}
		if _, err := l.Checkpoint(t.Context(), broken, nil); escrow.ErrorCode(err) != escrow.CodeCheckpointNotFound {
			t.Errorf("the broken journal's checkpoint is %v", err)
		}
		if checkpoints := l.check(t, s, whole); len(checkpoints) != 1 {
			t.Errorf("the other journal's checkpoints are %+v", checkpoints)
		}
	})
}

// A log signs checkpoints on its own until it is closed.
func TestALogFollowsByItself(t *testing.T) {
	journaltest.EachStore(t, func(t *testing.T, databaseURL string) {
		w := open(t, databaseURL)
		s := w.Store
		institution := w.Institution()

		l := start(t, s, func(c *journallog.Config) { c.Interval = time.Millisecond })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		for {
			if _, err := l.Checkpoint(ctx, institution, nil); err == nil {
				break
			} else if ctx.Err() != nil {
				t.Fatal(err)
			}
		}

		l.Close()
		w.Policies(institution, 1)
		if checkpoint := must(l.Checkpoint(t.Context(), institution, nil)); checkpoint.Size != 1 {
			t.Errorf("a closed log has signed %d entries", checkpoint.Size)
		}
	})
}
