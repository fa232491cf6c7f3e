package journallog_test

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/escrowgrid/escrowgrid"
	"github.com/escrowgrid/escrowgrid/internal/journallog"
	"github.com/escrowgrid/escrowgrid/internal/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// eachStore runs a test on both stores.
func eachStore(t *testing.T, test func(t *testing.T, databaseURL string)) {
	t.Run("sqlite", func(t *testing.T) { test(t, "sqlite:"+filepath.Join(t.TempDir(), "escrowgrid.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, pgtest.Shared(t).NewDatabase(t)) })
}

func open(t *testing.T, databaseURL string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), databaseURL, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// writer appends entries to journals.
type writer struct {
	*store.Store
	t     *testing.T
	count uint64
}

// do commits commands of the operator together, in the books of one institution.
func (w *writer) do(institution escrowgrid.InstitutionID, commands ...escrowgrid.Command) (made []escrowgrid.Resource) {
	w.t.Helper()
	requests := make([]escrowgrid.Request, len(commands))
	for i, command := range commands {
		requests[i] = escrowgrid.Request{Institution: institution, Actor: escrowgrid.ActorRoot(), RequestID: "test", Command: command}
	}
	batch, err := w.Begin(w.t.Context(), map[escrowgrid.InstitutionID]escrowgrid.Needs{institution: escrowgrid.MergeNeeds(requests)})
	if err != nil {
		w.t.Fatal(err)
	}
	for _, request := range requests {
		w.count += 2
		outcome, err := batch.Books(institution).Execute(request, escrowgrid.Stamp{Now: time.Now(), Random: [2]uint64{w.count, w.count + 1}})
		if err != nil || outcome.Refusal != nil {
			w.t.Fatal(err, outcome.Refusal)
		}
		made = append(made, outcome.Resource)
	}
	if err := batch.Commit(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	return made
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// institution makes an institution, whose journal has one entry.
func (w *writer) institution() escrowgrid.InstitutionID {
	w.t.Helper()
	made := w.do(escrowgrid.InstitutionID{}, must(escrowgrid.NewCreateInstitution(escrowgrid.InstitutionInput{Name: "Meridian Bank", Regions: []string{"US"}})))
	return made[0].(escrowgrid.Institution).ID
}

// policies appends so many entries to a journal, the cheapest that there are.
func (w *writer) policies(institution escrowgrid.InstitutionID, entries int) {
	w.t.Helper()
	for made := 0; made < entries; {
		var commands []escrowgrid.Command
		for ; made < entries && len(commands) < 1000; made++ {
			least := escrowgrid.Digits(fmt.Sprint(w.count + uint64(made) + 1))
			commands = append(commands, must(escrowgrid.NewSetPolicy("US", escrowgrid.PolicyInput{Position: escrowgrid.RulesInput{MinAmount: &least}})))
		}
		w.do(institution, commands...)
	}
}

// started is a log with its metrics and what it logs.
type started struct {
	*journallog.Log
	registry *prometheus.Registry
}

func start(t *testing.T, s *store.Store, change func(*journallog.Config)) started {
	t.Helper()
	config := journallog.Config{
		Store: s, Logger: slog.New(slog.DiscardHandler), Now: time.Now, Metrics: prometheus.NewRegistry(),
		Name: "escrowgrid.test", Interval: time.Hour,
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
func (l started) check(t *testing.T, s *store.Store, institution escrowgrid.InstitutionID) []journallog.Checkpoint {
	t.Helper()
	keys := must(l.Keys(t.Context()))
	var trusted []string
	for _, key := range keys {
		trusted = append(trusted, key.VerifierKey)
	}
	verifiers := must(translog.NewVerifiers(trusted...))
	page := must(l.Checkpoints(t.Context(), institution, escrowgrid.PageRequest{Limit: 1000}))
	entries := must(s.StoredEntries(t.Context(), institution, 1, math.MaxInt64))
	var roots translog.Roots
	next := 0
	for _, entry := range entries {
		roots.Add(translog.LeafHash(entry.Body))
		if next < len(page.Items) && page.Items[next].Size == roots.Size() {
			opened, err := verifiers.Open(page.Items[next].Note)
			if err != nil || opened.Root != roots.Root() || opened.Origin != translog.Origin("escrowgrid.test", institution) || opened.At.Before(entry.At) {
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
	eachStore(t, func(t *testing.T, databaseURL string) {
		s := open(t, databaseURL)
		w := &writer{Store: s, t: t}
		large, small := w.institution(), w.institution()
		w.policies(large, 9000)
		l := start(t, s, nil)
		l.round(t)
		// What has gathered is signed in pieces, so that no answer has to read all of it.
		if checkpoints := l.check(t, s, large); len(checkpoints) != 2 || checkpoints[0].Size != 8192 || checkpoints[1].Size != 9001 {
			t.Errorf("the checkpoints are %+v", checkpoints)
		}
		if checkpoints := l.check(t, s, small); len(checkpoints) != 1 {
			t.Errorf("the checkpoints of the other journal are %+v", checkpoints)
		}
		for _, more := range []int{1, 254, 300} {
			w.policies(large, more)
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
			# HELP escrowgrid_log_checkpoints_total Checkpoints that this server signed.
			# TYPE escrowgrid_log_checkpoints_total counter
			escrowgrid_log_checkpoints_total 6
			# HELP escrowgrid_log_lag_entries Entries that no checkpoint covered when this server last looked; 0 on a server that leaves the log to another.
			# TYPE escrowgrid_log_lag_entries gauge
			escrowgrid_log_lag_entries 0
		`
		if err := testutil.GatherAndCompare(l.registry, strings.NewReader(want), "escrowgrid_log_checkpoints_total", "escrowgrid_log_lag_entries"); err != nil {
			t.Error(err)
		}
	})
}

// Two servers that both think that the log is theirs, as after a lock that was lost,
// leave one log that holds.
func TestTwoFollowersKeepOneLog(t *testing.T) {
	eachStore(t, func(t *testing.T, databaseURL string) {
		first := open(t, databaseURL)
		second := first
		if !first.Exclusive() {
			second = open(t, databaseURL)
		}
		w := &writer{Store: first, t: t}
		institution := w.institution()
		a, b := start(t, first, nil), start(t, second, nil)
		a.round(t)
		for range 5 {
			w.policies(institution, 300)
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
	eachStore(t, func(t *testing.T, databaseURL string) {
		s := open(t, databaseURL)
		w := &writer{Store: s, t: t}
		institution := w.institution()
		sign := func(signers ...translog.Signer) (journallog.Checkpoint, []journallog.Key) {
			w.policies(institution, 1)
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
				t.Errorf("who knows one of two keys: %v", err)
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

// A journal that is broken gets no checkpoint, and is told of; the others get theirs.
func TestABrokenJournalIsNotSigned(t *testing.T) {
	eachStore(t, func(t *testing.T, databaseURL string) {
		s := open(t, databaseURL)
		w := &writer{Store: s, t: t}
		broken, whole := w.institution(), w.institution()
		w.policies(broken, 3)
		w.policies(whole, 3)
		breakJournal(t, databaseURL, broken)
		l := start(t, s, nil)
		err := l.Round(t.Context())
		if err == nil || !strings.Contains(err.Error(), broken.String()) || !strings.Contains(err.Error(), "entry 2 is missing") {
			t.Errorf("a journal without its second entry is told as %v", err)
		}
		if _, err := l.Checkpoint(t.Context(), broken, nil); escrowgrid.ErrorCode(err) != escrowgrid.CodeCheckpointNotFound {
			t.Errorf("the broken journal's checkpoint is %v", err)
		}
		if checkpoints := l.check(t, s, whole); len(checkpoints) != 1 {
			t.Errorf("the other journal's checkpoints are %+v", checkpoints)
		}
	})
}

// A log that runs signs by itself, and ends when it is closed.
func TestALogFollowsByItself(t *testing.T) {
	eachStore(t, func(t *testing.T, databaseURL string) {
		s := open(t, databaseURL)
		w := &writer{Store: s, t: t}
		institution := w.institution()
		l := start(t, s, func(c *journallog.Config) { c.Interval = time.Millisecond })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for {
			if _, err := l.Checkpoint(ctx, institution, nil); err == nil {
				break
			} else if ctx.Err() != nil {
				t.Fatal(err)
			}
		}
		l.Close()
		w.policies(institution, 1)
		if checkpoint := must(l.Checkpoint(t.Context(), institution, nil)); checkpoint.Size != 1 {
			t.Errorf("a log that was closed has signed %d entries", checkpoint.Size)
		}
	})
}
