package escrow_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// Random runs of commands, valid and invalid, against the model: what is accepted
// and what is refused, with which code; what the positions and keys then are; that
// the journal is gapless and rises in time and ids; and that what was stored along
// the way is what rebuilding from the journal's bodies gives.
func TestBooksBehaveAsTheModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := openRun(t)
		actions := map[string]func(*rapid.T){
			"":                     r.check,
			"create position":      r.createPosition,
			"create position, too": r.createPosition, // Each name has the same chance.
			"transition":           r.transition,
			"next transition":      r.nextTransition,
			"next one, too":        r.nextTransition,
			"partial release":      r.partialRelease,
			"partial release, too": r.partialRelease,
			"expire":               r.expire,
			"batch":                r.batch,
			"set policy":           r.setPolicy,
			"set role":             r.setRole,
			"create key":           r.createKey,
			"create key, too":      r.createKey,
			"rotate key":           r.rotateKey,
			"revoke key":           r.revokeKey,
			"another batch":        r.commit,
			"wait":                 r.wait,
			"a clock goes back":    r.goBack,
		}
		// One round has 30 actions in the mean.
		for range 3 {
			t.Repeat(actions)
		}
		r.commit(t)
		r.checkReplay(t)
	})
}

// run is a random run: the books of the batch under way, what earlier batches
// stored, and the model.
type run struct {
	*desk
	model     model
	stored    tables
	journal   []escrow.Entry // of the batches that were stored
	templates []escrow.TemplateID
	assets    []escrow.AssetID
	keys      []escrow.KeyID
	positions []escrow.PositionID
}

func openRun(t *rapid.T) *run {
	r := &run{desk: openDesk(t), stored: newTables()}
	r.model = model{policies: map[string]modelPolicy{}, roles: map[string]modelRole{}, sequence: 1, last: opening()}
	minimum := rapid.IntRange(1, 100).Draw(t, "minAmount")
	maximum := rapid.IntRange(minimum, 200).Draw(t, "maxAmount")
	percentage := rapid.SampledFrom([]int{0, 1, 50_000, 125_000, 333_333, 1_000_000}).Draw(t, "retainagePercentage")
	days := rapid.IntRange(1, 3).Draw(t, "maxTenorDays")
	r.model.templates = []modelTemplate{
		{code: "CONSTR_ESCROW", region: "US", currency: "USD", min: minimum, max: maximum},
		{code: "CONSTR_RETAINAGE", region: "SG", currency: "KWD", percentage: percentage},
		{code: "TF_INVOICE", region: "US", currency: "JPY", days: days, unique: true},
		{code: "TF_LC", region: "SG", currency: "EUR", days: 2 * days},
	}
	for i, config := range []string{
		fmt.Sprintf(`{"currency":"USD","minAmount":%s,"maxAmount":%s}`, units(minimum, 2), units(maximum, 2)),
		fmt.Sprintf(`{"currency":"KWD","retainagePercentage":%s}`, units(percentage, 4)),
		fmt.Sprintf(`{"currency":"JPY","maxTenorDays":%d,"country":"JP","uniqueExternalReference":true}`, days),
		fmt.Sprintf(`{"currency":"EUR","maxTenorDays":%d,"issuingBankCountry":"DE"}`, 2*days),
	} {
		template := r.model.templates[i]
		id := r.templateIn(template.region, escrow.TemplateCode(template.code), config)
		r.templates, r.assets = append(r.templates, id), append(r.assets, r.asset(id))
		r.model.sequence += 2
		r.model.last = r.model.last.Add(2 * time.Microsecond)
		r.createFundedPosition(t, i)
	}
	return r
}

// createFundedPosition makes a position that the template allows, so that a run
// has something to go on with.
func (r *run) createFundedPosition(t *rapid.T, asset int) {
	template := r.model.templates[asset]
	amount := rapid.IntRange(max(template.min, 1), 200).Draw(t, "first amount")
	if template.max != 0 {
		amount = min(amount, template.max)
	}
	at := r.model.moment(r.now)
	r.positions = append(r.positions, r.position(r.assets[asset], units(amount, decimalsOf(template.currency)), template.currency))
	r.model.createPosition(at, asset, "holder-1", template.currency, amount, time.Time{}, "")
	at = r.model.moment(r.now)
	r.accept(transition(r.positions[asset], escrow.StateFunded, ""))
	r.model.transition(at, modelTransition{position: asset, to: "FUNDED", amount: -1})
}

// by draws who asks: the operator, a key that does not exist, or one of those that do.
func (r *run) by(t *rapid.T, command escrow.Command) (request escrow.Request, actor int) {
	actors := []int{-2, -2, -2, -2, -2, -2, -1}
	for i := range r.model.keys {
		actors = append(actors, i)
	}
	actor = rapid.SampledFrom(actors).Draw(t, "actor")
	request = r.request(command)
	switch actor {
	case -2:
	case -1:
		request.Actor = escrow.ActorKey(escrow.KeyID{1})
	default:
		request.Actor = escrow.ActorKey(r.keys[actor])
	}
	return request, actor
}

// do executes a command and compares its outcome with the model's, which decides
// once the actor may do it. It returns the outcome of an accepted command.
func (r *run) do(t *rapid.T, command escrow.Command, takes string, decide func(at time.Time) string) (escrow.Outcome, bool) {
	t.Helper()
	request, actor := r.by(t, command)
	at := r.model.moment(r.now)
	want := r.model.act(at, actor, takes)
	if want == "" {
		want = decide(at)
	}
	outcome := r.execute(request)
	var got string
	if outcome.Refusal != nil {
		got = string(outcome.Refusal.Code)
	}
	if got != want {
		t.Fatalf("%T by actor %d: refused with %q (%v), the model says %q", command, actor, got, outcome.Refusal, want)
	}
	return outcome, want == ""
}

// pick draws one of the resources that there are, and now and then none of them.
func pick(t *rapid.T, label string, count int) int {
	if count == 0 || rapid.IntRange(0, 19).Draw(t, "one that does not exist") == 19 {
		return -1
	}
	return rapid.IntRange(0, count-1).Draw(t, label)
}

// drawExpiry draws a moment near the clock, past or to come, or none.
func (r *run) drawExpiry(t *rapid.T) (at time.Time, text *string) {
	hours := rapid.SampledFrom([]int{0, 0, 0, -1, 1, 1, 5, 30, 60, 100}).Draw(t, "expires in hours")
	if hours == 0 {
		return time.Time{}, nil
	}
	at = time.UnixMicro(r.now.UnixMicro()).Add(time.Duration(hours) * time.Hour)
	return at, new(escrow.FormatTime(at))
}

