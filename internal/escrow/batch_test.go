package escrow_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// items is a batch in both of its forms: as one command, and as the commands that
// it is made of, nil for an input of which none can be made.
type items struct {
	batch func(atomic bool) escrow.PositionBatch
	each  []escrow.Command
	// invalid are the refusals of the inputs, by place.
	invalid []escrow.Faults
}

func (i *items) add(command escrow.Command, faults escrow.Faults) {
	if faults != nil {
		command = nil
	}
	i.each, i.invalid = append(i.each, command), append(i.invalid, faults)
}

func creations(inputs ...escrow.PositionInput) (i items) {
	i.batch = func(atomic bool) escrow.PositionBatch { return valid(escrow.NewCreationBatch(inputs, atomic)) }
	for _, input := range inputs {
		i.add(escrow.NewCreatePosition(input))
	}
	return i
}

func transitions(inputs ...escrow.TransitionItem) (i items) {
	i.batch = func(atomic bool) escrow.PositionBatch { return valid(escrow.NewTransitionBatch(inputs, atomic)) }
	for _, input := range inputs {
		var id escrow.PositionID
		var faults escrow.Faults
		if err := id.UnmarshalText([]byte(input.PositionID)); err != nil {
			faults.Add("positionId", "%s", err)
		}
		var versions []int64
		if input.IfVersion != nil {
			versions = []int64{*input.IfVersion}
		}
		command, found := escrow.NewTransitionPosition(id, input.TransitionInput, versions)
		faults.Merge(found)
		i.add(command, faults)
	}
	return i
}

// drawItems draws a batch on an asset and on positions, with items of all sorts:
// right, refused by a rule, and not valid.
func drawItems(t *rapid.T, asset escrow.AssetID, positions []escrow.PositionID) items {
	if rapid.Bool().Draw(t, "creations") {
		return creations(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) escrow.PositionInput {
			return escrow.PositionInput{
				AssetID:         rapid.SampledFrom([]string{asset.String(), asset.String(), asset.String(), escrow.AssetID{9}.String(), "ast_1"}).Draw(t, "asset"),
				HolderReference: "holder-1", Currency: rapid.SampledFrom([]string{"USD", "USD", "USD", "EUR"}).Draw(t, "currency"),
				Amount: money.Digits(rapid.SampledFrom([]string{"100", "100", "0.5", "1.234"}).Draw(t, "amount")),
			}
		}), 1, 12).Draw(t, "items")...)
	}
	return transitions(rapid.SliceOfN(rapid.Custom(func(t *rapid.T) escrow.TransitionItem {
		names := []string{escrow.PositionID{9}.String(), "pos_1"}
		for range 4 {
			for _, id := range positions {
				names = append(names, id.String())
			}
		}
		item := escrow.TransitionItem{PositionID: rapid.SampledFrom(names).Draw(t, "position")}
		item.ToState = rapid.SampledFrom([]string{"FUNDED", "PARTIALLY_RELEASED", "PARTIALLY_RELEASED", "RELEASED", "CANCELLED", "GONE"}).Draw(t, "to")
		if item.ToState == "PARTIALLY_RELEASED" {
			item.Amount = new(money.Digits(rapid.SampledFrom([]string{"1", "40", "90", "100"}).Draw(t, "amount")))
		}
		if version := rapid.SampledFrom([]int64{0, 0, 0, 1, 2, 3}).Draw(t, "version"); version != 0 {
			item.IfVersion = &version
		}
		return item
	}), 1, 12).Draw(t, "items")...)
}

// twins are desks on which the same has been done.
func twins(t rapid.TB) (desks [2]*desk, asset escrow.AssetID, positions []escrow.PositionID) {
	for i := range desks {
		d := openDesk(t)
		asset = d.asset(d.template(escrow.ConstructionRetainage, `{"currency":"USD","retainagePercentage":10}`))
		positions = []escrow.PositionID{d.position(asset, "100", "USD"), d.position(asset, "100", "USD"), d.position(asset, "100", "USD")}
		d.accept(transition(positions[1], escrow.StateFunded, ""))
		desks[i] = d
	}
	return desks, asset, positions
}

