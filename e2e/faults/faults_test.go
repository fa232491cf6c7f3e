// Package faults runs servers on a PostgreSQL that Patroni fails over under load: its primary
// is killed, cut off, or replaced by a standby that has missed the last entries.
package faults

import (
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/testbed/programtest"
)

var (
	kills     = flag.Int("kills", 1, "how often the primary of a synchronous cluster is killed")
	splits    = flag.Int("splits", 1, "how often it is cut off and lives on")
	rollbacks = flag.Int("rollbacks", 1, "how often a standby takes over that has missed entries")
)

// enough is how many writes show that a server writes.
const enough = 50

func TestMain(m *testing.M) { os.Exit(programtest.Run(m)) }

// compare compares what was acknowledged with what there is.
func (s *service) compare(acknowledged []write) {
	s.t.Helper()
	held := make(map[string]map[string]string)
	for _, tenant := range s.tenants {
		held[tenant.InstitutionID] = s.held(tenant)
	}
	missing := 0
	for _, w := range acknowledged {
		if there := held[w.tenant.InstitutionID][w.holder]; there != w.id {
			missing++
			if missing < 10 {
				s.t.Errorf("%s was acknowledged as %s by server %d, and there is %q", w.holder, w.id, w.server, there)
			}
		}
	}
	s.t.Logf("%d writes were acknowledged, %d of them are missing", len(acknowledged), missing)
}

// A primary that is killed under load loses nothing that was acknowledged, and the servers
// find the next one by themselves.
func TestAKilledPrimaryLosesNothing(t *testing.T) {
	t.Parallel()
	s := serve(t, newCluster(t, mode{nodes: 3, synchronous: true}))
	l := s.begin("kill")
	for round := range *kills {
		l.goesOn(enough, all()...)
		killed := s.primary()
		killed.kill()
		at := time.Now()
		next := s.primary()
		promoted := time.Since(at)
		l.goesOn(enough, all()...)
		t.Logf("kill %d: %s took over from %s after %v, both servers write after %v",
			round+1, next.name, killed.name, promoted.Round(time.Millisecond), time.Since(at).Round(time.Millisecond))
		killed.start()
		s.settled()
	}
	s.kept(l)
}

// A primary that is cut off from the others lives on, and has clients: server 0 is on its side
// of the cut, server 1 on the other, where a standby takes over. What commits on it without a
// standby to confirm it is acknowledged to nobody, seen or signed by a server that takes it
// for history, and is gone when the cut is mended.
func TestASplitBrainLosesNothing(t *testing.T) {
	t.Parallel()
	s := serve(t, newCluster(t, mode{nodes: 3, synchronous: true}))
	l := s.begin("split")
	for round := range *splits {
		l.goesOn(enough, all()...)
		old := s.primary()
		read := l.lastWrites(0, 0)
		old.isolate()
		s.forgetStandbys(old)
		before := s.heads(old)
		at := time.Now()
		next := s.primary()
		promoted := time.Since(at)
		l.goesOn(enough, 1)
		wrote := time.Since(at)
		s.unconfirmed(old, before, read)

		mended := time.Now()
		old.rejoin()
		s.settled()
		l.goesOn(enough, all()...)
		t.Logf("split %d: %s took over from %s after %v, its server writes after %v, both %v after the mending",
			round+1, next.name, old.name, promoted.Round(time.Millisecond), wrote.Round(time.Millisecond),
			time.Since(mended).Round(time.Millisecond))
	}
	s.kept(l)
}

// kept ends a load, and compares what it has left: nothing that was acknowledged is lost, and
// no institution is halted.
func (s *service) kept(l *load) {
	s.t.Helper()
	acknowledged := l.end()
	for server := range s.servers {
		if lost := s.lost(server); lost != 0 || l.halted[server] != 0 {
			s.t.Errorf("server %d takes %d institutions for halted, and has refused %d writes", server, lost, l.halted[server])
		}
	}
	s.compare(acknowledged)
	s.verify()
	s.t.Logf("the longest time without an acknowledged write: %v", l.longest)
}

// isolate cuts a primary off from etcd, from the other nodes and from server 1, with a
// Patroni that does not notice: otherwise it would end PostgreSQL.
func (n *node) isolate() {
	n.freeze()
	for _, link := range []*link{n.etcd, n.replication, n.asked, n.clients[1]} {
		link.cut()
	}
}

// rejoin ends that. Patroni is started anew: one that goes on where it was stopped can take the
// lock from the next primary (Patroni 3.0 with etcd's API of version 3 writes it unasked), and
// what that one has acknowledged is lost. Replication comes last: until Patroni has ended the primary
// that it finds, it lets any standby confirm what commits there, and that would be history.
func (n *node) rejoin() {
	n.killPatroni()
	for _, link := range []*link{n.etcd, n.asked, n.clients[1]} {
		link.mend()
	}
	n.start()
	programtest.Eventually(n.cluster.t, "the primary of before is a standby", func() bool { return n.is("replica") })
	n.replication.mend()
}

// forgetStandbys has a node that is cut off forget how far its standbys are. A Patroni that is started
// again lets any standby confirm what commits, before it ends PostgreSQL: one that was not to confirm,
// and was cut off a moment later than the other, would then confirm entries that the other does not have.
func (s *service) forgetStandbys(n *node) {
	s.t.Helper()
	programtest.Eventually(s.t, "the node that is cut off has no standbys", func() bool {
		return s.value(n, "postgres", "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_replication") == "0"
	})
}