func (r *run) createPosition(t *rapid.T) {
	asset := pick(t, "asset", len(r.assets))
	currency, id := "USD", escrow.AssetID{1}
	if asset != -1 {
		currency, id = r.model.templates[asset].currency, r.assets[asset]
	}
	currency = rapid.SampledFrom([]string{currency, currency, currency, "EUR"}).Draw(t, "currency")
	amount := rapid.IntRange(1, 220).Draw(t, "amount")
	expires, text := r.drawExpiry(t)
	reference, given := drawReference(t)
	holder := drawHolder(t)
	outcome, accepted := r.do(t, valid(escrow.NewCreatePosition(escrow.PositionInput{
		AssetID: id.String(), HolderReference: holder, Currency: strings.ToLower(currency),
		Amount: money.Digits(units(amount, decimalsOf(currency))), ExpiresAt: text, ExternalReference: given,
	})), "positions.create", func(at time.Time) string {
		return r.model.createPosition(at, asset, holder, currency, amount, expires, reference)
	})
	if accepted {
		r.positions = append(r.positions, subjectID[escrow.PositionID](outcome))
	}
}

// transition asks for any state of any position, mostly without an amount.
func (r *run) transition(t *rapid.T) {
	want := modelTransition{
		position: pick(t, "position", len(r.positions)),
		to: rapid.SampledFrom([]string{
			"FUNDED", "FUNDED", "FUNDED", "CREATED", "PARTIALLY_RELEASED", "RELEASED", "CANCELLED", "EXPIRED",
		}).Draw(t, "to"),
		amount:  rapid.SampledFrom([]int{-1, -1, -1, 0, 1, 100}).Draw(t, "amount"),
		version: rapid.SampledFrom([]int{0, 0, 0, 1, 2, 3}).Draw(t, "version"),
	}
	if want.to == "PARTIALLY_RELEASED" && want.amount == -1 {
		want.amount = 10
	}
	r.lead(t, want)
}

// nextTransition asks for a state that follows the position's, in the right way.
func (r *run) nextTransition(t *rapid.T) {
	want := modelTransition{position: pick(t, "position", len(r.positions)), to: "CANCELLED", amount: -1}
	if want.position != -1 {
		want.to = map[string]string{"CREATED": "FUNDED", "FUNDED": "RELEASED", "PARTIALLY_RELEASED": "RELEASED"}[r.model.positions[want.position].state]
		if other := rapid.SampledFrom([]string{"", "", "CANCELLED", "EXPIRED"}).Draw(t, "or to"); other != "" || want.to == "" {
			want.to = "CANCELLED"
		}
		want.version = rapid.SampledFrom([]int{0, len(r.model.positions[want.position].steps)}).Draw(t, "version")
	}
	r.lead(t, want)
}

// partialRelease asks for a part of what a position holds, all that its retainage
// allows, or a little more.
func (r *run) partialRelease(t *rapid.T) {
	position := pick(t, "position", len(r.positions))
	held, most := 0, 0
	if position != -1 {
		held = r.model.positions[position].held
		most = max(held-r.model.positions[position].retained, 0)
	}
	r.lead(t, modelTransition{
		position: position, to: "PARTIALLY_RELEASED",
		amount: rapid.OneOf(
			rapid.IntRange(1, held/4+1), rapid.IntRange(0, held+2), rapid.IntRange(most, most+1),
		).Draw(t, "amount"),
	})
}

func (r *run) lead(t *rapid.T, want modelTransition) {
	id, decimals := escrow.PositionID{1}, 0
	if want.position != -1 {
		id = r.positions[want.position]
		decimals = decimalsOf(r.model.templates[r.model.positions[want.position].template].currency)
	}
	var amount string
	if want.amount != -1 {
		amount = units(want.amount, decimals)
	}
	var versions []int64
	if want.version != 0 {
		versions = []int64{int64(want.version)}
	}
	r.do(t, transition(id, escrow.State(want.to), amount, versions...), takenBy(want.to), func(at time.Time) string {
		return r.model.transition(at, want)
	})
}

func (r *run) expire(t *rapid.T) {
	position, id := pick(t, "position", len(r.positions)), escrow.PositionID{1}
	if position != -1 {
		id = r.positions[position]
	}
	r.do(t, escrow.ExpirePosition(id), "positions.cancel", func(at time.Time) string {
		return r.model.transition(at, modelTransition{position: position, to: "EXPIRED", amount: -1, due: true})
	})
}

func (r *run) setPolicy(t *rapid.T) {
	region := rapid.SampledFrom([]string{"US", "SG", "UAE"}).Draw(t, "region")
	policy := modelPolicy{min: -1, max: -1}
	var minimum, maximum string
	if rapid.Bool().Draw(t, "with a minimum") {
		policy.min = rapid.IntRange(0, 10_000).Draw(t, "minimum")
		minimum = units(policy.min, 4)
	}
	if rapid.Bool().Draw(t, "with a maximum") {
		policy.max = rapid.IntRange(max(policy.min, 0), 2_000_000).Draw(t, "maximum")
		maximum = units(policy.max, 4)
	}
	policy.currencies = rapid.SampledFrom([][]string{nil, nil, {"USD", "JPY"}, {"KWD"}}).Draw(t, "currencies")
	command := valid(escrow.NewSetPolicy(region, rules(minimum, maximum, policy.currencies...)))
	r.do(t, command, "policies.set", func(at time.Time) string { return r.model.setPolicy(at, region, policy) })
}

func (r *run) setRole(t *rapid.T) {
	name := rapid.SampledFrom(modelRoles).Draw(t, "role")
	permissions := drawPermissions(t)
	version := rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "version")
	var versions []int64
	if version != 0 {
		versions = []int64{int64(version)}
	}
	command := valid(escrow.NewSetRole(name, escrow.RoleInput{Permissions: permissions}, versions))
	r.do(t, command, "roles.manage", func(at time.Time) string { return r.model.setRole(at, name, permissions, version) })
}

// modelRoles are the roles of a run's institution.
var modelRoles = []string{"clerk", "cashier"}