// whole compares books with all that is in them, also what no test sees otherwise.
func whole() cmp.Options {
	return cmp.Options{cmp.Exporter(func(reflect.Type) bool { return true }), cmpopts.EquateEmpty()}
}

// oneByOne executes the commands of a batch as requests of their own, with the
// random bits that the batch derives from its stamp.
func (d *desk) oneByOne(i items, s escrow.Stamp) (results escrow.BatchResults) {
	d.t.Helper()
	random := rand.New(rand.NewPCG(s.Random[0], s.Random[1]))
	for place, command := range i.each {
		stamp := escrow.Stamp{
			Now: s.Now, Random: [2]uint64{random.Uint64(), random.Uint64()}, Secret: s.Secret.OfItem(place),
		}
		if command == nil {
			refusal, _ := errors.AsType[*escrow.Error](i.invalid[place].Err())
			results = append(results, escrow.ItemResult{Refusal: refusal})
			continue
		}
		outcome := must(d.books.Execute(d.request(command), stamp))
		position, _ := outcome.Resource.(escrow.Position)
		position.Events = nil
		results = append(results, escrow.ItemResult{Position: position, Refusal: outcome.Refusal})
	}
	return results
}

// codes are the codes of a batch's refusals, with the fields that faults name.
func codes(refusals escrow.ItemRefusals) (codes []string) {
	for _, refusal := range refusals {
		code := ""
		if refusal != nil {
			code = string(refusal.Code)
			for _, fault := range refusal.Faults {
				code += " " + fault.Field
			}
		}
		codes = append(codes, code)
	}
	return codes
}

func TestABatchIsItsItemsOneByOne(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		desks, asset, positions := twins(t)
		i, stamp := drawItems(t, asset, positions), desks[0].stamp()
		stamp.Now = stamp.Now.Add(time.Duration(rapid.IntRange(-2, 20).Draw(t, "microseconds")) * time.Microsecond)
		outcome := must(desks[0].books.Execute(desks[0].request(i.batch(false)), stamp))
		results := desks[1].oneByOne(i, stamp)
		got, _ := outcome.Resource.(escrow.BatchResults)
		if diff := cmp.Diff(results, got, exactly(), cmpopts.IgnoreUnexported(escrow.Error{})); diff != "" {
			t.Fatalf("results of the items (-) and of the batch (+) differ:\n%s", diff)
		}
		if diff := cmp.Diff(desks[1].books, desks[0].books, whole()); diff != "" {
			t.Fatalf("books after the items (-) and after the batch (+) differ:\n%s", diff)
		}
		if outcome.Refusal != nil || outcome.Subject != "" || outcome.Sequence != desks[0].books.Head.Sequence {
			t.Fatalf("the outcome is %+v", outcome)
		}
		desks[0].checkReplay()
	})
}

func TestAnAtomicBatchIsDoneWholeOrLeavesNothing(t *testing.T) {
	t.Parallel()
	done, refused := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		desks, asset, positions := twins(t)
		i, stamp := drawItems(t, asset, positions), desks[0].stamp()
		if rapid.Bool().Draw(t, "one that is right") {
			i = creations(escrow.PositionInput{AssetID: asset.String(), HolderReference: "h", Currency: "USD", Amount: "1"})
		}
		outcome := must(desks[0].books.Execute(desks[0].request(i.batch(true)), stamp))
		if refusal := outcome.Refusal; refusal != nil {
			refused++
			if diff := cmp.Diff(desks[1].books, desks[0].books, whole()); diff != "" {
				t.Fatalf("books in which nothing was done (-) and after a refused batch (+) differ:\n%s", diff)
			}
			results := desks[1].oneByOne(i, stamp)
			if diff := cmp.Diff(codes(results.Refusals()), codes(refusal.Items), cmp.FilterValues(isAboutInput, cmp.Ignore())); diff != "" {
				t.Fatalf("refusals of the items (-) and of the batch (+) differ:\n%s", diff)
			}
			if refusal.Code != escrow.CodeBatchRefused || outcome.Resource != nil || outcome.Sequence != 0 {
				t.Fatalf("the outcome is %+v", outcome)
			}
			return
		}
		done++
		again := must(desks[1].books.Execute(desks[1].request(i.batch(false)), stamp))
		if diff := cmp.Diff(again, outcome, exactly(), cmpopts.IgnoreUnexported(escrow.Error{})); diff != "" {
			t.Fatalf("outcomes of the same batch, not atomic (-) and atomic (+), differ:\n%s", diff)
		}
		if diff := cmp.Diff(desks[1].books, desks[0].books, whole()); diff != "" {
			t.Fatalf("books after the same batch, not atomic (-) and atomic (+), differ:\n%s", diff)
		}
	})
	if done == 0 || refused == 0 {
		t.Errorf("%d batches were done and %d refused", done, refused)
	}
}

