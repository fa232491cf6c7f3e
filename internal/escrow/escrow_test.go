package escrow_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// opening is when the clock of every test starts.
func opening() time.Time { return time.Date(2027, time.March, 1, 9, 0, 0, 0, time.UTC) }

// desk is one institution's books, with the clock and the random bits that a test
// gives them.
type desk struct {
	t      rapid.TB
	books  *escrow.Books
	now    time.Time
	actor  escrow.Actor
	random *rand.Rand
}

// openDesk makes an institution that is active in US and SG, in all verticals.
func openDesk(t rapid.TB) *desk {
	t.Helper()
	return openDeskOf(t, escrow.InstitutionInput{Name: "Meridian Bank", Regions: []string{"US", "SG"}})
}

// openDeskOf makes an institution in the operator's books and opens its own with
// the entry that this left.
func openDeskOf(t rapid.TB, in escrow.InstitutionInput) *desk {
	t.Helper()
	operator := operatorDesk(t)
	operator.accept(valid(escrow.NewCreateInstitution(in)))
	entry := operator.lastEntry()
	d := newDesk(t, entry.InstitutionID)
	d.random = operator.random
	if err := d.books.Reapply(must(escrow.ParseEntry(entry.Body, entry.Private))); err != nil {
		t.Fatalf("rebuilding from the first entry: %v", err)
	}
	return d
}

// operatorDesk opens the books in which institutions are made.
func operatorDesk(t rapid.TB) *desk { return newDesk(t, escrow.InstitutionID{}) }

func newDesk(t rapid.TB, institution escrow.InstitutionID) *desk {
	return &desk{
		t: t, books: escrow.NewBooks(institution, escrow.Head{}, true),
		now: opening(), actor: escrow.ActorRoot(), random: rand.New(rand.NewPCG(2027, 3)),
	}
}

func (d *desk) stamp() escrow.Stamp {
	return escrow.Stamp{Now: d.now, Random: [2]uint64{d.random.Uint64(), d.random.Uint64()}, Secret: secretOf(d.random)}
}

func (d *desk) request(command escrow.Command) escrow.Request {
	return escrow.Request{
		Institution: d.books.InstitutionID(), Actor: d.actor, RequestID: "req-1", Command: command,
	}
}

func (d *desk) execute(request escrow.Request) escrow.Outcome {
	d.t.Helper()
	for stamp := d.stamp(); ; {
		outcome, err := d.books.Execute(request, stamp)
		if err != nil {
			d.t.Fatalf("the books contradict themselves: %v", err)
		}
		if outcome.Lacks == nil {
			return outcome
		}
		if request = request.With(*outcome.Lacks); len(request.Further.Keys) > 100 {
			d.t.Fatalf("the request never has enough: %+v", outcome.Lacks)
		}
	}
}

// accept executes a command that must be accepted.
func (d *desk) accept(command escrow.Command) escrow.Outcome {
	d.t.Helper()
	outcome := d.execute(d.request(command))
	if outcome.Refusal != nil {
		d.t.Fatalf("%T was refused: %v", command, outcome.Refusal)
	}
	return outcome
}

// refuse executes a command that must be refused with the code, and checks that
// the refusal left the books as they were.
func (d *desk) refuse(command escrow.Command, want escrow.Code) {
	d.t.Helper()
	_ = d.refusal(command, want)
	d.checkReplay()
}

// refusal executes a command that must be refused with the code, and returns the
// refusal. Of the books it looks at the head alone.
func (d *desk) refusal(command escrow.Command, want escrow.Code) *escrow.Error {
	d.t.Helper()
	head := d.books.Head
	outcome := d.execute(d.request(command))
	if outcome.Refusal == nil {
		d.t.Fatalf("%T was accepted, want the refusal %s", command, want)
	}
	if outcome.Refusal.Code != want {
		d.t.Fatalf("%T was refused with %v, want the code %s", command, outcome.Refusal, want)
	}
	if d.books.Head != head {
		d.t.Errorf("a refusal moved the journal's head from %v to %v", head, d.books.Head)
	}
	return outcome.Refusal
}