// drawPermissions draws some, in the order of the table.
func drawPermissions(t *rapid.T) (permissions []string) {
	for _, permission := range []string{
		"keys.manage", "roles.manage", "policies.set", "positions.read", "positions.create", "positions.fund", "positions.release", "positions.cancel",
	} {
		if rapid.IntRange(0, 3).Draw(t, "has "+permission) > 0 {
			permissions = append(permissions, permission)
		}
	}
	return permissions
}

func drawHolder(t *rapid.T) string {
	return rapid.SampledFrom([]string{"holder-1", "holder-1", "holder-2"}).Draw(t, "holder")
}

// takenBy is the permission of a transition to a state.
func takenBy(to string) string {
	return map[string]string{
		"CREATED": "positions.create", "FUNDED": "positions.fund", "PARTIALLY_RELEASED": "positions.release",
		"RELEASED": "positions.release", "CANCELLED": "positions.cancel", "EXPIRED": "positions.cancel",
	}[to]
}

func (r *run) createKey(t *rapid.T) {
	expires, text := r.drawExpiry(t)
	key := modelKey{
		role:    rapid.SampledFrom([]string{"", "admin", "operator", "read_only", "holder", "clerk", "cashier"}).Draw(t, "role"),
		expires: expires,
	}
	in := escrow.KeyInput{Label: "A key", Role: key.role, ExpiresAt: text}
	if key.role == "" {
		key.permissions = append(drawPermissions(t), "proofs.read")
		in.Permissions = &key.permissions
	}
	key.within, in.Restrict = r.drawRestriction(t, key.role == "holder")
	outcome, accepted := r.do(t, valid(escrow.NewCreateKey(in, escrow.SecretHash{})), "keys.manage", func(at time.Time) string {
		return r.model.createKey(at, key)
	})
	if accepted {
		r.keys = append(r.keys, subjectID[escrow.KeyID](outcome))
	}
}

// drawRestriction draws a restriction, mostly to nothing.
func (r *run) drawRestriction(t *rapid.T, toHolders bool) (within modelRestriction, given *escrow.RestrictionInput) {
	if !toHolders && rapid.Bool().Draw(t, "not restricted") {
		return within, nil
	}
	kinds := rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"templates", "assets", "holders", "amounts"}), 1, 2, rapid.ID[string]).Draw(t, "restricted to")
	if toHolders {
		kinds = []string{"holders"}
	}
	given = &escrow.RestrictionInput{}
	assets := rapid.SliceOfNDistinct(rapid.IntRange(0, len(r.assets)-1), 1, 3, rapid.ID[int]).Draw(t, "assets")
	for _, kind := range kinds {
		switch kind {
		case "templates":
			given.TemplateIDs, within.assets = &[]string{}, assets
			for _, i := range assets {
				*given.TemplateIDs = append(*given.TemplateIDs, r.templates[i].String())
			}
		case "assets":
			given.AssetIDs, within.assets = &[]string{}, assets
			for _, i := range assets {
				*given.AssetIDs = append(*given.AssetIDs, r.assets[i].String())
			}
		case "holders":
			within.holders = []string{drawHolder(t)}
			given.HolderReferences = &within.holders
		case "amounts":
			within.max, given.MaxAmount = map[string]int{}, map[string]money.Digits{}
			for _, currency := range []string{"USD", "KWD", "JPY", "EUR"} {
				if most := rapid.IntRange(-100, 200).Draw(t, "most "+currency); most >= 0 {
					given.MaxAmount[currency] = money.Digits(units(most, decimalsOf(currency)))
					for range 4 - decimalsOf(currency) {
						most *= 10
					}
					within.max[currency] = most
				}
			}
			if len(within.max) == 0 {
				within.max["USD"], given.MaxAmount["USD"] = 0, "0"
			}
		}
	}
	return within, given
}

func (r *run) rotateKey(t *rapid.T) {
	key, id := pick(t, "key", len(r.keys)), escrow.KeyID{1}
	if key != -1 {
		id = r.keys[key]
	}
	overlap := time.Duration(rapid.IntRange(0, 10).Draw(t, "overlap in hours")) * time.Hour
	outcome, accepted := r.do(t, newRotation(id, overlap), "keys.manage", func(at time.Time) string {
		return r.model.rotateKey(at, key, overlap)
	})
	if accepted {
		r.keys = append(r.keys, subjectID[escrow.KeyID](outcome))
	}
}

func (r *run) revokeKey(t *rapid.T) {
	key, id := pick(t, "key", len(r.keys)), escrow.KeyID{1}
	if key != -1 {
		id = r.keys[key]
	}
	r.do(t, escrow.RevokeKey{Key: id}, "keys.manage", func(at time.Time) string { return r.model.revokeKey(at, key) })
}

func (r *run) wait(t *rapid.T) {
	r.now = r.now.Add(rapid.SampledFrom([]time.Duration{
		1, time.Microsecond, time.Second, time.Hour, 10*time.Hour + 1234, 24 * time.Hour,
	}).Draw(t, "wait"))
}

func (r *run) goBack(t *rapid.T) {
	r.now = r.now.Add(-time.Duration(rapid.IntRange(0, 5_000_000).Draw(t, "microseconds")) * time.Microsecond)
}

// drawReference draws one of few external references, or none.
func drawReference(t *rapid.T) (reference string, given *string) {
	reference = rapid.SampledFrom([]string{"", "", "a", "b", "c"}).Draw(t, "external reference")
	if reference == "" {
		return "", nil
	}
	return reference, new(reference)
}

// commit stores what a batch left and opens the books of the next one, which
// loads all that is stored.
func (r *run) commit(t *rapid.T) {
	r.stored.store(t, r.books)
	r.journal = append(r.journal, r.books.Entries...)
	r.books = escrow.NewBooks(r.books.InstitutionID(), r.books.Head, true)
	r.stored.load(r.books)
}