// isAboutInput says of two codes that both are of faults of an input.
func isAboutInput(a, b string) bool {
	return strings.HasPrefix(a, "invalid_input ") && strings.HasPrefix(b, "invalid_input ")
}

func TestALaterItemSeesWhatAnEarlierOneDid(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.position(d.escrow(), "100", "USD").String()
	step := func(to escrow.State, amount string, version int64) escrow.TransitionItem {
		item := escrow.TransitionItem{PositionID: id, IfVersion: &version, TransitionInput: escrow.TransitionInput{ToState: string(to)}}
		if amount != "" {
			item.Amount = new(money.Digits(amount))
		}
		return item
	}
	outcome := d.accept(transitions(
		step(escrow.StateFunded, "", 1), step(escrow.StatePartiallyReleased, "60", 2), step(escrow.StatePartiallyReleased, "60", 3),
		step(escrow.StatePartiallyReleased, "30", 2), step(escrow.StateReleased, "40", 3),
	).batch(false))
	results, _ := outcome.Resource.(escrow.BatchResults)
	if diff := cmp.Diff([]string{"", "", "transition_amount", "version_mismatch", ""}, codes(results.Refusals())); diff != "" {
		t.Errorf("codes wanted (-) and given (+):\n%s", diff)
	}
	for i, want := range map[int]struct {
		version int64
		held    money.Amount
	}{0: {2, 10000}, 1: {3, 4000}, 4: {4, 0}} {
		if got := results[i].Position; got.Version != want.version || got.Held != want.held || got.Events != nil {
			t.Errorf("after item %d the position is %+v, want %+v, without its events", i, got, want)
		}
	}
	d.checkReplay()
}

// What is wrong with one item is no fault of the others', and all of it is told.
func TestAnItemsFaultsAreItsOwn(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	right := escrow.PositionInput{AssetID: d.escrow().String(), HolderReference: "h", Currency: "USD", Amount: "1"}
	wrong := escrow.PositionInput{AssetID: "x", HolderReference: " ", Currency: "dollars", Amount: "-1", Metadata: []byte("[]")}
	late := right
	late.ExpiresAt = new("2020-01-01T00:00:00Z")
	results, _ := d.accept(creations(wrong, right, late).batch(false)).Resource.(escrow.BatchResults)
	want := []string{"invalid_input assetId holderReference metadata currency amount", "", "invalid_input expiresAt"}
	if diff := cmp.Diff(want, codes(results.Refusals())); diff != "" {
		t.Errorf("codes wanted (-) and given (+):\n%s", diff)
	}
	item := escrow.TransitionItem{PositionID: "x", TransitionInput: escrow.TransitionInput{ToState: "GONE", Reason: new("")}}
	results, _ = d.accept(transitions(item).batch(false)).Resource.(escrow.BatchResults)
	if diff := cmp.Diff([]string{"invalid_input positionId reason toState"}, codes(results.Refusals())); diff != "" {
		t.Errorf("codes wanted (-) and given (+):\n%s", diff)
	}
}

func TestABatchHasABoundedNumberOfItems(t *testing.T) {
	t.Parallel()
	const fault = "items must be an array of 1 to 1000 objects"
	for count, want := range map[int][]string{0: {fault}, 1: nil, escrow.MaxBatchItems: nil, escrow.MaxBatchItems + 1: {fault}} {
		made, faults := escrow.NewCreationBatch(make([]escrow.PositionInput, count), false)
		checkFaults(t, faults, want...)
		if weight := (escrow.Request{Command: made}).Weight(); faults == nil && weight != count {
			t.Errorf("a batch of %d items weighs %d", count, weight)
		}
		_, faults = escrow.NewTransitionBatch(make([]escrow.TransitionItem, count), true)
		checkFaults(t, faults, want...)
	}
	if weight := (escrow.Request{Command: escrow.RevokeKey{}}).Weight(); weight != 1 {
		t.Errorf("a single command weighs %d", weight)
	}
}