// unconfirmed cancels the waits of commits on a node for a standby, as clients and
// administrators do who lose their patience, until every journal has grown there by entries
// that no other node has, and until server 0 has read of each.
func (s *service) unconfirmed(n *node, before string, read []write) {
	s.t.Helper()
	programtest.Eventually(s.t, "every journal has entries that no standby has confirmed", func() bool {
		s.value(n, "postgres", `SELECT count(*) FILTER (WHERE pg_cancel_backend(pid)) FROM pg_stat_activity
			WHERE wait_event = 'SyncRep' AND application_name = 'escrowgrid'`)
		return s.value(n, database, fmt.Sprintf(`SELECT bool_and(h.sequence > (b.value #>> '{}')::bigint)
			FROM json_each('%s') AS b JOIN journal_heads AS h ON h.institution_id::text = b.key`, before)) == "true"
	})
	for _, w := range read {
		get := request{method: http.MethodGet, path: "/positions/" + w.id}
		programtest.Eventually(s.t, "server 0 shows what was there before", func() bool {
			return s.ask(s.t.Context(), 0, w.tenant, get).status == http.StatusOK
		})
	}
}

// heads are how long the journals are on a node, as JSON.
func (s *service) heads(n *node) string {
	return s.value(n, database, "SELECT json_object_agg(institution_id, sequence) FROM journal_heads WHERE sequence > 1")
}

// A standby that has missed the last entries takes over. Every server notices which journals
// have gone back, answers nothing of what is lost, and signs no size twice; once the operator
// has accepted the loss, all goes on.
func TestAStandbyThatMissedEntriesIsNoticed(t *testing.T) {
	t.Parallel()
	s := serve(t, newCluster(t, mode{nodes: 2}))
	var kept []string
	for round := range *rollbacks {
		word := fmt.Sprintf("round-%d", round)
		lost, killed := s.rollBack(word)
		s.goOn(word, lost)
		kept = append(kept, s.keepCheckpoints()...)
		killed.start()
		s.settled()
	}
	s.verify(kept...)
}

// rollBack has a standby take over that misses the last writes, and returns some of those.
func (s *service) rollBack(word string) (lost []write, killed *node) {
	l := s.begin(word)
	l.goesOn(enough, all()...)
	killed = s.primary()
	killed.replication.cut()
	before := l.counts()
	l.goesOn(enough, all()...)
	s.signsMore()
	killed.kill()
	l.end()
	killed.replication.mend()

	for server, count := range before {
		lost = append(lost, l.lastWrites(server, count)...)
	}
	if len(lost) != servers*institutions {
		s.t.Fatalf("%d servers and institutions have lost writes", len(lost))
	}
	return lost, killed
}

// signsMore waits until a larger checkpoint of each journal is seen.
func (s *service) signsMore() {
	s.t.Helper()
	for _, tenant := range s.tenants {
		before := s.largest(tenant)
		programtest.Eventually(s.t, "a journal has a larger checkpoint", func() bool { return s.largest(tenant) > before })
	}
}

// goOn waits until every server has noticed what is lost, and accepts it.
func (s *service) goOn(word string, lost []write) {
	s.t.Helper()
	killed := time.Now()
	l := s.begin(word + "-after")
	s.primary()
	promoted := time.Now()
	var noticed [servers]time.Duration
	for server := range s.servers {
		programtest.Eventually(s.t, "a server has noticed", func() bool {
			s.answersNothingOf(server, lost)
			return s.isHalted(server, word) || s.t.Failed()
		})
		noticed[server] = s.noticed(server, killed).Sub(promoted).Round(time.Millisecond)
	}
	if count := l.counts(); count != [servers]int{} {
		s.t.Errorf("the servers have acknowledged %v writes to journals that had gone back", count)
	}

	arguments := []string{"accept-history"}
	for _, tenant := range s.tenants {
		arguments = append(arguments, tenant.InstitutionID)
	}
	output, err := s.run(arguments...)
	if err != nil || strings.Count(output, "are accepted as lost") != institutions {
		s.t.Fatalf("the loss is not accepted: %v\n%s", err, output)
	}
	accepted := time.Now()
	l.goesOn(enough, all()...)
	s.t.Logf("%s: a standby took over after %v; the servers noticed %v after that, and write %v after it was accepted",
		word, promoted.Sub(killed).Round(time.Millisecond), noticed, time.Since(accepted).Round(time.Millisecond))

	s.signsMore()
	for server := range s.servers {
		s.answersNothingOf(server, lost)
	}
	s.compare(l.end())
}

// noticed is when a server has last written to its log, since a time, that a journal has gone
// back: the first line of each counts.
func (s *service) noticed(server int, since time.Time) (last time.Time) {
	seen := make(map[string]bool)
	for line := range strings.Lines(s.logs[server].Log()) {
		var entry struct {
			Time        time.Time
			Msg         string
			Institution string `json:"institution_id"`
		}
		if err := json.Unmarshal([]byte(line), &entry); err != nil || entry.Time.Before(since) ||
			!strings.HasPrefix(entry.Msg, "the database has gone back") || seen[entry.Institution] {
			continue
		}
		seen[entry.Institution], last = true, entry.Time
	}
	return last
}

// isHalted reports whether a server refuses writes to every institution, and counts them.
func (s *service) isHalted(server int, word string) bool {
	for _, tenant := range s.tenants {
		if s.ask(s.t.Context(), server, tenant, claim(tenant, word+"-halted")).code != "history_lost" {
			return false
		}
	}
	return s.lost(server) == institutions
}

// answersNothingOf fails the test where a server shows what is lost.
func (s *service) answersNothingOf(server int, lost []write) {
	s.t.Helper()
	for _, w := range lost {
		a := s.ask(s.t.Context(), server, w.tenant, request{method: http.MethodGet, path: "/positions/" + w.id})
		if a.status == http.StatusOK {
			s.t.Errorf("server %d shows %s, which is lost", server, w.holder)
		}
	}
}