// check compares the books with the model.
func (r *run) check(t *rapid.T) {
	if r.books.Head.Sequence != r.model.sequence || !r.books.Head.At.Equal(r.model.last) {
		t.Fatalf("the journal stands at %v, the model's at %d, %s", r.books.Head, r.model.sequence, r.model.last)
	}
	for i, id := range r.positions {
		position, ok := r.books.Positions.Get(id)
		if !ok {
			t.Fatalf("position %s is not there", id)
		}
		if want, got := r.model.positions[i], modelOf(position, r.history(id), r.model.positions[i].template); !got.same(want) {
			t.Fatalf("position %s is\n%+v, the model's\n%+v", id, got, want)
		}
		if position.Funded != position.Released+position.Refunded+position.Held || position.Version != int64(len(r.history(id))) {
			t.Fatalf("position %+v does not add up", position)
		}
	}
	for i, id := range r.keys {
		key, ok := r.books.Keys.Get(id)
		got := modelKey{role: string(key.Role), permissions: names(key.Permissions.List()...), revoked: key.RevokedAt != nil}
		if key.ExpiresAt != nil {
			got.expires = *key.ExpiresAt
		}
		if want := r.model.keys[i]; !ok || got.role != want.role || !slices.Equal(got.permissions, want.permissions) || got.revoked != want.revoked || !got.expires.Equal(want.expires) {
			t.Fatalf("key %s is %+v, the model's %+v", id, got, want)
		}
	}
	for name, want := range r.model.roles {
		role, _ := r.books.Roles.Get(escrow.RoleName(name))
		if !slices.Equal(names(role.Permissions.List()...), want.permissions) || role.Version != int64(want.version) {
			t.Fatalf("the role %s is %+v, the model's %+v", name, role, want)
		}
	}
}

// history returns the events of a position since the run began.
func (r *run) history(id escrow.PositionID) []escrow.PositionEvent {
	return append(eventsOf(id, r.journal), r.desk.history(id)...)
}

func modelOf(p escrow.Position, history []escrow.PositionEvent, template int) modelPosition {
	got := modelPosition{
		template: template, holder: p.HolderReference, reference: p.ExternalReference, state: string(p.State), amount: int(p.Amount), funded: int(p.Funded), released: int(p.Released),
		refunded: int(p.Refunded), held: int(p.Held), retained: int(p.Retained),
	}
	if p.ExpiresAt != nil {
		got.expires = *p.ExpiresAt
	}
	for _, event := range history {
		got.steps = append(got.steps, modelStep{string(event.From), string(event.To), int(event.Amount)})
	}
	return got
}

// checkReplay checks the whole journal, and that it rebuilds what was stored.
func (r *run) checkReplay(t *rapid.T) {
	for i, entry := range r.journal {
		if entry.Sequence != int64(i+1) {
			t.Fatalf("entry %d has the sequence %d", i+1, entry.Sequence)
		}
		if i > 0 && (!entry.At.After(r.journal[i-1].At) || entry.ID.Compare(r.journal[i-1].ID) <= 0) {
			t.Fatalf("entry %d of %s, %s, follows %s, %s", i+1, entry.At, entry.ID, r.journal[i-1].At, r.journal[i-1].ID)
		}
	}
	for i := 1; i < len(r.positions); i++ {
		if r.positions[i].Compare(r.positions[i-1]) <= 0 {
			t.Fatalf("position %s was made after %s", r.positions[i], r.positions[i-1])
		}
	}
	rebuilt := newTables()
	rebuilt.store(t, rebuild(t, r.books.InstitutionID(), r.journal))
	if diff := cmp.Diff(rebuilt, r.stored, exactly()); diff != "" {
		t.Fatalf("rows of the journal (-) and stored ones (+) differ:\n%s", diff)
	}
}

// tables are what a store keeps between batches, by key.
type tables struct {
	Institutions map[escrow.InstitutionID]escrow.Institution
	Keys         map[escrow.KeyID]escrow.APIKey
	Roles        map[escrow.RoleName]escrow.Role
	Policies     map[escrow.Region]escrow.Policy
	Templates    map[escrow.TemplateID]escrow.AssetTemplate
	Assets       map[escrow.AssetID]escrow.Asset
	Positions    map[escrow.PositionID]escrow.Position
}

func newTables() tables {
	return tables{
		map[escrow.InstitutionID]escrow.Institution{},
		map[escrow.KeyID]escrow.APIKey{},
		map[escrow.RoleName]escrow.Role{},
		map[escrow.Region]escrow.Policy{},
		map[escrow.TemplateID]escrow.AssetTemplate{},
		map[escrow.AssetID]escrow.Asset{},
		map[escrow.PositionID]escrow.Position{},
	}
}

func (s tables) store(t *rapid.T, b *escrow.Books) {
	storeRows(t, s.Institutions, &b.Institutions, func(v escrow.Institution) escrow.InstitutionID { return v.ID })
	storeRows(t, s.Keys, &b.Keys, func(v escrow.APIKey) escrow.KeyID { return v.ID })
	storeRows(t, s.Roles, &b.Roles, func(v escrow.Role) escrow.RoleName { return v.Name })
	storeRows(t, s.Policies, &b.Policies, func(v escrow.Policy) escrow.Region { return v.Region })
	storeRows(t, s.Templates, &b.Templates, func(v escrow.AssetTemplate) escrow.TemplateID { return v.ID })
	storeRows(t, s.Assets, &b.Assets, func(v escrow.Asset) escrow.AssetID { return v.ID })
	storeRows(t, s.Positions, &b.Positions, func(v escrow.Position) escrow.PositionID { return v.ID })
}

func (s tables) load(b *escrow.Books) {
	loadRows(s.Institutions, &b.Institutions)
	loadRows(s.Keys, &b.Keys)
	loadRows(s.Roles, &b.Roles)
	loadRows(s.Policies, &b.Policies)
	loadRows(s.Templates, &b.Templates)
	loadRows(s.Assets, &b.Assets)
	for _, position := range s.Positions {
		b.LoadReferenced(position)
	}
}

// storeRows inserts the created rows and updates the others, as SQL does: there
// must be none of the first and each of the second.
func storeRows[K comparable, V any](t *rapid.T, table map[K]V, rows *escrow.Rows[K, V], key func(V) K) {
	t.Helper()
	for _, value := range rows.Created() {
		if _, ok := table[key(value)]; ok {
			t.Fatalf("row %v was created twice", key(value))
		}
		table[key(value)] = value
	}
	for _, value := range rows.Updated() {
		if _, ok := table[key(value)]; !ok {
			t.Fatalf("row %v was updated, but never created", key(value))
		}
		table[key(value)] = value
	}
}

func loadRows[K comparable, V any](table map[K]V, rows *escrow.Rows[K, V]) {
	for key, value := range table {
		rows.Load(key, value)
	}
}

// The rules of Execute that the commands share.

func TestTheSameStampGivesTheSameBytes(t *testing.T) {
	t.Parallel()
	a, b := goldenDesk(t), goldenDesk(t)
	if len(a.books.Entries) != len(b.books.Entries) {
		t.Fatalf("the runs have %d and %d entries", len(a.books.Entries), len(b.books.Entries))
	}
	for i, entry := range a.books.Entries {
		if !bytes.Equal(entry.Body, b.books.Entries[i].Body) {
			t.Errorf("entry %d is %s, and then %s", i+1, entry.Body, b.books.Entries[i].Body)
		}
	}
}