func (d *desk) lastEntry() escrow.Entry {
	d.t.Helper()
	if len(d.books.Entries) == 0 {
		d.t.Fatalf("the journal has no entry")
	}
	return d.books.Entries[len(d.books.Entries)-1]
}

// rows are the rows of an institution's books, which all were made in them.
type rows struct {
	Institutions []escrow.Institution
	Keys         []escrow.APIKey
	Providers    []escrow.IdentityProvider
	Users        []escrow.User
	Roles        []escrow.Role
	Policies     []escrow.Policy
	Templates    []escrow.AssetTemplate
	Assets       []escrow.Asset
	Positions    []escrow.Position
	Holds        []escrow.Hold
	Erasures     []escrow.Erasure
	Rules        []escrow.ApprovalRules
	Approvals    []escrow.Approval
	Subjects     []escrow.ApprovalSubject
	Moves        []escrow.RecentMoves
}

func rowsOf(b *escrow.Books) rows {
	return rows{
		Institutions: b.Institutions.Created(), Keys: b.Keys.Created(), Providers: b.Providers.Created(), Users: b.Users.Created(), Roles: b.Roles.Created(),
		Policies: b.Policies.Created(), Templates: b.Templates.Created(), Assets: b.Assets.Created(),
		Positions: b.Positions.Created(), Holds: b.Holds.Created(), Erasures: b.Erasures.Created(), Rules: b.Rules.Created(),
		Approvals: b.Approvals.Created(), Subjects: b.Subjects.Created(), Moves: b.Moves.Created(),
	}
}

// checkReplay rebuilds the books from the bodies of their entries and compares.
func (d *desk) checkReplay() {
	d.t.Helper()
	rebuilt := rebuild(d.t, d.books.InstitutionID(), d.books.Entries)
	if diff := cmp.Diff(rowsOf(rebuilt), rowsOf(d.books), exactly()); diff != "" {
		d.t.Errorf("rows of the journal (-) and of the books (+) differ:\n%s", diff)
	}
	if rebuilt.Head != d.books.Head {
		d.t.Errorf("the journal's head is %+v, and that of the books %+v", rebuilt.Head, d.books.Head)
	}
	d.checkAudit()
}

// rebuild reads entries from their bodies into fresh books.
func rebuild(t rapid.TB, institution escrow.InstitutionID, entries []escrow.Entry) *escrow.Books {
	t.Helper()
	books := escrow.NewBooks(institution, escrow.Head{}, true)
	for _, entry := range entries {
		parsed, err := escrow.ParseEntry(entry.Body, entry.Private)
		if err != nil {
			t.Fatalf("parse %s: %v", entry.Body, err)
		}
		if diff := cmp.Diff(entry, parsed, exactly()); diff != "" {
			t.Errorf("entry (-) and what its body tells (+) differ:\n%s", diff)
		}
		if err := books.Reapply(parsed); err != nil {
			t.Fatalf("reapply %s: %v", entry.Body, err)
		}
	}
	return books
}

// exactly compares the domain's values whole; of an entry, what its body tells.
// (The body itself is what it was read from.)
func exactly() cmp.Options {
	return cmp.Options{
		cmp.AllowUnexported(money.Decimal{}, escrow.Actor{}),
		cmpopts.IgnoreUnexported(escrow.Entry{}), cmpopts.IgnoreFields(escrow.Entry{}, "Body"),
	}
}

// The commands that most tests begin with.

func (d *desk) template(code escrow.TemplateCode, config string) escrow.TemplateID {
	d.t.Helper()
	return d.templateIn("US", code, config)
}

func (d *desk) templateIn(region string, code escrow.TemplateCode, config string) escrow.TemplateID {
	d.t.Helper()
	return subjectID[escrow.TemplateID](d.accept(valid(escrow.NewCreateTemplate(escrow.TemplateInput{
		Code: string(code), Name: "A template", Vertical: string(code.Vertical()), Region: region, Config: []byte(config),
	}))))
}

func (d *desk) asset(template escrow.TemplateID) escrow.AssetID {
	d.t.Helper()
	return subjectID[escrow.AssetID](d.accept(valid(escrow.NewCreateAsset(
		escrow.AssetInput{TemplateID: template.String(), Label: "An asset"},
	))))
}

