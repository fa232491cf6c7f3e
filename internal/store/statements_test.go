package store

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

var rewrite = flag.Bool("update", false, "write the statements that the store issues into their file")

// StatementsFile has every statement that the store issues.
const StatementsFile = "testdata/statements.golden.sql"

const statementsHeader = `-- Every statement that the store issues, each with the calls that issue it. Lists stand here without
-- a filter, and with each by itself; conditions of several are joined by AND. On PostgreSQL, a list of rows that can
-- be large stands within a query that ends it where a page has enough bytes. Written by
--
--     go test ./internal/store -run TestStatements -update
--
-- In psql, EXPLAIN (GENERIC_PLAN) before a statement shows its plan, and \bind with values behind it,
-- in the place of the semicolon, runs it. SQLite is given ?1 for $1.
`

// statements collects statements with the calls that issue them.
type statements struct {
	order []string
	calls map[string][]string
}

func (s *statements) add(call, sql string) {
	sql = formatted(sql)
	if s.calls[sql] == nil {
		s.order = append(s.order, sql)
	}
	if known := s.calls[sql]; len(known) == 0 || known[len(known)-1] != call {
		s.calls[sql] = append(known, call)
	}
}

func (s *statements) file() string {
	var file strings.Builder
	file.WriteString(statementsHeader)
	for _, sql := range s.order {
		fmt.Fprintf(&file, "\n-- %s\n%s;\n", strings.Join(s.calls[sql], "; "), sql)
	}
	return file.String()
}

// clauses begin a line of their own.
var clauses = regexp.MustCompile(`^ (FROM|JOIN|WHERE|ORDER BY|VALUES|SET|ON CONFLICT) `)