func TestABatchNeedsWhatItsItemsNeed(t *testing.T) {
	t.Parallel()
	one, other := escrow.AssetID{1}, escrow.AssetID{2}
	input := func(asset string) escrow.PositionInput {
		return escrow.PositionInput{AssetID: asset, HolderReference: "h", Currency: "USD", Amount: "1"}
	}
	made := creations(input(one.String()), input("none"), input(other.String()), input(one.String())).batch(false)
	want := escrow.Needs{Policies: true, Assets: []escrow.AssetID{one, other, one}}
	if diff := cmp.Diff(want, made.Needs(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("needs of new positions wanted (-) and given (+):\n%s", diff)
	}
	position := escrow.PositionID{3}
	item := escrow.TransitionItem{PositionID: position.String(), TransitionInput: escrow.TransitionInput{ToState: "FUNDED"}}
	want = escrow.Needs{Positions: []escrow.PositionID{position, position}}
	if diff := cmp.Diff(want, transitions(item, item).batch(true).Needs(), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("needs of transitions wanted (-) and given (+):\n%s", diff)
	}
}

// The actor, the institution and the key of the request are looked at once, before
// any item.
func TestARequestOfABatchIsCheckedAsAnyOther(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	input := escrow.PositionInput{AssetID: d.escrow().String(), HolderReference: "h", Currency: "USD", Amount: "1"}
	reader := d.key(escrow.RoleReadOnly, nil)
	batch := creations(input, input).batch(false)
	d.actor = escrow.ActorKey(reader)
	d.refuse(batch, escrow.CodePermissionMissing)
	d.actor = escrow.ActorKey(escrow.KeyID{1})
	d.refuse(batch, escrow.CodeInvalidKey)
	operator := operatorDesk(t)
	operator.refusal(batch, escrow.CodeForbidden)
	nobody := newDesk(t, escrow.InstitutionID{7})
	nobody.books = escrow.NewBooks(escrow.InstitutionID{7}, escrow.Head{}, false)
	nobody.refusal(batch, escrow.CodeInstitutionNotFound)
}

func TestABatchIsRememberedAsAWhole(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	right := escrow.PositionInput{AssetID: d.escrow().String(), HolderReference: "h", Currency: "USD", Amount: "1"}
	wrong, missing := right, right
	wrong.Amount, missing.AssetID = "x", escrow.AssetID{9}.String()
	i := creations(right, wrong, right, missing)
	for key, atomic := range map[string]bool{"by itself": false, "atomic": true} {
		request := under(d.request(i.batch(atomic)), key, 1)
		first := d.execute(request)
		head := d.books.Head
		again := d.execute(request)
		if again.Record == nil || d.books.Head != head {
			t.Fatalf("%s: repeated, the outcome is %+v", key, again)
		}
		want := escrow.Record{
			Key: key, Fingerprint: escrow.Fingerprint{1}, Nonce: []byte{1, 1}, RequestID: "req-1", CreatedAt: again.Record.CreatedAt,
			Refusal: first.Refusal, Sequence: first.Sequence,
		}
		if results, ok := first.Resource.(escrow.BatchResults); ok {
			want.Items = results.Refusals()
			if diff := cmp.Diff([]int{0, 2}, again.Record.Items.Accepted()); diff != "" {
				t.Errorf("accepted items wanted (-) and kept (+):\n%s", diff)
			}
		}
		checkRecord(t, again.Record, want)
		other := under(d.request(creations(right).batch(atomic)), key, 2)
		if outcome := d.execute(other); outcome.Refusal == nil || outcome.Refusal.Code != escrow.CodeIdempotencyKeyReused {
			t.Errorf("%s: another request under the key has the outcome %+v", key, outcome)
		}
	}
}

func TestRefusalsOfItemsAreKeptInLittleSpace(t *testing.T) {
	t.Parallel()
	refusals := make(escrow.ItemRefusals, escrow.MaxBatchItems)
	checkStored(t, refusals, `{"items":1000}`)
	refusals[3] = &escrow.Error{Code: "c", Detail: "D.", Faults: []escrow.Fault{{Field: "f", Message: "m"}}}
	refusals[999] = escrow.Errorf("e", "E.")
	checkStored(t, refusals, `{"items":1000,"refused":{"3":{"Code":"c","Detail":"D.","Faults":[{"field":"f","message":"m"}]},`+
		`"999":{"Code":"e","Detail":"E.","Faults":null}}}`)
	whole := &escrow.Error{Code: escrow.CodeBatchRefused, Detail: "D.", Items: refusals[:4]}
	text := must(json.Marshal(whole))
	var read escrow.Error
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(whole, &read, cmpopts.IgnoreUnexported(escrow.Error{})); diff != "" {
		t.Errorf("a refused batch written (-) and read (+):\n%s", diff)
	}
	for _, text := range []string{`[]`, `{}`, `{"items":0}`, `{"items":1001}`, `{"items":2,"refused":{"2":{}}}`, `{"items":2,"refused":{"-1":{}}}`} {
		var read escrow.ItemRefusals
		if err := json.Unmarshal([]byte(text), &read); err == nil {
			t.Errorf("%s is read as %v", text, read)
		}
	}
}

func checkStored(t *testing.T, refusals escrow.ItemRefusals, want string) {
	t.Helper()
	text := must(json.Marshal(refusals))
	if string(text) != want {
		t.Errorf("the refusals are written as %s, want %s", text, want)
	}
	var read escrow.ItemRefusals
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(refusals, read, cmpopts.IgnoreUnexported(escrow.Error{})); diff != "" {
		t.Errorf("refusals written (-) and read (+):\n%s", diff)
	}
}

func TestThePositionsOfABatchAreReadOutOfTheJournal(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.in(escrow.StateFunded)
	release := escrow.TransitionItem{PositionID: id.String(), TransitionInput: escrow.TransitionInput{
		ToState: "PARTIALLY_RELEASED", Amount: new(money.Digits("1")),
	}}
	first := d.books.Head.Sequence + 1
	results, _ := d.accept(transitions(release, release, release).batch(false)).Resource.(escrow.BatchResults)
	var history []escrow.Entry
	for _, entry := range d.books.Entries {
		if entry.Subject == id.String() {
			history = append(history, must(escrow.ParseEntry(entry.Body, entry.Private)))
		}
	}
	positions := must(escrow.PositionsAfter(history, first))
	for i, result := range results {
		if diff := cmp.Diff(result.Position, positions[i], exactly()); diff != "" {
			t.Errorf("position of item %d (-) and out of the journal (+):\n%s", i, diff)
		}
	}
	for name, entries := range map[string][]escrow.Entry{
		"no entries": nil, "entries without those before": history[1:], "entries of something else": d.books.Entries[:1],
	} {
		if positions, err := escrow.PositionsAfter(entries, 0); err == nil {
			t.Errorf("%s tell of %v", name, positions)
		}
	}
}

// foreign is a command of another package's making.
type foreign struct{}

func (foreign) Needs() escrow.Needs { return escrow.Needs{} }

func TestACommandOfAnotherPackageIsNone(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	if outcome, err := d.books.Execute(d.request(foreign{}), d.stamp()); err == nil {
		t.Errorf("the outcome is %+v", outcome)
	}
}

func TestABatchOnContradictoryRowsIsAnError(t *testing.T) {
	t.Parallel()
	for _, atomic := range []bool{false, true} {
		d := openDesk(t)
		id := escrow.PositionID{1}
		d.books.Positions.Load(id, escrow.Position{ID: id, Currency: usd, Amount: 100, Funded: 100, Held: 90, State: escrow.StateFunded, Version: 2})
		item := escrow.TransitionItem{PositionID: id.String(), TransitionInput: escrow.TransitionInput{ToState: "RELEASED"}}
		outcome, err := d.books.Execute(d.request(transitions(item).batch(atomic)), d.stamp())
		if want := "item 0: "; err == nil || !strings.HasPrefix(err.Error(), want) || fmt.Sprint(outcome) != fmt.Sprint(escrow.Outcome{}) {
			t.Errorf("the outcome is %+v, the error %v", outcome, err)
		}
	}
}

// batch asks for several new positions, or several transitions, in one request.
func (r *run) batch(t *rapid.T) {
	var command items
	var takes []string
	var decide []func(at time.Time) string
	if rapid.Bool().Draw(t, "creations") {
		command, decide = r.drawCreations(t)
		takes = []string{"positions.create"}
	} else {
		command, takes, decide = r.drawTransitions(t)
	}
	atomic := rapid.Bool().Draw(t, "atomic")
	request, actor := r.by(t, command.batch(atomic))
	if refusal := r.model.act(r.model.moment(r.now), actor, takes...); refusal != "" {
		if outcome := r.execute(request); outcome.Refusal == nil || string(outcome.Refusal.Code) != refusal {
			t.Fatalf("the batch's outcome is %+v, the model refuses it with %q", outcome, refusal)
		}
		return
	}
	want, wantDone := r.model.batch(r.now, atomic, decide)
	outcome := r.execute(request)
	results, done := outcome.Resource.(escrow.BatchResults)
	refusals := results.Refusals()
	if !done && outcome.Refusal != nil {
		refusals = outcome.Refusal.Items
	}
	var got []string
	for _, refusal := range refusals {
		code := ""
		if refusal != nil {
			code = string(refusal.Code)
		}
		got = append(got, code)
	}
	if diff := cmp.Diff(want, got); diff != "" || done != wantDone {
		t.Fatalf("codes of the model, which does the batch: %t, (-) and of the books, which do: %t, (+) differ:\n%s", wantDone, done, diff)
	}
	for _, result := range results {
		if result.Refusal == nil && result.Position.Version == 1 {
			r.positions = append(r.positions, result.Position.ID)
		}
	}
}

func (r *run) drawCreations(t *rapid.T) (items, []func(time.Time) string) {
	var inputs []escrow.PositionInput
	var decide []func(time.Time) string
	for range rapid.IntRange(1, 6).Draw(t, "items") {
		asset := pick(t, "asset", len(r.assets))
		currency, id := "USD", escrow.AssetID{1}
		if asset != -1 {
			currency, id = r.model.templates[asset].currency, r.assets[asset]
		}
		amount := rapid.IntRange(1, 220).Draw(t, "amount")
		expires, text := r.drawExpiry(t)
		reference, given := drawReference(t)
		holder := drawHolder(t)
		inputs = append(inputs, escrow.PositionInput{
			AssetID: id.String(), HolderReference: holder, Currency: currency,
			Amount: money.Digits(units(amount, decimalsOf(currency))), ExpiresAt: text, ExternalReference: given,
		})
		decide = append(decide, func(at time.Time) string {
			return r.model.createPosition(at, asset, holder, currency, amount, expires, reference)
		})
	}
	return creations(inputs...), decide
}

func (r *run) drawTransitions(t *rapid.T) (items, []string, []func(time.Time) string) {
	var inputs []escrow.TransitionItem
	var takes []string
	var decide []func(time.Time) string
	for range rapid.IntRange(1, 6).Draw(t, "items") {
		want := modelTransition{
			position: pick(t, "position", len(r.positions)), amount: -1,
			to:      rapid.SampledFrom([]string{"FUNDED", "FUNDED", "PARTIALLY_RELEASED", "PARTIALLY_RELEASED", "RELEASED", "CANCELLED"}).Draw(t, "to"),
			version: rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3}).Draw(t, "version"),
		}
		id, decimals := escrow.PositionID{1}, 0
		if want.position != -1 {
			id = r.positions[want.position]
			decimals = decimalsOf(r.model.templates[r.model.positions[want.position].template].currency)
		}
		item := escrow.TransitionItem{PositionID: id.String(), TransitionInput: escrow.TransitionInput{ToState: want.to}}
		if want.to == "PARTIALLY_RELEASED" {
			want.amount = rapid.IntRange(0, 60).Draw(t, "amount")
			item.Amount = new(money.Digits(units(want.amount, decimals)))
		}
		if want.version != 0 {
			item.IfVersion = new(int64(want.version))
		}
		inputs, takes = append(inputs, item), append(takes, takenBy(want.to))
		decide = append(decide, func(at time.Time) string { return r.model.transition(at, want) })
	}
	return transitions(inputs...), takes, decide
}
