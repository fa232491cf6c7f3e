// Package storetest is the conformance suite of the store: what it must do
// whatever database is behind it. Each database runs all of it.
package storetest

import (
	"context"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// Run runs the suite. Open opens a store on an empty database that no other test
// uses, and closes it when the test ends.
func Run(t *testing.T, open func(t *testing.T) *store.Store) {
	t.Run("schema", func(t *testing.T) { testSchema(t, open(t)) })
	RunMigrated(t, func(t *testing.T) *store.Store { return migrated(t, open) })
}

// RunMigrated runs the part of the suite that serving takes. Open opens a store on a
// database without rows whose schema is there.
func RunMigrated(t *testing.T, open func(t *testing.T) *store.Store) {
	shared := open(t)
	for i, test := range []struct {
		behaviour string
		run       func(*fixture)
		// alone is a test that minds what others write, into whatever institution.
		alone bool
	}{
		{"rows come back as they were written", testRoundTrip, false},
		{"rows come back as they were changed", testUpdates, false},
		{"rows of one id in two institutions are two rows", testSameIDs, false},
		{"entries keep the bytes of their bodies", testEntryBodies, false},
		{"books hold what was asked for and nothing else", testBooksHoldNeeds, false},
		{"books of an institution that does not exist", testBooksOfNobody, false},
		{"a transaction commits whole", testTransactionCommits, false},
		{"a batch of positions commits with its record", testPositionBatch, false},
		{"a transaction that fails leaves nothing", testTransactionFails, false},
		{"a transaction that is rolled back leaves nothing", testTransactionRollsBack, false},
		{"a transaction holds the lock on its journals", testTransactionLocks, false},
		{"a commit can be looked up", testCommitted, false},
		{"lists give every item once", testLists, true},
		{"lists hide what a restriction does", testListsWithin, false},
		{"a list that hides much goes on behind it", testListWithinIsBounded, false},
		{"a journal lists its entries", testEntryList, false},
		{"a period of a journal is exact", testEntryPeriod, false},
		{"positions come with their events", testPositionEvents, false},
		{"pages end where they have enough bytes", testPageBytes, false},
		{"a page of positions with events is bounded", testEventsBound, false},
		{"a position's events are those of its version", testPositionWhileItChanges, false},
		{"a key is found by the hash of its secret", testKeyByHash, false},
		{"the last use of a key is kept", testKeyUses, false},
		{"keys that end soon are found, those that end first", testExpiringKeys, true},
		{"a user is one person", testOnePerson, false},
		{"an issuer is that of the institutions that use it", testProvidersOf, false},
		{"secrets are sealed anew, key by key", testSecretsAnew, true},
		{"a session is found by its token, and ends", testSessions, false},
		{"the oldest of too many sessions end", testTooManySessions, false},
		{"sessions of the operator", testSessionsOfTheOperator, false},
		{"sessions that have ended are purged", testPurgeSessions, true},
		{"the longest overdue position is due first", testDuePositions, true},
		{"old idempotency records are purged", testPurgeRecords, true},
		{"work with a lead is run", testLead, false},
		{"a context that ends never shortens an answer", testEndedContext, false},
		{"a row that cannot change fails its transaction", testUnchangeable, false},
		{"every table is read whole", testTables, false},
		{"the money of a holder is added up", testHolderTotals, false},
		{"what is erased is gone from its rows alone", testErasure, false},
		{"what is erased is gone from the approvals of it", testApprovalErasure, false},
		{"what was never made is erased with its approval", testErasureOfApprovals, false},
		{"approvals are listed by status and subject", testApprovalLists, true},
		{"the longest overdue approval is due first", testDueApprovals, true},
		{"what is pending on a subject is found", testPendingOn, false},
		{"that nothing was moved is remembered", testNoMovesAreRemembered, false},
		{"holds are listed by position, kind and status", testHoldLists, false},
		{"holds come with their steps", testHoldSteps, false},
		{"reads of holds end with their context", testHoldsEndWithTheirContext, false},
		{"reads of approvals end with their context", testApprovalsEndWithTheirContext, false},
	} {
		t.Run(test.behaviour, func(t *testing.T) {
			s := shared
			if test.alone {
				s = open(t)
			}
			// A day and a seed of its own for each test. Half a millisecond shows
			// whether times keep their microseconds.
			start := time.Date(2027, time.March, 1+i, 9, 0, 0, 500_000, time.UTC)
			test.run(&fixture{Store: s, t: t, now: start, random: rand.New(rand.NewPCG(2027, uint64(i)))})
		})
	}
}

func migrated(t *testing.T, open func(t *testing.T) *store.Store) *store.Store {
	t.Helper()
	s := open(t)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// fixture is a migrated store with what a test writes into it: a clock that the
// test moves and random bits that are the same in every run.
type fixture struct {
	*store.Store
	t      *testing.T
	now    time.Time
	random *rand.Rand
}

type needs = map[escrow.InstitutionID]escrow.Needs

// moment moves the clock to the next microsecond.
func (f *fixture) moment() time.Time {
	f.now = f.now.Add(time.Microsecond)
	return f.now
}

// uuid makes an id for something that is created now.
func (f *fixture) uuid() [16]byte { return escrow.NewUUID(f.now, f.random.Uint64()) }

func (f *fixture) begin(n needs) store.Tx {
	f.t.Helper()
	tx, err := f.tryBegin(f.t.Context(), n)
	if err != nil {
		f.t.Fatalf("begin: %v", err)
	}
	return tx
}

func (f *fixture) tryBegin(ctx context.Context, n needs) (store.Tx, error) {
	tx, err := f.Begin(ctx, n)
	if err == nil {
		// A test that fails in the middle must not keep its locks.
		f.t.Cleanup(func() { tx.Rollback(context.Background()) })
	}
	return tx, err
}

func (f *fixture) commit(tx store.Tx) {
	f.t.Helper()
	if err := tx.Commit(f.t.Context()); err != nil {
		f.t.Fatalf("commit: %v", err)
	}
}

// load returns the books that a transaction would have, and gives the transaction up. They
// must be the same whether they are remembered or loaded.
func (f *fixture) load(of escrow.InstitutionID, n escrow.Needs) *escrow.Books {
	f.t.Helper()
	remembered := f.begin(needs{of: n})
	remembered.Rollback(f.t.Context())
	loaded := f.beginLocked(needs{of: n})
	defer loaded.Rollback(f.t.Context())
	want, got := *loaded.Books(of), *remembered.Books(of)
	// A transaction that counts on what is remembered finds records when it commits.
	got.Records = want.Records
	options := cmp.Options{cmp.Exporter(func(reflect.Type) bool { return true }), cmpopts.EquateEmpty()}
	if diff := difference(want, got, options); diff != "" {
		f.t.Errorf("the books that are remembered are not those of the database (-loaded +remembered):\n%s", diff)
	}
	return loaded.Books(of)
}

// beginLocked begins a transaction that counts on nothing that is remembered.
func (f *fixture) beginLocked(n needs) store.Tx {
	f.t.Helper()
	f.Forget(slices.Collect(maps.Keys(n))...)
	return f.begin(n)
}

// write commits what fill does to the books of an institution.
func (f *fixture) write(of escrow.InstitutionID, n escrow.Needs, fill func(*escrow.Books)) {
	f.t.Helper()
	tx := f.begin(needs{of: n})
	fill(tx.Books(of))
	f.commit(tx)
}

// operator is whose books the making of institutions runs in.
func operator() escrow.InstitutionID { return escrow.InstitutionID{} }

// institution makes an institution that is active everywhere.
func (f *fixture) institution() escrow.InstitutionID {
	f.t.Helper()
	institution := escrow.Institution{
		Name: "Meridian Bank", Regions: escrow.Regions(), Verticals: escrow.Verticals(), Upkeep: escrow.Upkeep{Version: 1, CreatedAt: f.moment()},
	}
	institution.ID = f.uuid()
	f.write(operator(), escrow.Needs{}, func(b *escrow.Books) {
		b.Institutions.Put(institution.ID, institution)
	})
	return institution.ID
}

// request is a command of the operator's.
func request(of escrow.InstitutionID, command escrow.Command) escrow.Request {
	return escrow.Request{Institution: of, Actor: escrow.ActorRoot(), RequestID: "req-1", Command: command}
}

// execute carries out commands in the books of a transaction; all of them must be
// accepted.
func (f *fixture) execute(books *escrow.Books, commands ...escrow.Command) []escrow.Outcome {
	f.t.Helper()
	outcomes := make([]escrow.Outcome, len(commands))
	for i, command := range commands {
		outcomes[i] = f.executeRequest(books, request(books.InstitutionID(), command))
		if outcomes[i].Refusal != nil {
			f.t.Fatalf("%T was refused: %v", command, outcomes[i].Refusal)
		}
	}
	return outcomes
}

func (f *fixture) executeRequest(books *escrow.Books, r escrow.Request) escrow.Outcome {
	f.t.Helper()
	outcome, err := books.Execute(r, escrow.Stamp{
		Now: f.now, Random: [2]uint64{f.random.Uint64(), f.random.Uint64()}, Secret: escrow.Secret{1},
	})
	if err != nil {
		f.t.Fatalf("the books contradict themselves: %v", err)
	}
	return outcome
}

// do commits commands on one institution in one transaction.
func (f *fixture) do(of escrow.InstitutionID, commands ...escrow.Command) []escrow.Outcome {
	f.t.Helper()
	requests := make([]escrow.Request, len(commands))
	for i, command := range commands {
		requests[i] = request(of, command)
	}
	var outcomes []escrow.Outcome
	f.write(of, escrow.MergeNeeds(requests), func(b *escrow.Books) { outcomes = f.execute(b, commands...) })
	return outcomes
}

// asset makes a template and an asset on which any amount of US dollars can be
// placed.
func (f *fixture) asset(of escrow.InstitutionID) escrow.AssetID {
	f.t.Helper()
	template := f.do(of, valid(escrow.NewCreateTemplate(escrow.TemplateInput{
		Code: "CONSTR_ESCROW", Name: "Project escrow", Vertical: "CONSTRUCTION", Region: "US",
		Config: []byte(`{"currency":"USD"}`),
	})))[0].Subject
	return resource[escrow.Asset](f.do(of, valid(escrow.NewCreateAsset(
		escrow.AssetInput{TemplateID: template, Label: "Tower"}))))[0].ID
}

func createPosition(asset escrow.AssetID, holder string) escrow.Command {
	return valid(escrow.NewCreatePosition(escrow.PositionInput{
		AssetID: asset.String(), HolderReference: holder, Currency: "USD", Amount: "1000",
	}))
}

func (f *fixture) position(of escrow.InstitutionID, asset escrow.AssetID) escrow.PositionID {
	f.t.Helper()
	return resource[escrow.Position](f.do(of, createPosition(asset, "holder-1")))[0].ID
}

// transition makes the command that leads a position to a state; an empty amount
// gives none.
func transition(id escrow.PositionID, to escrow.State, amount string, metadata ...byte) escrow.Command {
	in := escrow.TransitionInput{ToState: string(to), Metadata: metadata}
	if amount != "" {
		in.Amount = new(money.Digits(amount))
	}
	return valid(escrow.NewTransitionPosition(id, in, nil))
}

// resource returns what accepted commands led to.
func resource[T any](outcomes []escrow.Outcome) []T {
	resources := make([]T, len(outcomes))
	for i, outcome := range outcomes {
		resources[i] = outcome.Resource.(T) //nolint:errcheck // A panic fails the test and says where.
	}
	return resources
}

// must returns a value that a test could not do without.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// found tells a resource that is not there from a failure: ok is false, and the error
// nil.
func found[T any](value T, err error) (_ T, ok bool, _ error) {
	switch escrow.ErrorCode(err) {
	case escrow.CodeInstitutionNotFound, escrow.CodeInvalidKey, escrow.CodeKeyNotFound, escrow.CodePolicyNotFound, escrow.CodeRoleNotFound,
		escrow.CodeTemplateNotFound, escrow.CodeAssetNotFound, escrow.CodePositionNotFound, escrow.CodeApprovalNotFound:
		return value, false, nil
	}
	return value, err == nil, err
}

// equal compares a value of the domain, whole, with the one that is wanted.
func equal[T any](t *testing.T, what string, want, got T) {
	t.Helper()
	if diff := difference(want, got, exactly()); diff != "" {
		t.Errorf("%s wanted (-) and given (+):\n%s", what, diff)
	}
}

// difference is what cmp tells of two values that are not equal. To find that they are is
// slow work for it.
func difference[T any](want, got T, options cmp.Options) string {
	if reflect.DeepEqual(want, got) {
		return ""
	}
	return cmp.Diff(want, got, options)
}

// exactly compares the domain's values whole: of an entry, what its body tells;
// of an error, what a client sees.
func exactly() cmp.Options {
	return cmp.Options{
		cmp.AllowUnexported(money.Decimal{}, escrow.Actor{}),
		cmpopts.IgnoreUnexported(escrow.Entry{}, escrow.Error{}),
	}
}

// valid returns a command whose input a test knows to be valid.
func valid[C escrow.Command](command C, faults escrow.Faults) C {
	if err := faults.Err(); err != nil {
		panic(err)
	}
	return command
}