// formatted lays a statement out for reading: a clause a line, but for those in parentheses.
func formatted(sql string) string {
	sql = strings.ReplaceAll(strings.Join(strings.Fields(sql), " "), "( ", "(")
	var out strings.Builder
	depth := 0
	for i, letter := range sql {
		switch letter {
		case '(':
			depth++
		case ')':
			depth--
		}
		if depth == 0 && clauses.MatchString(sql[i:]) && !strings.HasSuffix(sql[:i], "SELECT *") {
			out.WriteString("\n   ")
		}
		out.WriteRune(letter)
	}

	var lines []string
	for line := range strings.SplitSeq(out.String(), "\n") {
		for len(line) > 110 {
			end := max(strings.LastIndex(line[:110], ", ")+1, strings.LastIndex(line[:110], " AND "))
			if end <= 8 {
				break
			}
			lines = append(lines, line[:end])
			line = "        " + line[end+1:]
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// recording is a database that notes what it is asked, under the name of a call.
type recording struct {
	database
	call  *string
	found *statements
}

func (r recording) query(ctx context.Context, sql string, args []any, scan func(row) error) error {
	r.found.add(*r.call, sql)
	return r.database.query(ctx, sql, args, scan)
}

func (r recording) list(ctx context.Context, sql string, args []any, scan func(row) error) error {
	r.found.add(*r.call, sql)
	return r.database.list(ctx, sql, args, scan)
}

func (r recording) exec(ctx context.Context, sql string, args []any) (int64, error) {
	r.found.add(*r.call, sql)
	return r.database.exec(ctx, sql, args)
}

func (r recording) begin(ctx context.Context, needs groupNeeds) (Tx, error) {
	tx, err := r.database.begin(ctx, needs)
	return recordingTx{tx, *r.call, r.found}, err
}

// recordingTx notes what a transaction is asked beyond its books.
type recordingTx struct {
	Tx
	call  string
	found *statements
}

func (r recordingTx) read(ctx context.Context, sql string, args []any, scan func(row) error) error {
	r.found.add(r.call, sql)
	return r.Tx.read(ctx, sql, args, scan)
}

func (r recording) transact(_ context.Context, fill func(changeSink) error) error {
	return fill(recordingSink{*r.call, r.found})
}

// recordingSink notes how both databases would write.
type recordingSink struct {
	call  string
	found *statements
}

func (s recordingSink) write(c change) error {
	s.found.add(s.call+" on SQLite, for each row", c.perRow)
	s.found.add(s.call+" on PostgreSQL", c.perSet)
	return nil
}

// allStatements has the store issue all that it can.
func allStatements(t *testing.T) *statements {
	t.Helper()
	s, err := Open(t.Context(), "sqlite::memory:", 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	found := &statements{calls: make(map[string][]string)}
	addTransactions(t, found)

	var call string
	recorded := newStore(recording{s.database, &call, found}, newRowCache())
	// Whom events and entries are read of must be there.
	of := escrow.InstitutionID{15: 1}
	rows := errors.Join(
		insertOne(t, s, headTable, head{of, escrow.Head{Sequence: 1}}),
		insertOne(t, s, institutionTable, escrow.Institution{ID: of, Upkeep: escrow.Upkeep{Version: 1}}),
		insertOne(t, s, positionTable, escrow.Position{
			InstitutionID: of, Currency: money.Currency{Code: "USD", Decimals: 2}, Amount: 1, State: escrow.StateCreated, Version: 1,
		}),
	)
	if rows != nil {
		t.Fatal(rows)
	}
	for _, c := range calls(t.Context(), of) {
		call = c.name
		if err := absent(c.run(recorded)); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
	}
	return found
}

func insertOne[T any](t *testing.T, s *Store, table *table[T], row T) error {
	return s.database.transact(t.Context(), func(sink changeSink) error { return insert(sink, table, []T{row}) })
}

// addTransactions adds what transactions on the books are made of.
func addTransactions(t *testing.T, found *statements) {
	t.Helper()
	of := escrow.InstitutionID{15: 1}
	needs := booksNeeds{of: of, rows: escrow.Needs{
		Institution: true, ActiveKeys: true, HoldingPosition: true, Policies: true, Roles: true, Provider: true, Secrets: true, Keys: []escrow.KeyID{{}}, Users: []escrow.UserID{{}}, Identities: []escrow.Identity{{}}, Templates: []escrow.TemplateID{{}}, Assets: []escrow.AssetID{{}},
		Positions: []escrow.PositionID{{}}, Erasures: []escrow.ErasureID{{}}, Records: []string{""},
		Rules: true, Approvals: []escrow.ApprovalID{{}}, PendingOn: []string{""}, Moves: []string{""},
		Holds: []escrow.HoldID{{}}, HoldsOn: []escrow.PositionID{{}},
	}}
	found.add("Begin on SQLite", "BEGIN IMMEDIATE")
	found.add("Begin or Commit on PostgreSQL", beginReadCommitted)
	found.add("Begin on SQLite, journal_heads", headTable.byKey)
	found.add("Begin or Commit on PostgreSQL, journal_heads", headsLocked)
	for _, table := range bookTables {
		table.loadEach(func(sql string, _ []any, _ func(row) error) { found.add("Begin on SQLite, "+table.Name(), sql) }, &needs, nil)
		table.loadAll(func(sql string, _ []any, _ func(row) error) { found.add("Begin on PostgreSQL, "+table.Name(), sql) }, []booksNeeds{needs}, nil)
	}

	found.add("Begin on SQLite, for templates with uniqueExternalReference", positionByReference)
	found.add("Begin on PostgreSQL, for templates with uniqueExternalReference", positionsByReference)

	sink := recordingSink{"Commit", found}
	books := escrow.NewBooks(of, escrow.Head{}, true)
	books.Entries = make([]escrow.Entry, 1)
	books.Institutions.Put(of, escrow.Institution{})
	books.Keys.Put(escrow.KeyID{}, escrow.APIKey{Version: 1})
	books.Providers.Put(of, escrow.IdentityProvider{})
	books.Users.Put(escrow.UserID{}, escrow.User{})
	books.Secrets.Put(escrow.SecretName{}, escrow.SealedSecret{})
	books.Roles.Put("", escrow.Role{})
	books.Policies.Put("", escrow.Policy{})
	books.Templates.Put(escrow.TemplateID{}, escrow.AssetTemplate{})
	books.Assets.Put(escrow.AssetID{}, escrow.Asset{})
	books.Positions.Put(escrow.PositionID{}, escrow.Position{})
	books.Holds.Put(escrow.HoldID{}, escrow.Hold{})
	books.Erasures.Put(escrow.ErasureID{}, escrow.Erasure{})
	books.Rules.Put(of, escrow.ApprovalRules{})
	books.Approvals.Put(escrow.ApprovalID{}, escrow.Approval{})
	books.Subjects.Put("", escrow.ApprovalSubject{})
	books.Moves.Put("", escrow.RecentMoves{})
	books.Records.Put("", escrow.Record{})
	err := errors.Join(
		writeGroup(sink, []*escrow.Books{books}, true),
		update(sink, institutionTable, []escrow.Institution{{}}),
		update(sink, keyTable, []escrow.APIKey{{}}),
		update(sink, providerTable, []escrow.IdentityProvider{{}}),
		update(sink, userTable, []escrow.User{{}}),
		update(sink, secretTable, []OwnedSecret{{}}),
		update(sink, roleTable, []escrow.Role{{}}),
		update(sink, templateTable, []escrow.AssetTemplate{{}}),
		update(sink, assetTable, []escrow.Asset{{}}),
		update(sink, policyTable, []escrow.Policy{{}}),
		update(sink, positionTable, []escrow.Position{{}}),
		update(sink, holdTable, []escrow.Hold{{}}),
		update(sink, rulesTable, []escrow.ApprovalRules{{}}),
		update(sink, approvalTable, []escrow.Approval{{}}),
		update(sink, movesTable, []escrow.RecentMoves{{}}),
		clearPrivate(sink, []clearing{{}, {Approval: escrow.ApprovalID{1}}}),
	)
	if err != nil {
		t.Fatal(err)
	}
	found.add("Commit", "COMMIT")
	found.add("Rollback", "ROLLBACK")
	found.add("Position, Key and their like on PostgreSQL, before they count on what is remembered", headsOf)
	found.add("CheckWritable on PostgreSQL", isReadOnly)
	found.add("each connection to PostgreSQL", sessionState)
	found.add("each connection to PostgreSQL", settingsOfSession)
	found.add("each transaction on PostgreSQL behind a pooler", settingsOfTransaction(true))
	found.add("a new connection on PostgreSQL", identityQuery)
	found.add("CheckHistory on PostgreSQL", journalsBehind)
	found.add("Confirm on PostgreSQL", waited)
	found.add("each connection to PostgreSQL", watchClient(forSession))
	found.add("each connection to PostgreSQL behind a pooler", watchClient(forTransaction))
	for _, table := range copiedTables {
		sql := table.copyStatements()
		found.add("CopyFrom, rows of "+table.Name(), sql.first)
		found.add("CopyFrom, later rows of "+table.Name(), sql.later)
		found.add("CopyFrom on SQLite, for each row of "+table.Name(), sql.inserts.perRow)
		found.add("CopyFrom on PostgreSQL, rows of "+table.Name(), sql.inserts.perSet)
	}
	found.add("Positions within a template, for each asset", assetTemplatesByKey.perRow)
	found.add("Positions within a template on PostgreSQL", assetTemplatesByKey.perSet)
	found.add("KeyUses on PostgreSQL", keyUsesByKey.perSet)
	found.add("PendingOn, for each subject", pendingOn.perRow)
	found.add("PendingOn on PostgreSQL", pendingOn.perSet)
	found.add("HoldsOn, for each position", holdsOn.perRow)
	found.add("HoldsOn on PostgreSQL", holdsOn.perSet)
	found.add("AddHoldSteps, for each step", entriesBySequence.perRow)
	found.add("AddHoldSteps on PostgreSQL", entriesBySequence.perSet)
	found.add("Servers on PostgreSQL", otherSessions)
	found.add("EndAbandoned on PostgreSQL", abandonedEnded)
	found.add("IfLeader on PostgreSQL", leaseTaken)
	found.add("IfLeader on PostgreSQL", leaseRenewed)
	found.add("what is written under a lease, on PostgreSQL", leaseHeld)
}

// storeCall is a call of the store with a name.
type storeCall struct {
	name string
	run  func(*Store) error
}

// calls are all that read or write by themselves.
func calls(ctx context.Context, of escrow.InstitutionID) []storeCall {
	all := []storeCall{
		{"CheckSchema", func(s *Store) error { return s.CheckSchema(ctx) }},
		{"Institution", func(s *Store) error { _, err := s.Institution(ctx, of); return err }},
		{"KeyByHash", func(s *Store) error { _, err := s.KeyByHash(ctx, escrow.SecretHash{}); return err }},
		{"Key", func(s *Store) error { _, err := s.Key(ctx, of, escrow.KeyID{}); return err }},
		{"Hold", func(s *Store) error { _, err := s.Hold(ctx, of, escrow.HoldID{}); return err }},
		{"HoldRows", func(s *Store) error { _, err := s.HoldRows(ctx, of, escrow.PositionID{}); return err }},
		{"CountHolds", func(s *Store) error { _, err := s.CountHolds(ctx, of, 1); return err }},
		{"KeyUses", func(s *Store) error { _, err := s.KeyUses(ctx, of, []escrow.KeyID{{}}); return err }},
		{"NoteKeyUses", func(s *Store) error { return s.NoteKeyUses(ctx, make([]escrow.KeyUse, 1)) }},
		{"ExpiringKeys", func(s *Store) error { _, err := s.ExpiringKeys(ctx, time.Now(), time.Now(), 1); return err }},
		{"CountExpiringKeys", func(s *Store) error { _, err := s.CountExpiringKeys(ctx, time.Now(), time.Now()); return err }},
		{"IdentityProvider", func(s *Store) error { _, err := s.IdentityProvider(ctx, of); return err }},
		{"ProvidersOf", func(s *Store) error { _, err := s.ProvidersOf(ctx, "https://id.example"); return err }},
		{"User", func(s *Store) error { _, err := s.User(ctx, of, escrow.UserID{}); return err }},
		{"UserByIdentity", func(s *Store) error { _, _, err := s.UserByIdentity(ctx, of, escrow.Identity{}); return err }},
		{"Secret", func(s *Store) error { _, _, err := s.Secret(ctx, of, escrow.ClientSecretName()); return err }},
		{"SecretNames", func(s *Store) error { _, _, err := s.SecretNames(ctx, of); return err }},
		{"SecretKeys", func(s *Store) error { _, err := s.SecretKeys(ctx); return err }},
		{"SecretsUnder", func(s *Store) error { _, err := s.SecretsUnder(ctx, "k", OwnedSecret{}, 1); return err }},
		{"SealAnew", func(s *Store) error { _, err := s.SealAnew(ctx, OwnedSecret{}, nil, ""); return err }},
		{"AddSession", func(s *Store) error {
			return s.AddSession(ctx, escrow.Session{InstitutionID: of, Actor: escrow.ActorKey(escrow.KeyID{1})})
		}},
		{"SessionByHash", func(s *Store) error { _, err := s.SessionByHash(ctx, escrow.SecretHash{1}); return err }},
		{"Session", func(s *Store) error { _, err := s.Session(ctx, of, escrow.SessionID{2}); return err }},
		{"EndSession", func(s *Store) error { _, err := s.EndSession(ctx, of, escrow.SessionID{2}); return err }},
		{"NoteSessions", func(s *Store) error { return s.NoteSessions(ctx, make([]escrow.Session, 1)) }},
		{"Roles and Role", func(s *Store) error { _, err := s.Roles(ctx, of); return err }},
		{"Policies", func(s *Store) error { _, err := s.Policies(ctx, of); return err }},
		{"Policy", func(s *Store) error { _, err := s.Policy(ctx, of, "US"); return err }},
		{"Template", func(s *Store) error { _, err := s.Template(ctx, of, escrow.TemplateID{}); return err }},
		{"Asset", func(s *Store) error { _, err := s.Asset(ctx, of, escrow.AssetID{}); return err }},
		{"Position", func(s *Store) error { _, err := s.Position(ctx, of, escrow.PositionID{}); return err }},
		{"HolderTotals", func(s *Store) error { _, err := s.HolderTotals(ctx, of, "h"); return err }},
		{"ApprovalRules", func(s *Store) error { _, err := s.ApprovalRules(ctx, of); return err }},
		{"Approval", func(s *Store) error { _, err := s.Approval(ctx, of, escrow.ApprovalID{}); return err }},
		{"DueApprovals", func(s *Store) error { _, err := s.DueApprovals(ctx, time.Now(), 1); return err }},
		{"CountOrphanSubjects", func(s *Store) error { _, err := s.CountOrphanSubjects(ctx, of); return err }},
		{"SubjectRows", func(s *Store) error { _, err := s.SubjectRows(ctx, of, escrow.ApprovalID{}); return err }},
		{"MovesRows", func(s *Store) error { _, err := s.MovesRows(ctx, of); return err }},
		{"PendingApprovals", func(s *Store) error { _, err := s.PendingApprovals(ctx); return err }},
		{"Erasure", func(s *Store) error { _, err := s.Erasure(ctx, of, escrow.ErasureID{}); return err }},
		{"WithEvents", func(s *Store) error {
			_, err := s.WithEvents(ctx, escrow.Position{InstitutionID: of, Version: 2})
			return err
		}},
		{"DuePositions", func(s *Store) error { _, err := s.DuePositions(ctx, time.Now(), 1); return err }},
		{"Head", func(s *Store) error { _, _, err := s.Head(ctx, of); return err }},
		{"FirstSequence, and lists of entries in a period", func(s *Store) error {
			_, err := s.FirstSequence(ctx, of, time.Now())
			return err
		}},
		{"Committed", func(s *Store) error { _, err := s.Committed(ctx, escrow.Entry{InstitutionID: of}); return err }},
		{"Purge", func(s *Store) error { _, err := s.Purge(ctx, time.Now(), 1); return err }},
		{"AddSecurityEvents", func(s *Store) error { return s.AddSecurityEvents(ctx, []escrow.SecurityEvent{{Count: 1}}) }},
		{"CheckHistory", func(s *Store) error { _, err := s.CheckHistory(ctx); return err }},
		{"HaltedJournals", func(s *Store) error { _, err := s.HaltedJournals(ctx, of, 1); return err }},
		{"HaltIfLost", func(s *Store) error {
			_, err := s.HaltIfLost(ctx, of, escrow.Head{Sequence: 1})
			return err
		}},
		{"StoredEntries", func(s *Store) error { _, err := s.StoredEntries(ctx, of, 1, 2); return err }},
		{"StoredPage", func(s *Store) error { _, err := s.StoredPage(ctx, of, 1, 2); return err }},
		{"NextSequence", func(s *Store) error { _, _, err := s.NextSequence(ctx, of, 1); return err }},
		{"Histories", func(s *Store) error { _, err := s.Histories(ctx, of, []string{""}); return err }},
		{"Claims", func(s *Store) error {
			return s.Claims(ctx, of, []escrow.PositionID{{}}, map[escrow.PositionID]escrow.Claim{})
		}},
		{"Range", func(s *Store) error { _, _, err := s.Range(ctx, of); return err }},
		{"CountEntries", func(s *Store) error { _, err := s.CountEntries(ctx); return err }},
		{"NextTenant", func(s *Store) error { _, _, err := s.NextTenant(ctx, of); return err }},
		{"TablesOfNobody", func(s *Store) error { _, err := s.TablesOfNobody(ctx); return err }},
		{"EachTile", func(s *Store) error { return s.EachTile(ctx, of, func(_, _, _ int64) {}) }},
		{"Tile", func(s *Store) error { _, _, err := s.Tile(ctx, of, translog.TileID{}); return err }},
		{"AddCheckpoint", func(s *Store) error {
			return s.AddCheckpoint(ctx, Checkpoint{}, make([]translog.Tile, 1), make([]CheckpointKey, 1))
		}},
		{"CheckpointsSince", func(s *Store) error { _, err := s.CheckpointsSince(ctx, time.Now(), 1); return err }},
		{"HasCheckpoints", func(s *Store) error { _, err := s.HasCheckpoints(ctx); return err }},
		{"LastCheckpoint", func(s *Store) error { _, _, err := s.LastCheckpoint(ctx, of, 1); return err }},
		{"FirstCheckpoint", func(s *Store) error { _, _, err := s.FirstCheckpoint(ctx, of, 1); return err }},
		{"UnsignedJournals", func(s *Store) error { _, err := s.UnsignedJournals(ctx, of, 1); return err }},
		{"CheckpointKeys", func(s *Store) error { _, err := s.CheckpointKeys(ctx); return err }},
		{"CheckCopy and BeginCopy", func(s *Store) error { return s.CheckCopy(ctx) }},
		{"FinishCopy", func(s *Store) error { return s.FinishCopy(ctx) }},
		{"CopyFrom", func(s *Store) error { _, err := s.allHeads(ctx); return err }},
		{"AddCheckpointKey", func(s *Store) error { return s.AddCheckpointKey(ctx, CheckpointKey{}) }},
	}
	for _, table := range BookTables() {
		for name, page := range inOrderOf([]named[escrow.PageRequest]{
			{"BookTables, rows of " + table.Name(), escrow.PageRequest{Limit: 256}},
			{"BookTables, rows of " + table.Name() + " after a cursor", escrow.PageRequest{Limit: 256, After: &escrow.Cursor{}}},
		}) {
			all = append(all, storeCall{name, func(s *Store) error { _, err := table.Rows(ctx, s, of, page); return err }})
		}
	}
	return append(all, lists(ctx, of)...)
}

// lists are the first and a later page of each list, and its filters one by one.
func lists(ctx context.Context, of escrow.InstitutionID) (lists []storeCall) {
	first := escrow.PageRequest{Limit: escrow.DefaultPageSize}
	next := escrow.PageRequest{Limit: escrow.DefaultPageSize, After: new(escrow.SequenceCursor(1))}
	back := next
	back.Descending = true
	add := func(name string, list func(*Store, escrow.PageRequest) error) {
		lists = append(lists,
			storeCall{name, func(s *Store) error { return list(s, first) }},
			storeCall{name + ", after a cursor", func(s *Store) error { return list(s, next) }},
			storeCall{name + ", before a cursor", func(s *Store) error { return list(s, back) }})
	}
	filtered := func(name string, list func(*Store) error) { lists = append(lists, storeCall{name, list}) }

	period := escrow.Period{From: new(time.Now()), To: new(time.Now())}
	add("Institutions", func(s *Store, page escrow.PageRequest) error {
		_, err := s.Institutions(ctx, escrow.Period{}, page)
		return err
	})
	filtered("Institutions, of a period", func(s *Store) error { _, err := s.Institutions(ctx, period, first); return err })

	keys := func(s *Store, filter escrow.KeyFilter, page escrow.PageRequest) error {
		_, err := s.Keys(ctx, of, filter, page)
		return err
	}
	add("Keys", func(s *Store, page escrow.PageRequest) error { return keys(s, escrow.KeyFilter{}, page) })
	filtered("Keys, of a period", func(s *Store) error { return keys(s, escrow.KeyFilter{Period: period}, first) })
	filtered("Keys, also revoked ones", func(s *Store) error { return keys(s, escrow.KeyFilter{IncludeRevoked: true}, first) })

	users := func(s *Store, filter escrow.UserFilter, page escrow.PageRequest) error {
		_, err := s.Users(ctx, of, filter, page)
		return err
	}
	add("Users", func(s *Store, page escrow.PageRequest) error { return users(s, escrow.UserFilter{}, page) })
	filtered("Users, of a period", func(s *Store) error { return users(s, escrow.UserFilter{Period: period}, first) })
	filtered("Users, also suspended ones", func(s *Store) error { return users(s, escrow.UserFilter{IncludeSuspended: true}, first) })

	sessions := func(s *Store, actor *escrow.Actor, page escrow.PageRequest) error {
		_, err := s.Sessions(ctx, of, actor, page)
		return err
	}
	add("Sessions", func(s *Store, page escrow.PageRequest) error { return sessions(s, nil, page) })
	filtered("Sessions, of a key", func(s *Store) error { return sessions(s, new(escrow.ActorKey(escrow.KeyID{1})), first) })
	filtered("Sessions, of a user", func(s *Store) error { return sessions(s, new(escrow.ActorUser(escrow.UserID{1})), first) })

	add("Templates", func(s *Store, page escrow.PageRequest) error {
		_, err := s.Templates(ctx, of, escrow.TemplateFilter{}, page)
		return err
	})

	templates := func(s *Store, filter escrow.TemplateFilter) error {
		_, err := s.Templates(ctx, of, filter, first)
		return err
	}
	filtered("Templates, of a period", func(s *Store) error { return templates(s, escrow.TemplateFilter{Period: period}) })
	filtered("Templates, within one", func(s *Store) error {
		return templates(s, escrow.TemplateFilter{Within: escrow.Restriction{TemplateIDs: []escrow.TemplateID{{1}}}})
	})
	filtered("Templates, within some", func(s *Store) error {
		return templates(s, escrow.TemplateFilter{Within: escrow.Restriction{TemplateIDs: []escrow.TemplateID{{1}, {2}}}})
	})

	assets := func(s *Store, filter escrow.AssetFilter, page escrow.PageRequest) error {
		_, err := s.Assets(ctx, of, filter, page)
		return err
	}
	add("Assets", func(s *Store, page escrow.PageRequest) error { return assets(s, escrow.AssetFilter{}, page) })
	filtered("Assets, of a period", func(s *Store) error { return assets(s, escrow.AssetFilter{Period: period}, first) })
	filtered("Assets, of a template", func(s *Store) error {
		return assets(s, escrow.AssetFilter{Template: &escrow.TemplateID{}}, first)
	})
	for name, within := range inOrderOf([]named[escrow.Restriction]{
		{"one asset", escrow.Restriction{AssetIDs: []escrow.AssetID{{1}}}},
		{"some assets", escrow.Restriction{AssetIDs: []escrow.AssetID{{1}, {2}}}},
		{"some templates", escrow.Restriction{TemplateIDs: []escrow.TemplateID{{1}, {2}}}},
	}) {
		filtered("Assets, within "+name, func(s *Store) error { return assets(s, escrow.AssetFilter{Within: within}, first) })
	}

	positions := func(s *Store, filter escrow.PositionFilter, page escrow.PageRequest) error {
		_, err := s.Positions(ctx, of, filter, page)
		return err
	}
	add("Positions", func(s *Store, page escrow.PageRequest) error { return positions(s, escrow.PositionFilter{}, page) })
	filtered("Positions, counted", func(s *Store) error {
		return positions(s, escrow.PositionFilter{}, escrow.PageRequest{Limit: 100, Count: true})
	})
	for name, filter := range inOrderOf([]named[escrow.PositionFilter]{
		{"with events", escrow.PositionFilter{WithEvents: true}},
		{"of a period", escrow.PositionFilter{Period: period}},
		{"on an asset", escrow.PositionFilter{Asset: &escrow.AssetID{}}},
		{"of a holder", escrow.PositionFilter{HolderReference: "h"}},
		{"under a reference", escrow.PositionFilter{ExternalReference: "x"}},
		{"in one of some states", escrow.PositionFilter{States: []escrow.State{escrow.StateFunded, escrow.StateReleased}}},
		{"by their last steps", escrow.PositionFilter{Updated: period}},
		{"in a state", escrow.PositionFilter{States: []escrow.State{escrow.StateFunded}}},
		{"in a currency", escrow.PositionFilter{Currencies: []money.Code{"USD"}}},
		{"within some assets", escrow.PositionFilter{Within: escrow.Restriction{AssetIDs: []escrow.AssetID{{1}, {2}}}}},
		{"within some holders", escrow.PositionFilter{Within: escrow.Restriction{HolderReferences: []string{"h", "i"}}}},
		{"within a template", escrow.PositionFilter{Within: escrow.Restriction{TemplateIDs: []escrow.TemplateID{{1}}}}},
	}) {
		filtered("Positions, "+name, func(s *Store) error { return positions(s, filter, first) })
	}

	filtered("Positions, by their last steps, the last ones first", func(s *Store) error {
		return positions(s, escrow.PositionFilter{Updated: period}, escrow.PageRequest{Limit: escrow.DefaultPageSize, Descending: true})
	})

	entries := func(s *Store, filter escrow.EntryFilter, page escrow.PageRequest) error {
		_, err := s.Entries(ctx, of, filter, page)
		return err
	}
	add("Entries", func(s *Store, page escrow.PageRequest) error { return entries(s, escrow.EntryFilter{}, page) })
	for name, filter := range inOrderOf([]named[escrow.EntryFilter]{
		{"of the ledger", escrow.EntryFilter{LedgerOnly: true}},
		{"of a kind of the ledger's", escrow.EntryFilter{Kinds: []escrow.Kind{escrow.KindPositionCreated}}},
		{"of some kinds", escrow.EntryFilter{Kinds: []escrow.Kind{escrow.KindPositionCreated, escrow.KindKeyCreated}}},
		{"of another kind", escrow.EntryFilter{Kinds: []escrow.Kind{escrow.KindKeyCreated}}},
		{"of an actor", escrow.EntryFilter{Actor: new(escrow.ActorRoot())}},
		{"on a subject", escrow.EntryFilter{Subject: "s"}},
		{"up to a sequence", escrow.EntryFilter{UpTo: 1}},
		{"of a period", escrow.EntryFilter{Period: period}},
	}) {
		filtered("Entries, "+name, func(s *Store) error { return entries(s, filter, first) })
	}

	approvals := func(s *Store, filter escrow.ApprovalFilter, page escrow.PageRequest) error {
		_, err := s.Approvals(ctx, of, filter, page)
		return err
	}
	add("Approvals", func(s *Store, page escrow.PageRequest) error { return approvals(s, escrow.ApprovalFilter{}, page) })
	add("Approvals, on a subject", func(s *Store, page escrow.PageRequest) error {
		return approvals(s, escrow.ApprovalFilter{Subject: "s"}, page)
	})
	add("Approvals, of a holder", func(s *Store, page escrow.PageRequest) error {
		return approvals(s, escrow.ApprovalFilter{HolderReference: "h"}, page)
	})
	for name, filter := range inOrderOf([]named[escrow.ApprovalFilter]{
		{"of a period", escrow.ApprovalFilter{Period: period}},
		{"on a subject, of a period", escrow.ApprovalFilter{Period: period, Subject: "s"}},
		{"on a subject, of a status", escrow.ApprovalFilter{Subject: "s", Statuses: []escrow.ApprovalStatus{escrow.ApprovalPending}}},
		{"of a holder, of a period", escrow.ApprovalFilter{Period: period, HolderReference: "h"}},
		{"of a holder, on a subject", escrow.ApprovalFilter{HolderReference: "h", Subject: "s"}},
		{"of a holder, of a status", escrow.ApprovalFilter{HolderReference: "h", Statuses: []escrow.ApprovalStatus{escrow.ApprovalPending}}},
		{"of a status", escrow.ApprovalFilter{Statuses: []escrow.ApprovalStatus{escrow.ApprovalPending}}},
		{"of some statuses", escrow.ApprovalFilter{Statuses: []escrow.ApprovalStatus{escrow.ApprovalPending, escrow.ApprovalFailed}}},
	}) {
		filtered("Approvals, "+name, func(s *Store) error { return approvals(s, filter, first) })
	}

	holds := func(s *Store, filter escrow.HoldFilter, page escrow.PageRequest) error {
		_, err := s.Holds(ctx, of, filter, page)
		return err
	}
	add("Holds", func(s *Store, page escrow.PageRequest) error { return holds(s, escrow.HoldFilter{}, page) })
	for name, filter := range inOrderOf([]named[escrow.HoldFilter]{
		{"of a period", escrow.HoldFilter{Period: period}},
		{"on a position", escrow.HoldFilter{Position: &escrow.PositionID{}}},
		{"of a kind", escrow.HoldFilter{Kinds: []escrow.HoldKind{escrow.HoldLegal}}},
		{"of all kinds", escrow.HoldFilter{Kinds: escrow.HoldKinds()}},
		{"in force", escrow.HoldFilter{Status: escrow.HoldInForce}},
		{"lifted", escrow.HoldFilter{Status: escrow.HoldLifted}},
		{"to be reviewed", escrow.HoldFilter{ReviewBefore: new(time.Now())}},
	}) {
		filtered("Holds, "+name, func(s *Store) error { return holds(s, filter, first) })
	}

	add("Erasures", func(s *Store, page escrow.PageRequest) error { _, err := s.Erasures(ctx, of, page); return err })
	add("Checkpoints", func(s *Store, page escrow.PageRequest) error { _, err := s.Checkpoints(ctx, of, page); return err })
	refusals := func(s *Store, filter escrow.SecurityEventFilter, page escrow.PageRequest) error {
		_, err := s.SecurityEvents(ctx, filter, page)
		return err
	}
	add("SecurityEvents", func(s *Store, page escrow.PageRequest) error { return refusals(s, escrow.SecurityEventFilter{}, page) })
	filtered("SecurityEvents, of a period", func(s *Store) error { return refusals(s, escrow.SecurityEventFilter{Period: period}, first) })
	filtered("SecurityEvents, of an institution", func(s *Store) error {
		return refusals(s, escrow.SecurityEventFilter{Institution: &of}, first)
	})
	filtered("SecurityEvents, of an actor", func(s *Store) error { return refusals(s, escrow.SecurityEventFilter{Actor: "root"}, first) })
	return lists
}

type named[T any] struct {
	name  string
	value T
}

func inOrderOf[T any](list []named[T]) func(func(string, T) bool) {
	return func(yield func(string, T) bool) {
		for _, n := range list {
			if !yield(n.name, n.value) {
				return
			}
		}
	}
}

// The statements are made of the descriptions of the tables. What they come to stands in
// a file, so that a change of it can be read.
func TestStatements(t *testing.T) {
	found := allStatements(t)
	if *rewrite {
		if err := os.WriteFile(StatementsFile, []byte(found.file()), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(StatementsFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(content), found.file()); diff != "" {
		t.Errorf("the statements in %s (-) and those of the store (+); with -update it is written anew:\n%s", StatementsFile, diff)
	}
}

// Each statement of the file is one that PostgreSQL takes as it stands there, also those
// that only SQLite is given.
func TestStatementsCanBePasted(t *testing.T) {
	databaseURL := pgtest.Shared(t).NewDatabase(t)
	s, err := Open(t.Context(), databaseURL, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), databaseURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	for _, sql := range allStatements(t).order {
		if sql == "BEGIN IMMEDIATE" {
			continue // SQLite's own.
		}
		if _, err := conn.Prepare(t.Context(), "", sql); err != nil {
			t.Errorf("%v:\n%s", err, sql)
		}
	}
}