// escrow makes an asset on which any amount of US dollars can be placed.
func (d *desk) escrow() escrow.AssetID {
	d.t.Helper()
	return d.asset(d.template(escrow.ConstructionEscrow, `{"currency":"USD"}`))
}

func (d *desk) position(asset escrow.AssetID, amount, currency string) escrow.PositionID {
	d.t.Helper()
	return subjectID[escrow.PositionID](d.accept(newPosition(asset, amount, currency, nil)))
}

func newPosition(asset escrow.AssetID, amount, currency string, expiresAt *time.Time) escrow.CreatePosition {
	in := escrow.PositionInput{
		AssetID: asset.String(), HolderReference: "holder-1", Currency: currency, Amount: money.Digits(amount),
	}
	if expiresAt != nil {
		in.ExpiresAt = new(escrow.FormatTime(*expiresAt))
	}
	return valid(escrow.NewCreatePosition(in))
}

// transition makes the command that leads a position to a state; an empty amount
// gives none.
func transition(
	position escrow.PositionID, to escrow.State, amount string, ifVersion ...int64,
) escrow.TransitionPosition {
	in := escrow.TransitionInput{ToState: string(to)}
	if amount != "" {
		in.Amount = new(money.Digits(amount))
	}
	return valid(escrow.NewTransitionPosition(position, in, ifVersion))
}

func (d *desk) get(id escrow.PositionID) escrow.Position {
	d.t.Helper()
	position, ok := d.books.Positions.Get(id)
	if !ok {
		d.t.Fatalf("there is no position %s", id)
	}
	return position
}

// history returns the events of a position that the books' entries tell of.
func (d *desk) history(id escrow.PositionID) []escrow.PositionEvent {
	return eventsOf(id, d.books.Entries)
}

func eventsOf(id escrow.PositionID, entries []escrow.Entry) (events []escrow.PositionEvent) {
	for _, entry := range entries {
		if position, event, ok := entry.PositionEvent(); ok && position == id {
			events = append(events, event)
		}
	}
	return events
}

func (d *desk) key(role escrow.RoleName, expiresAt *time.Time) escrow.KeyID {
	d.t.Helper()
	in := escrow.KeyInput{Label: "A key", Role: string(role)}
	if expiresAt != nil {
		in.ExpiresAt = new(escrow.FormatTime(*expiresAt))
	}
	hash := escrow.HashSecret(fmt.Sprint(d.random.Uint64()))
	return subjectID[escrow.KeyID](d.accept(valid(escrow.NewCreateKey(in, hash))))
}

func (d *desk) getKey(id escrow.KeyID) escrow.APIKey {
	d.t.Helper()
	key, ok := d.books.Keys.Get(id)
	if !ok {
		d.t.Fatalf("there is no key %s", id)
	}
	return key
}

// subjectID reads the id of what an accepted request made.
func subjectID[T any, P interface {
	*T
	UnmarshalText(text []byte) error
}](outcome escrow.Outcome) (id T) {
	if err := P(&id).UnmarshalText([]byte(outcome.Subject)); err != nil {
		panic(err)
	}
	return id
}

// The currencies of most tests.
var (
	usd = money.Currency{Code: "USD", Decimals: 2}
	eur = money.Currency{Code: "EUR", Decimals: 2}
	jpy = money.Currency{Code: "JPY"}
)

// must returns a value that a test could not do without.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// checkFaults compares an input's faults with the ones that it must have; without
// any the input must be accepted.
func checkFaults(t *testing.T, faults escrow.Faults, want ...string) {
	t.Helper()
	var got []string
	for _, fault := range faults {
		got = append(got, fault.Field+" "+fault.Message)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("faults wanted (-) and given (+):\n%s", diff)
	}
}

// valid returns a command whose input a test knows to be valid.
func valid[C escrow.Command](command C, faults escrow.Faults) C {
	if err := faults.Err(); err != nil {
		panic(err)
	}
	return command
}

// secretOf draws the secret of an entry.
func secretOf(random *rand.Rand) (secret escrow.Secret) {
	for i := range secret {
		secret[i] = byte(random.Uint32())
	}
	return secret
}