func TestStampGivesTheResourceAndTheEntryTheirIDs(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	at := opening().Add(time.Hour)
	request := d.request(valid(escrow.NewCreateKey(escrow.KeyInput{Label: "A", Role: "admin"}, escrow.SecretHash{})))
	outcome := must(d.books.Execute(request, escrow.Stamp{Now: at, Random: [2]uint64{7, 8}, Secret: escrow.Secret{1}}))
	if want := escrow.KeyID(escrow.NewUUID(at, 7)).String(); outcome.Subject != want {
		t.Errorf("the key is %s, want %s", outcome.Subject, want)
	}
	if got, want := d.lastEntry().ID, escrow.EntryID(escrow.NewUUID(at, 8)); got != want {
		t.Errorf("the entry is %s, want %s", got, want)
	}
}

func TestEntriesAreLaterThanTheOnesBeforeThemWhateverTheClockSays(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	head := opening().Add(time.Hour)
	d.books.Head.At = head
	zone := time.FixedZone("", 8*3600)
	for _, step := range []struct{ clock, want time.Time }{
		{head.Add(-time.Minute), head.Add(1 * time.Microsecond)},
		{head, head.Add(2 * time.Microsecond)},
		{head.Add(3*time.Microsecond + 999).In(zone), head.Add(3 * time.Microsecond)},
		{head.Add(3*time.Microsecond + 999), head.Add(4 * time.Microsecond)},
		{head.Add(time.Second + 1500), head.Add(time.Second + time.Microsecond)},
	} {
		d.now = step.clock
		d.key(escrow.RoleAdmin, nil)
		if got := d.lastEntry().At; !got.Equal(step.want) || got.Location() != time.UTC {
			t.Errorf("by the clock %s the entry is of %s, want %s", step.clock, got, step.want)
		}
	}
}

// Who may not write is refused before an idempotency key is looked at, and that
// before the command.
func TestExecuteRefusesInItsDocumentedOrder(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.execute(under(d.request(escrow.RevokeKey{Key: d.key(escrow.RoleAdmin, nil)}), "key-1", 1))
	reader := d.key(escrow.RoleReadOnly, nil)
	request := under(d.request(escrow.RevokeKey{Key: escrow.KeyID{1}}), "key-1", 2)
	for _, step := range []struct {
		actor escrow.Actor
		key   string
		want  escrow.Code
	}{
		{escrow.ActorKey(escrow.KeyID{1}), "key-1", escrow.CodeInvalidKey},
		{escrow.ActorKey(reader), "key-1", escrow.CodePermissionMissing},
		{escrow.ActorRoot(), "key-1", escrow.CodeIdempotencyKeyReused},
		{escrow.ActorRoot(), "key-2", escrow.CodeKeyNotFound},
	} {
		request.Actor, request.Idempotency.Key = step.actor, step.key
		if outcome := d.execute(request); outcome.Refusal == nil || outcome.Refusal.Code != step.want {
			t.Errorf("the outcome is %+v, want the refusal %s", outcome, step.want)
		}
	}
}

func TestOutcomeShowsTheResourceAsItThenIs(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	check := func(outcome escrow.Outcome, want escrow.Resource) {
		t.Helper()
		if diff := cmp.Diff(want, outcome.Resource, exactly()); diff != "" {
			t.Errorf("resource of the books (-) and of the outcome (+) differ:\n%s", diff)
		}
		if outcome.Sequence != d.books.Head.Sequence {
			t.Errorf("the outcome is of the sequence %d, want %d", outcome.Sequence, d.books.Head.Sequence)
		}
	}
	institution := operatorDesk(t)
	made := institution.accept(valid(escrow.NewCreateInstitution(
		escrow.InstitutionInput{Name: "Harbour Fund", Regions: []string{"SG"}},
	)))
	if diff := cmp.Diff(escrow.Resource(institution.books.Institutions.Created()[0]), made.Resource); diff != "" {
		t.Errorf("institution of the books (-) and of the outcome (+) differ:\n%s", diff)
	}

	outcome := d.accept(valid(escrow.NewSetPolicy("US", rules("1", ""))))
	policy, _ := d.books.Policies.Get("US")
	check(outcome, policy)

	outcome = d.accept(valid(escrow.NewCreateKey(escrow.KeyInput{Label: "A", Role: "admin"}, escrow.SecretHash{})))
	key := subjectID[escrow.KeyID](outcome)
	check(outcome, d.getKey(key))
	outcome = d.accept(newRotation(key, time.Hour))
	check(outcome, d.getKey(subjectID[escrow.KeyID](outcome)))
	for range 2 { // the second time it is revoked already
		check(d.accept(escrow.RevokeKey{Key: key}), d.getKey(key))
	}

	outcome = d.accept(valid(escrow.NewCreateTemplate(templateInput("CONSTR_ESCROW", `{"currency":"USD"}`))))
	template, _ := d.books.Templates.Get(subjectID[escrow.TemplateID](outcome))
	check(outcome, template)
	outcome = d.accept(valid(escrow.NewCreateAsset(escrow.AssetInput{TemplateID: template.ID.String(), Label: "A"})))
	asset, _ := d.books.Assets.Get(subjectID[escrow.AssetID](outcome))
	check(outcome, asset)
	outcome = d.accept(newPosition(asset.ID, "1", "USD", nil))
	position := subjectID[escrow.PositionID](outcome)
	withEvent := func() escrow.Position {
		p, events := d.get(position), d.history(position)
		p.Events = events[len(events)-1:]
		return p
	}
	check(outcome, withEvent())
	check(d.accept(transition(position, escrow.StateFunded, "")), withEvent())
}

