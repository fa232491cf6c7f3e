package engine_test

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
)

// backwards is a database with two servers on it, which goes back to how it was at a
// moment: as after a failover to a standby that was behind.
type backwards struct {
	t       *testing.T
	d       database
	proxy   *proxy
	server  *pgtest.Server
	backup  *pgcluster.Cluster
	recover func(time.Time)
	moment  time.Time
}

func newBackwards(t *testing.T) (*backwards, database) {
	t.Helper()
	server := pgtest.Start(t, pgcluster.WithDurability(), pgcluster.WithArchive())
	d := newPostgres(t, server)
	b := &backwards{t: t, d: d, server: server}
	through := d
	b.proxy, through.url = newProxy(t, d.url)
	b.backup, b.recover = server.BaseBackup(t)
	return b, through
}

// remember notes the moment that the database is to go back to.
func (b *backwards) remember() { b.moment = b.read("SELECT clock_timestamp()") }

func (b *backwards) read(statement string) (at time.Time) {
	b.t.Helper()
	if err := b.d.raw.QueryRowContext(b.t.Context(), statement).Scan(&at); err != nil {
		b.t.Fatalf("%s: %v", statement, err)
	}
	return at
}

// goBack has the servers meet the database as it was at the moment.
func (b *backwards) goBack() {
	b.t.Helper()
	var segment string
	if err := b.d.raw.QueryRowContext(b.t.Context(), "SELECT pg_walfile_name(pg_switch_wal())").Scan(&segment); err != nil {
		b.t.Fatal(err)
	}
	eventually(b.t, "the write-ahead log is archived", func() bool {
		var archived string
		err := b.d.raw.QueryRowContext(b.t.Context(),
			"SELECT COALESCE(last_archived_wal, '') FROM pg_stat_archiver").Scan(&archived)
		return err == nil && archived >= segment
	})
	b.server.Stop(b.t)
	b.recover(b.moment)

	recovered, err := url.Parse(b.backup.URL("postgres"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.proxy.server.Store(recovered.Host)
	b.proxy.closeAllBut(nil)
}

func lookingBack(c *engine.Config) { c.HistoryInterval = 100 * time.Millisecond }

func TestHistoryThatGoesBackIsNoticed(t *testing.T) {
	b, d := newBackwards(t)
	clock := newClock()
	clock.micros.Store(time.Now().UnixMicro())
	first, second := d.start(t, clock, lookingBack), d.start(t, clock, lookingBack)
	busy, quiet, untouched := first.institution(), first.institution(), first.institution()
	asset := first.asset(busy)
	key, secret := first.key(busy, escrow.RoleAdmin, nil)
	b.remember()

	lostPosition := accept[escrow.Position](first, root(busy, createPosition(asset, "holder", "7")))
	accept[escrow.APIKey](first, root(busy, escrow.RevokeKey{Key: key.ID}))
	_, lostSecret := first.key(quiet, escrow.RoleAdmin, nil)
	lostInstitution := first.institution()
	for _, s := range []*server{first, second} {
		// All of it has been acknowledged by one and seen by both.
		if _, err := s.Position(t.Context(), busy, lostPosition.ID); err != nil {
			t.Fatal(err)
		}
		s.authenticate(t, "the key before it is lost", lostSecret, true)
		s.authenticate(t, "the revoked key", secret, false)
		accept[escrow.Policy](s, root(lostInstitution, valid(escrow.NewSetPolicy("US", escrow.PolicyInput{}))))
	}

	b.goBack()
	for name, s := range map[string]*server{"the first": first, "the second": second} {
		if _, err := s.Position(t.Context(), busy, lostPosition.ID); escrow.ErrorCode(err) != escrow.CodePositionNotFound {
			t.Errorf("%s answers for a position that is lost: %v", name, err)
		}
		s.authenticateIf(t, "a key that is lost", lostSecret, true, false)
		refuse(s, root(busy, createPosition(asset, "holder", "8")), escrow.CodeHistoryLost)
		// Nobody asks for the others.
		eventually(t, name+" counts what is lost", func() bool { return s.metric("history_lost_institutions") == 3 })
		refuse(s, root(quiet, valid(escrow.NewSetPolicy("US", escrow.PolicyInput{}))), escrow.CodeHistoryLost)
		accept[escrow.Policy](s, root(untouched, valid(escrow.NewSetPolicy("US", escrow.PolicyInput{}))))
	}

	accept[escrow.Institution](second, root(busy, escrow.AcceptHistory{}))
	for _, s := range []*server{first, second} {
		accept[escrow.Position](s, root(busy, createPosition(asset, "holder", "9")))
		eventually(t, "what was accepted is counted no more", func() bool { return s.metric("history_lost_institutions") == 2 })
	}

	// Whoever had not noticed until now knows by the entry that it was accepted.
	lost, err := first.store.HaltIfLost(t.Context(), busy, escrow.Head{Sequence: 5, At: clock.now()})
	if err != nil || lost {
		t.Errorf("what was accepted is lost again: %t, %v", lost, err)
	}
	lost, err = first.store.HaltIfLost(t.Context(), busy, escrow.Head{Sequence: 50, At: clock.now()})
	if err != nil || !lost {
		t.Errorf("more than was accepted is not lost: %t, %v", lost, err)
	}
}

// A restored backup need not show in anything but the journals.
func TestEntriesThatAreTakenAwayAreNoticed(t *testing.T) {
	d := newPostgres(t, pgtest.Shared(t))
	servers := d.pair(t, lookingBack)
	shorter, replaced := servers[0].institution(), servers[0].institution()
	asset := servers[0].asset(shorter)
	head := func(of escrow.InstitutionID) string { return fmt.Sprintf("institution_id = '%x'", of[:]) }
	for _, s := range servers {
		accept[escrow.Position](s, root(shorter, createPosition(asset, "holder", "7")))
		accept[escrow.Policy](s, root(replaced, valid(escrow.NewSetPolicy("US", escrow.PolicyInput{}))))
	}

	d.exec(t, "",
		"ALTER TABLE journal_entries DISABLE TRIGGER ALL",
		"DELETE FROM journal_entries WHERE sequence > 3 AND "+head(shorter),
		"DELETE FROM positions WHERE "+head(shorter),
		"UPDATE journal_heads SET sequence = 3, last_at = last_at - interval '1 second' WHERE "+head(shorter),
		// Another entry has come in the place of the last.
		"UPDATE journal_entries SET at = at + interval '1 second' WHERE sequence = 3 AND "+head(replaced),
		"UPDATE journal_heads SET last_at = last_at + interval '1 second' WHERE "+head(replaced),
	)
	for _, s := range servers {
		refuse(s, root(shorter, createPosition(asset, "holder", "8")), escrow.CodeHistoryLost)
		eventually(t, "what is lost is counted", func() bool { return s.metric("history_lost_institutions") == 2 })
		refuse(s, root(replaced, valid(escrow.NewSetPolicy("US", escrow.PolicyInput{}))), escrow.CodeHistoryLost)
	}
}