func TestResourceOfASubjectsEntriesIsTheOutcomesResource(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	key := d.key(escrow.RoleAdmin, nil)
	position := d.in(escrow.StatePartiallyReleased)
	outcomes := []escrow.Outcome{
		d.accept(valid(escrow.NewSetPolicy("US", rules("1", "")))),
		d.accept(valid(escrow.NewSetPolicy("US", rules("2", "")))),
		d.accept(escrow.RevokeKey{Key: key}),
		d.accept(transition(position, escrow.StateReleased, "")),
	}
	d.accept(valid(escrow.NewSetPolicy("US", rules("3", ""))))
	for _, outcome := range outcomes {
		var entries []escrow.Entry
		for _, entry := range d.books.Entries {
			if entry.Subject == outcome.Subject && entry.Sequence <= outcome.Sequence {
				entries = append(entries, must(escrow.ParseEntry(entry.Body, entry.Private)))
			}
		}
		got, err := escrow.ResourceOf(entries)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(outcome.Resource, got, exactly()); diff != "" {
			t.Errorf("resource of the outcome (-) and of the entries (+) of %s differ:\n%s", outcome.Subject, diff)
		}
		if outcome.Subject == position.String() {
			continue
		}
		// What is no position is told whole by its last entry.
		if got, err := escrow.ResourceOf(entries[len(entries)-1:]); err != nil || !cmp.Equal(outcome.Resource, got, exactly()) {
			t.Errorf("the last entry of %s tells of %+v, %v; want %+v", outcome.Subject, got, err, outcome.Resource)
		}
	}
}

func TestResourceOfContradictoryEntriesIsAnError(t *testing.T) {
	t.Parallel()
	if resource, err := escrow.ResourceOf(nil); err == nil {
		t.Errorf("no entries tell of %v", resource)
	}
	d := openDesk(t)
	d.in(escrow.StateFunded)
	if resource, err := escrow.ResourceOf([]escrow.Entry{d.lastEntry()}); err == nil {
		t.Errorf("an entry without the ones before it tells of %v", resource)
	}
}

// Rows that contradict each other are an error, not a refusal: such books must not
// be written.
func TestExecuteOnContradictoryRowsIsAnError(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := escrow.PositionID{1}
	d.books.Positions.Load(id, escrow.Position{
		ID: id, Currency: usd, Amount: 100, Funded: 100, Held: 90, State: escrow.StateFunded, Version: 2,
	})
	outcome, err := d.books.Execute(d.request(transition(id, escrow.StateReleased, "")), d.stamp())
	if err == nil || !strings.Contains(err.Error(), "FUNDED to RELEASED with 90: funded is not released + refunded + held") {
		t.Errorf("the outcome is %+v, the error %v", outcome, err)
	}
	if diff := cmp.Diff(escrow.Outcome{}, outcome, exactly()); diff != "" {
		t.Errorf("with the error comes an outcome:\n%s", diff)
	}
}

// Without a secret, whoever has a body could try values until one fits.
func TestNothingIsExecutedWithoutASecret(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	stamp := d.stamp()
	stamp.Secret = escrow.Secret{}
	entries := len(d.books.Entries)
	if outcome, err := d.books.Execute(d.request(escrow.RecordErasure{}), stamp); err == nil || len(d.books.Entries) != entries {
		t.Errorf("the outcome is %+v, with %d entries", outcome, len(d.books.Entries)-entries)
	}
}

func TestBooksKeepTheHeadThatTheyWereOpenedAt(t *testing.T) {
	t.Parallel()
	head := escrow.Head{Sequence: 7, At: opening()}
	books := escrow.NewBooks(escrow.InstitutionID{1}, head, true)
	if outcome, err := books.Execute(escrow.Request{
		Institution: escrow.InstitutionID{1}, Actor: escrow.ActorRoot(), Command: escrow.RecordErasure{},
	}, escrow.Stamp{Now: opening(), Secret: escrow.Secret{1}}); err != nil || outcome.Refusal != nil {
		t.Fatalf("the outcome is %+v, %v", outcome, err)
	}
	if books.Opened() != head || books.Head.Sequence != 8 || !books.Exists() {
		t.Errorf("opened at %v, the books are at %v", books.Opened(), books.Head)
	}
}

func TestNeedsNameWhatACommandReads(t *testing.T) {
	t.Parallel()
	var (
		asset    = escrow.AssetID{1}
		template = escrow.TemplateID{2}
		key      = escrow.KeyID{3}
		position = escrow.PositionID{4}
		actor    = escrow.KeyID{5}
	)
	for _, test := range []struct {
		command escrow.Command
		want    escrow.Needs
	}{
		{escrow.CreateInstitution{}, escrow.Needs{}},
		{escrow.CreateKey{}, escrow.Needs{ActiveKeys: true}},
		{newRotation(key, 0), escrow.Needs{ActiveKeys: true, Roles: true, Keys: []escrow.KeyID{key}}},
		{escrow.RevokeKey{Key: key}, escrow.Needs{Keys: []escrow.KeyID{key}}},
		{escrow.SetIdentityProvider{}, escrow.Needs{Provider: true, Roles: true, Secrets: true}},
		{escrow.RemoveIdentityProvider{}, escrow.Needs{Provider: true, Secrets: true}},
		{escrow.SuspendUser{User: escrow.UserID{6}}, escrow.Needs{Users: []escrow.UserID{{6}}}},
		{escrow.RestoreUser{User: escrow.UserID{6}}, escrow.Needs{Users: []escrow.UserID{{6}}}},
		{escrow.UpdateUser{}, escrow.Needs{}},
		{valid(escrow.NewJoinUser(escrow.PersonInput{Issuer: issuer, Subject: "1"})), escrow.Needs{
			Provider: true, Identities: []escrow.Identity{{Issuer: issuer, Subject: "1"}},
		}},
		{escrow.SetPolicy{}, escrow.Needs{Institution: true, Policies: true}},
		{escrow.CreateTemplate{}, escrow.Needs{Institution: true}},
		{
			valid(escrow.NewCreateAsset(escrow.AssetInput{TemplateID: template.String(), Label: "A"})),
			escrow.Needs{Templates: []escrow.TemplateID{template}},
		},
		{newPosition(asset, "1", "USD", nil), escrow.Needs{Policies: true, Assets: []escrow.AssetID{asset}}},
		{transition(position, escrow.StateFunded, ""), escrow.Needs{Positions: []escrow.PositionID{position}}},
		{escrow.ExpirePosition(position), escrow.Needs{Positions: []escrow.PositionID{position}}},
		{withReference(asset, "invoice 1"), escrow.Needs{
			Policies: true, Assets: []escrow.AssetID{asset}, References: []escrow.AssetReference{{Asset: asset, Text: "invoice 1"}},
		}},
		{valid(escrow.NewUpdateInstitution(nil, nil)), escrow.Needs{Institution: true}},
		{escrow.CloseInstitution{}, escrow.Needs{Institution: true, HoldingPosition: true}},
		{escrow.AcceptHistory{}, escrow.Needs{Institution: true}},
		{valid(escrow.NewUpdateKey(key, nil, nil)), escrow.Needs{Keys: []escrow.KeyID{key}}},
		{valid(escrow.NewUpdateTemplate(template, nil, nil)), escrow.Needs{Templates: []escrow.TemplateID{template}}},
		{escrow.CloseTemplate{Template: template}, escrow.Needs{Templates: []escrow.TemplateID{template}}},
		{valid(escrow.NewUpdateAsset(asset, escrow.AssetChange{}, nil)), escrow.Needs{Assets: []escrow.AssetID{asset}}},
		{escrow.CloseAsset{Asset: asset}, escrow.Needs{Assets: []escrow.AssetID{asset}}},
		{erasure(position, ""), escrow.Needs{Positions: []escrow.PositionID{position}}},
		{escrow.RecordErasure{}, escrow.Needs{}},
		{hold(position, escrow.HoldLegal, ""), escrow.Needs{Positions: []escrow.PositionID{position}}},
		{lift(position, escrow.HoldID{8}), escrow.Needs{Positions: []escrow.PositionID{position}, Holds: []escrow.HoldID{{8}}}},
		{valid(escrow.NewEraseApproval(escrow.ApprovalID{7}, nil, nil, 0)), escrow.Needs{Approvals: []escrow.ApprovalID{{7}}}},
	} {
		t.Run(fmt.Sprintf("%T", test.command), func(t *testing.T) {
			t.Parallel()
			request := escrow.Request{Actor: escrow.ActorRoot(), Command: test.command}
			if diff := cmp.Diff(test.want, request.Needs(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("the operator's request: needs wanted (-) and given (+):\n%s", diff)
			}
			request = under(request, "key-1", 1)
			request.Actor = escrow.ActorKey(actor)
			want := test.want
			want.Keys = append(slices.Clone(want.Keys), actor)
			want.Records = []string{"key-1"}
			if diff := cmp.Diff(want, request.Needs(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("a key's request: needs wanted (-) and given (+):\n%s", diff)
			}

			request.Actor = escrow.ActorUser(escrow.UserID{7})
			want.Keys, want.Users = test.want.Keys, append(slices.Clone(test.want.Users), escrow.UserID{7})
			want.Provider, want.Roles = true, true
			if diff := cmp.Diff(want, request.Needs(), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("a user's request: needs wanted (-) and given (+):\n%s", diff)
			}
		})
	}
}

// A journal is copied in parts: books with the rows that a part changes go on as those that have
// them all, and know which of them are stored.
func TestBooksGoOnWithTheRowsThatEntriesChange(t *testing.T) {
	t.Parallel()
	entries := goldenEntries(t)
	for cut := range entries {
		goOn(t, entries[:cut+1], cut)
		goOn(t, entries, cut)
	}
}

// goOn continues a journal after its first entries with the rows that the others change, and compares
// the outcome with the whole.
func goOn(t *testing.T, entries []escrow.Entry, cut int) {
	t.Helper()
	institution := entries[0].InstitutionID
	whole, stored := rebuild(t, institution, entries), rebuild(t, institution, entries[:cut])
	needs := escrow.ReapplyNeeds(entries[cut:])
	part := escrow.NewBooks(institution, stored.Head, true)
	if needs.Institution {
		loadNeeded(&part.Institutions, &stored.Institutions, institution)
	}
	if needs.Policies {
		loadNeeded(&part.Policies, &stored.Policies, escrow.Regions()...)
	}
	if needs.Roles {
		loadNeeded(&part.Roles, &stored.Roles, slices.Collect(maps.Keys(maps.Collect(stored.Roles.All())))...)
	}
	if needs.Provider {
		loadNeeded(&part.Providers, &stored.Providers, institution)
	}
	loadNeeded(&part.Users, &stored.Users, needs.Users...)
	loadNeeded(&part.Keys, &stored.Keys, needs.Keys...)
	loadNeeded(&part.Templates, &stored.Templates, needs.Templates...)
	loadNeeded(&part.Assets, &stored.Assets, needs.Assets...)
	loadNeeded(&part.Positions, &stored.Positions, needs.Positions...)
	loadNeeded(&part.Holds, &stored.Holds, needs.Holds...)
	loadNeeded(&part.Approvals, &stored.Approvals, needs.Approvals...)
	if needs.Rules {
		loadNeeded(&part.Rules, &stored.Rules, institution)
	}
	loadNeeded(&part.Moves, &stored.Moves, needs.Moves...)
	if lacks := part.ReapplyLacks(entries[cut:]); lacks != nil {
		loadNeeded(&part.Moves, &stored.Moves, lacks.Moves...)
	}
	for _, entry := range entries[cut:] {
		if err := part.Reapply(entry); err != nil {
			t.Fatalf("after %d entries: %v", cut, err)
		}
	}

	compareRows(t, cut, &stored.Institutions, &part.Institutions, &whole.Institutions)
	compareRows(t, cut, &stored.Policies, &part.Policies, &whole.Policies)
	compareRows(t, cut, &stored.Keys, &part.Keys, &whole.Keys)
	compareRows(t, cut, &stored.Providers, &part.Providers, &whole.Providers)
	compareRows(t, cut, &stored.Users, &part.Users, &whole.Users)
	compareRows(t, cut, &stored.Roles, &part.Roles, &whole.Roles)
	compareRows(t, cut, &stored.Templates, &part.Templates, &whole.Templates)
	compareRows(t, cut, &stored.Assets, &part.Assets, &whole.Assets)
	compareRows(t, cut, &stored.Positions, &part.Positions, &whole.Positions)
	compareRows(t, cut, &stored.Holds, &part.Holds, &whole.Holds)
	compareRows(t, cut, &stored.Erasures, &part.Erasures, &whole.Erasures)
	compareRows(t, cut, &stored.Rules, &part.Rules, &whole.Rules)
	compareRows(t, cut, &stored.Approvals, &part.Approvals, &whole.Approvals)
	compareRows(t, cut, &stored.Subjects, &part.Subjects, &whole.Subjects)
	compareRows(t, cut, &stored.Moves, &part.Moves, &whole.Moves)
	if part.Head != whole.Head {
		t.Errorf("after %d entries the head becomes %v, want %v", cut, part.Head, whole.Head)
	}
}

// loadNeeded loads those of some rows that are stored.
func loadNeeded[K comparable, V any](into, stored *escrow.Rows[K, V], keys ...K) {
	for _, key := range keys {
		if value, ok := stored.Get(key); ok {
			into.Load(key, value)
		}
	}
}

// compareRows writes what has changed in a part of a table over what was stored, and compares that with
// the whole table.
func compareRows[K comparable, V any](t *testing.T, cut int, stored, part, whole *escrow.Rows[K, V]) {
	t.Helper()
	written := maps.Collect(stored.All())
	maps.Copy(written, maps.Collect(part.All()))
	if diff := cmp.Diff(maps.Collect(whole.All()), written, exactly()); diff != "" {
		t.Errorf("rows of the whole journal (-) and of the part after %d entries (+):\n%s", cut, diff)
	}
	if made := len(written) - len(stored.Created()); len(part.Created()) != made {
		t.Errorf("the part after %d entries makes %d rows, want %d", cut, len(part.Created()), made)
	}
}

func TestMergeNeedsNamesEachRowOnce(t *testing.T) {
	t.Parallel()
	position := func(n byte) escrow.Command {
		return transition(escrow.PositionID{n}, escrow.StateFunded, "")
	}
	by := func(key byte, command escrow.Command, record string) escrow.Request {
		return under(escrow.Request{Actor: escrow.ActorKey(escrow.KeyID{key}), Command: command}, record, 1)
	}
	requests := []escrow.Request{
		by(2, position(9), "b"), by(1, position(8), "a"), by(2, position(9), "b"), by(1, escrow.RevokeKey{Key: escrow.KeyID{2}}, "c"),
		by(1, newPosition(escrow.AssetID{7}, "1", "USD", nil), "d"), by(1, newPosition(escrow.AssetID{7}, "2", "USD", nil), "e"),
		by(1, valid(escrow.NewCreateAsset(escrow.AssetInput{TemplateID: escrow.TemplateID{6}.String(), Label: "A"})), "f"),
	}
	want := escrow.Needs{
		Policies: true, Keys: []escrow.KeyID{{1}, {2}}, Templates: []escrow.TemplateID{{6}},
		Assets: []escrow.AssetID{{7}}, Positions: []escrow.PositionID{{8}, {9}},
		Records: []string{"a", "b", "c", "d", "e", "f"},
	}
	if diff := cmp.Diff(want, escrow.MergeNeeds(requests), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("needs wanted (-) and given (+):\n%s", diff)
	}
	join := func(subject string) escrow.Request {
		return escrow.Request{Command: valid(escrow.NewJoinUser(escrow.PersonInput{Issuer: issuer, Subject: subject}))}
	}
	act := func(user byte) escrow.Request {
		return escrow.Request{Actor: escrow.ActorUser(escrow.UserID{user}), Command: escrow.SuspendUser{User: escrow.UserID{5}}}
	}
	want = escrow.Needs{
		Provider: true, Roles: true, Users: []escrow.UserID{{4}, {5}, {6}},
		Identities: []escrow.Identity{{Issuer: issuer, Subject: "1"}, {Issuer: issuer, Subject: "2"}},
	}
	people := []escrow.Request{act(6), join("2"), act(5), join("1"), act(4), join("2")}
	if diff := cmp.Diff(want, escrow.MergeNeeds(people), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("of people, needs wanted (-) and given (+):\n%s", diff)
	}
	if secrets := escrow.MergeNeeds([]escrow.Request{{Command: escrow.RevokeKey{}}, {Command: escrow.SetIdentityProvider{}}}); !secrets.Secrets {
		t.Errorf("the needs are %+v", secrets)
	}
	institution := escrow.MergeNeeds([]escrow.Request{{Command: escrow.CreateKey{}}, {Command: escrow.CreateTemplate{}}})
	if !institution.Institution || institution.Policies {
		t.Errorf("the needs are %+v", institution)
	}
}

// A later command of a batch sees what the earlier ones did.
func TestCommandsOfOneBatchSeeEachOther(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.position(d.escrow(), "100", "USD")
	before := len(d.books.Entries)
	d.accept(transition(id, escrow.StateFunded, "", 1))
	d.refuse(transition(id, escrow.StateFunded, "", 1), escrow.CodeVersionMismatch)
	d.accept(transition(id, escrow.StatePartiallyReleased, "60", 2))
	d.refuse(transition(id, escrow.StatePartiallyReleased, "60"), escrow.CodeTransitionAmount)
	if got := len(d.books.Entries) - before; got != 2 {
		t.Errorf("the batch appended %d entries, want 2", got)
	}
	if got := len(d.books.Positions.Created()); got != 1 {
		t.Errorf("%d positions are to be written, want 1", got)
	}
}

func TestInstitutionsAreMadeInTheOperatorsBooksAlone(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	create := valid(escrow.NewCreateInstitution(escrow.InstitutionInput{Name: "Another Bank", Regions: []string{"US"}}))
	setPolicy := valid(escrow.NewSetPolicy("US", escrow.PolicyInput{}))
	nobody := escrow.InstitutionID{}
	for _, test := range []struct {
		name    string
		books   *escrow.Books
		command escrow.Command
		actor   escrow.Actor
	}{
		{"a tenant's books take no institution", d.books, create, escrow.ActorRoot()},
		{"the operator's books take nothing else", escrow.NewBooks(nobody, escrow.Head{}, true), setPolicy, escrow.ActorRoot()},
		{"the system makes no institution", escrow.NewBooks(nobody, escrow.Head{}, true), create, escrow.ActorSystem()},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			entries := len(test.books.Entries)
			outcome, err := test.books.Execute(escrow.Request{
				Institution: test.books.InstitutionID(), Actor: test.actor, RequestID: "r", Command: test.command,
			}, escrow.Stamp{Now: time.Now(), Secret: escrow.Secret{1}})
			if err != nil {
				t.Fatal(err)
			}
			if outcome.Refusal == nil || outcome.Refusal.Code != escrow.CodeForbidden {
				t.Errorf("the refusal is %v, want %s", outcome.Refusal, escrow.CodeForbidden)
			}
			if len(test.books.Entries) != entries {
				t.Error("an entry was appended")
			}
		})
	}
}

func TestARequestOfAnotherInstitutionMeetsNoBooks(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	_, err := d.books.Execute(escrow.Request{
		Institution: escrow.InstitutionID{1}, Actor: escrow.ActorRoot(), RequestID: "r",
		Command: valid(escrow.NewSetPolicy("US", escrow.PolicyInput{})),
	}, escrow.Stamp{Now: time.Now(), Secret: escrow.Secret{1}})
	if err == nil {
		t.Error("the request was executed")
	}
}
