package storetest

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// everything asks for a whole list, where that is short.
func everything() escrow.PageRequest {
	return escrow.PageRequest{Limit: escrow.MaxPageSize}
}

// The values that a column must keep to the last bit.

func texts() []string {
	return []string{
		"a", strings.Repeat("é", escrow.MaxTextLength), "Überbank «銀行» 🏦", "e\u0301 is not é", "'; DROP TABLE positions; --",
		`"quoted" \back\slash $1 %s ?`, "\u200fمصرف\u200e", "NULL",
	}
}

func moments() []time.Time {
	return []time.Time{
		time.Unix(0, 0).UTC(), time.Date(1999, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
		time.Date(2027, 3, 1, 9, 0, 0, 1000, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
	}
}

func metadata() []escrow.Metadata {
	return []escrow.Metadata{
		nil, escrow.Metadata(`{}`), escrow.Metadata(`{"b":1,"a":1.00,"big":12345678901234567890.10}`),
		escrow.Metadata(`{"text":"Ü «銀行» \u0041 \n <&>","null":null}`),
		escrow.Metadata(`{"x":"` + strings.Repeat("x", escrow.MaxMetadataSize-8) + `"}`),
	}
}

// pick takes a list's elements in turn.
func pick[T any](values []T, i int) T { return values[i%len(values)] }

// optional takes a list's elements in turn, and nothing before them.
func optional[T any](values []T, i int) *T {
	if i%(len(values)+1) == 0 {
		return nil
	}
	return new(pick(values, i-1))
}

// samples is a row of every kind in many forms, of one institution but for the
// institutions themselves.
type samples struct {
	institutions []escrow.Institution
	keys         []escrow.APIKey
	providers    []escrow.IdentityProvider
	users        []escrow.User
	secrets      []escrow.SealedSecret
	roles        []escrow.Role
	policies     []escrow.Policy
	templates    []escrow.AssetTemplate
	assets       []escrow.Asset
	positions    []escrow.Position
	holds        []escrow.Hold
	erasures     []escrow.Erasure
	rules        []escrow.ApprovalRules
	approvals    []escrow.Approval
	subjects     []escrow.ApprovalSubject
	moves        []escrow.RecentMoves
	records      []escrow.Record
}

func (f *fixture) samples(of escrow.InstitutionID) (s samples) {
	for i := range 10 {
		f.moment()
		s.institutions = append(s.institutions, escrow.Institution{
			ID: f.uuid(), Name: pick(texts(), i), Upkeep: upkeep(i),
			Regions: escrow.Regions()[i%4:], Verticals: escrow.Verticals()[:1+i%2],
		})
		key := escrow.APIKey{
			ID: f.uuid(), InstitutionID: of, Label: pick(texts(), i), Owner: pick(append(texts(), ""), i+3),
			Role: pick([]escrow.RoleName{"admin", "read_only", "clerk", ""}, i), Restriction: pick(restrictions(), i),
			AllowedNetworks: pick([][]escrow.Network{nil, {"192.0.2.0/24", "2001:db8::/32"}, {"192.0.2.7/32"}}, i),
			Hash:            escrow.HashSecret(fmt.Sprint(of, i)), CreatedAt: pick(moments(), i),
			ExpiresAt: optional(moments(), i), RevokedAt: optional(moments(), i+2),
			RotatedTo: pick([]escrow.KeyID{{}, f.uuid()}, i), Version: pick([]int64{1, 2, math.MaxInt64}, i),
			CreatedBy: pick([]escrow.Actor{{}, escrow.ActorRoot(), escrow.ActorKey(escrow.KeyID{15: 1}), escrow.ActorUser(escrow.UserID{15: 2})}, i),
			Origin:    pick([]escrow.KeyID{{}, {15: 9}, {15: 8}}, i),
		}
		if key.Role == "" {
			key.Permissions = pick(permissions(), i/4)
		}
		s.keys = append(s.keys, key)
		s.users = append(s.users, escrow.User{
			ID: f.uuid(), InstitutionID: of, Identity: escrow.Identity{Issuer: pick([]string{"https://id.example", "http://localhost:1"}, i), Subject: pick(texts(), i) + fmt.Sprint(i)},
			DisplayName: pick(append(texts(), ""), i), Email: pick(append(texts(), ""), i+1), JoinedAt: pick(moments(), i), UpdatedAt: pick(moments(), i+1),
			SuspendedAt: optional(moments(), i), Suspensions: pick([]int64{1, 2, math.MaxInt64}, i), Version: pick([]int64{1, 2, math.MaxInt64}, i),
		})
		s.secrets = append(s.secrets, sealed(escrow.SecretName{Kind: pick([]escrow.SecretKind{"a", "b"}, i), Subject: pick(texts(), i/2)}, i))
		s.roles = append(s.roles, escrow.Role{
			InstitutionID: of, Name: pick(roleNames(), i), Permissions: pick(append(permissions(), 0), i),
			Version: pick([]int64{1, 2, math.MaxInt64}, i), CreatedAt: pick(moments(), i), UpdatedAt: pick(moments(), i+1),
		})
		s.templates = append(s.templates, escrow.AssetTemplate{
			ID: f.uuid(), InstitutionID: of, Code: pick(escrow.TemplateCodes(), i), Name: pick(texts(), i),
			Vertical: pick(escrow.TemplateCodes(), i).Vertical(), Region: pick(escrow.Regions(), i),
			Config: pick(configs(), i), Upkeep: upkeep(i),
		})
		s.assets = append(s.assets, escrow.Asset{
			ID: f.uuid(), InstitutionID: of, TemplateID: s.templates[i].ID, Label: pick(texts(), i),
			Metadata: pick(metadata(), i), Upkeep: upkeep(i),
		})
		s.erasures = append(s.erasures, escrow.Erasure{
			ID: f.uuid(), InstitutionID: of, Erased: pick([]int64{0, 1, math.MaxInt64}, i), Open: int64(i), Retained: pick([]int64{math.MaxInt64, 0}, i), OnHold: pick([]int64{0, 3, math.MaxInt64}, i),
			ApprovalsErased: pick([]int64{2, 0, math.MaxInt64}, i), ApprovalsPending: int64(i + 1), ApprovalsRetained: pick([]int64{0, math.MaxInt64}, i),
			RetainedUntil: optional(moments(), i), Complete: i%2 == 0, CreatedAt: pick(moments(), i),
		})
		s.records = append(s.records, escrow.Record{
			Key: pick(texts(), i) + fmt.Sprint(i), Fingerprint: escrow.Fingerprint(bytes.Repeat([]byte{byte(i)}, 32)),
			Subject: pick(texts(), i), Sequence: pick([]int64{0, 1, math.MaxInt64}, i), Refusal: pick(refusals(), i),
			Items: pick(batches(), i), Nonce: pick([][]byte{nil, {0, 1, 255}}, i), RequestID: pick(texts(), i), CreatedAt: pick(moments(), i),
		})
	}
	s.providers = []escrow.IdentityProvider{provider(of, 0)}
	f.addApprovals(of, &s)
	for i, region := range escrow.Regions() {
		s.policies = append(s.policies, escrow.Policy{
			InstitutionID: of, Region: region, CreatedAt: pick(moments(), i), UpdatedAt: pick(moments(), i+1),
			PositionRules: escrow.PositionRules{
				MinAmount: optional(decimals(), i), MaxAmount: optional(decimals(), i+2),
				AllowedCurrencies: pick([][]money.Code{nil, {"JPY"}, {"USD", "EUR", "KWD"}}, i),
			},
		})
	}
	for i := range 30 {
		f.moment()
		p := escrow.Position{
			ID: f.uuid(), InstitutionID: of, AssetID: pick(s.assets, i).ID, HolderReference: pick(texts(), i),
			ExternalReference: pick(append(texts(), ""), i), Currency: pick(currencies(), i),
			Version: pick([]int64{1, 2, math.MaxInt64}, i), HistoryBytes: pick([]int64{0, math.MaxInt64, 7}, i), ExpiresAt: optional(moments(), i), Metadata: pick(metadata(), i),
			CreatedAt: pick(moments(), i), UpdatedAt: pick(moments(), i+1),
		}
		s.positions = append(s.positions, underHolds(withMoney(p, pick(escrow.States(), i), pick([]money.Amount{
			2, 1000, math.MaxInt64,
		}, i/2)), i/3))
	}
	f.addHolds(of, &s)
	return s
}

// provider is a different one for each of some numbers.
func provider(of escrow.InstitutionID, i int) escrow.IdentityProvider {
	return escrow.IdentityProvider{
		InstitutionID: of, Issuer: pick([]string{"https://id.example", "http://localhost:1"}, i), ClientID: pick(texts(), i),
		HasSecret: i%2 == 0, SecretNumber: pick([]int64{math.MaxInt64, 1}, i), Audience: pick(append(texts(), ""), i+8),
		Claims:      pick([]escrow.ClaimNames{{}, {Groups: "g.<&>", Name: "é", Email: "e"}}, i),
		RoleByGroup: pick([]map[string]escrow.RoleName{{"a <&> \u2028": "admin", "銀行/b": "clerk"}, nil, {"": "b"}}, i),
		Version:     pick([]int64{1, math.MaxInt64}, i), CreatedAt: pick(moments(), i), UpdatedAt: pick(moments(), i+1),
		RemovedAt: optional(moments(), 2*i),
	}
}

// sealed is a secret that was kept, or taken away.
func sealed(name escrow.SecretName, i int) escrow.SealedSecret {
	s := escrow.SealedSecret{SecretName: name}
	if i%3 > 0 {
		s.Sealed, s.SealedUnder = pick([][]byte{{0}, {1, 0, 255}}, i), pick([]string{"k1", "k2"}, i/2)
	}
	return s
}

// withMoney puts a position into a state, with all amounts different where the
// state lets them.
func withMoney(p escrow.Position, state escrow.State, amount money.Amount) escrow.Position {
	p.State, p.Amount = state, amount
	p.Funded, p.Released, p.Refunded, p.Held, p.Retained = 0, 0, 0, 0, 0
	switch state {
	case escrow.StateCreated:
		p.Retained = amount
	case escrow.StateFunded:
		p.Funded, p.Held, p.Retained = amount, amount, amount/3
	case escrow.StatePartiallyReleased:
		p.Funded, p.Released, p.Held, p.Retained = amount, amount/2, amount-amount/2, amount/3
	case escrow.StateReleased:
		p.Funded, p.Released = amount, amount
	case escrow.StateCancelled:
		p.Funded, p.Released, p.Refunded = amount, amount/3, amount-amount/3
	case escrow.StateExpired:
	}
	return p
}

// upkeep is a different one for each of some numbers.
func upkeep(i int) escrow.Upkeep {
	return escrow.Upkeep{
		Version: pick([]int64{1, 2, math.MaxInt64}, i), CreatedAt: pick(moments(), i), ClosedAt: optional(moments(), i),
	}
}

// currencies are of different decimals; the last is no longer in use.
func currencies() []money.Currency {
	return []money.Currency{
		{Code: "USD", Decimals: 2}, {Code: "JPY"}, {Code: "CLF", Decimals: 4}, {Code: "HRK", Decimals: 2},
	}
}

func configs() []escrow.TemplateConfig {
	clf := func(amount money.Amount) money.Money {
		return money.Money{Amount: amount, Currency: money.Currency{Code: "CLF", Decimals: 4}}
	}
	return []escrow.TemplateConfig{
		{Currency: "USD"},
		{Currency: "CLF", Region: "US", MinAmount: clf(1), MaxAmount: clf(math.MaxInt64)},
		{Currency: "JPY", RetainagePercentage: new(must(money.ParseDecimal("12.5")))},
		{Currency: "KWD", RetainagePercentage: new(must(money.ParseDecimal("0")))},
		{Currency: "EUR", MaxTenorDays: escrow.MaxTenorDays, Country: "DE"},
		{Currency: "EUR", MaxTenorDays: 1, IssuingBankCountry: "SG"},
	}
}

// roleNames are in the order of the alphabet, and of the form that names have.
func roleNames() []escrow.RoleName {
	return []escrow.RoleName{
		"a", "a_", "a_1", "aa", escrow.RoleName("a" + strings.Repeat("b", 62)), "clerk", "clerk2", "clerk_2", "z", "zz",
	}
}

// permissions are sets of one permission, of some and of all that a key can have.
func permissions() (sets []escrow.PermissionSet) {
	for _, role := range escrow.BuiltInRoles() {
		sets = append(sets, role.Permissions)
	}
	return append(sets, sets[0].Without(sets[1]))
}

func restrictions() []escrow.Restriction {
	least := map[money.Code]money.Decimal{"USD": decimals()[1]}
	return []escrow.Restriction{
		{},
		{TemplateIDs: []escrow.TemplateID{{15: 1}}},
		{AssetIDs: []escrow.AssetID{{15: 2}, {15: 1}}, MaxAmount: least},
		{HolderReferences: texts()},
		{MaxAmount: map[money.Code]money.Decimal{"USD": decimals()[0], "JPY": decimals()[2], "EUR": decimals()[1]}},
		{TemplateIDs: []escrow.TemplateID{{15: 1}, {15: 3}}, AssetIDs: []escrow.AssetID{{1}}, HolderReferences: texts()[:1], MaxAmount: least},
	}
}

func decimals() []money.Decimal {
	return []money.Decimal{
		must(money.ParseDecimal("0")), must(money.ParseDecimal("0.0001")),
		must(money.ParseDecimal("1000000000000000")),
	}
}

func refusals() []*escrow.Error {
	return []*escrow.Error{
		nil, escrow.Errorf(escrow.CodeInvalidTransition, "No: «%s»", "銀行"),
		{Code: escrow.CodeInvalidInput, Detail: "See errors.", Faults: []escrow.Fault{{Field: "a.b", Message: `is "wrong"`}}},
		{Code: escrow.CodeBatchRefused, Detail: "See results.", Items: batches()[3]},
	}
}

// batches are refusals of items: of no batch, of batches of which all, some and no
// items were refused.
func batches() []escrow.ItemRefusals {
	refusal := escrow.Errorf(escrow.CodeAssetNotFound, "No: «%s» \u2028 <&>", "銀行")
	return []escrow.ItemRefusals{
		nil,
		{nil},
		{refusal},
		{nil, nil, refusal, nil, {Code: escrow.CodeInvalidInput, Faults: []escrow.Fault{{Field: "amount", Message: "is"}}}},
		make(escrow.ItemRefusals, escrow.MaxBatchItems), slices.Repeat(escrow.ItemRefusals{refusal}, escrow.MaxBatchItems),
	}
}

// write puts all samples into the store, the institutions in a transaction of their own.
func (f *fixture) writeSamples(of escrow.InstitutionID, s samples) {
	f.t.Helper()
	f.write(operator(), escrow.Needs{}, func(b *escrow.Books) {
		for _, institution := range s.institutions {
			b.Institutions.Put(institution.ID, institution)
		}
	})
	f.write(of, escrow.Needs{}, func(b *escrow.Books) { putSamples(b, s) })
}

func putSamples(b *escrow.Books, s samples) {
	for _, key := range s.keys {
		b.Keys.Put(key.ID, key)
	}
	for _, provider := range s.providers {
		b.Providers.Put(provider.InstitutionID, provider)
	}
	for _, user := range s.users {
		b.Users.Put(user.ID, user)
	}
	for _, secret := range s.secrets {
		b.Secrets.Put(secret.SecretName, secret)
	}
	for _, role := range s.roles {
		b.Roles.Put(role.Name, role)
	}
	for _, policy := range s.policies {
		b.Policies.Put(policy.Region, policy)
	}
	for _, template := range s.templates {
		b.Templates.Put(template.ID, template)
	}
	for _, asset := range s.assets {
		b.Assets.Put(asset.ID, asset)
	}
	for _, position := range s.positions {
		b.Positions.Put(position.ID, position)
	}
	for _, erasure := range s.erasures {
		b.Erasures.Put(erasure.ID, erasure)
	}
	for _, record := range s.records {
		b.Records.Put(record.Key, record)
	}
	putHolds(b, s)
	putApprovals(b, s)
}

// checkSamples compares what every way of reading gives with what was written.
func (f *fixture) checkSamples(of escrow.InstitutionID, s samples) {
	f.t.Helper()
	books := f.load(of, needsOf(s))
	ctx := f.t.Context()
	for _, want := range s.institutions {
		got, ok, err := found(f.Institution(ctx, want.ID))
		f.compare("institution", want, got, ok, err)
		got, ok = f.load(want.ID, escrow.Needs{Institution: true}).Institutions.Get(want.ID)
		f.compare("institution in its books", want, got, ok, nil)
	}
	keys, err := f.Keys(ctx, of, escrow.KeyFilter{IncludeRevoked: true}, everything())
	f.compare("list of keys", s.keys, keys.Items, true, err)
	for _, want := range s.keys {
		got, ok := books.Keys.Get(want.ID)
		f.compare("key in the books", want, got, ok, nil)
	}
	f.checkPeople(of, s, books)
	f.checkApprovals(of, s, books)
	f.checkHolds(of, s, books)
	roles, err := f.Roles(ctx, of)
	f.compare("list of roles", s.roles, roles, true, err)
	for _, want := range s.roles {
		got, ok, err := found(f.Role(ctx, of, want.Name))
		f.compare("role", want, got, ok, err)
		got, ok = books.Roles.Get(want.Name)
		f.compare("role in the books", want, got, ok, nil)
	}
	policies, err := f.Policies(ctx, of)
	f.compare("list of policies", inOrderOfRegion(s.policies), policies, true, err)
	for _, want := range s.policies {
		got, ok := books.Policies.Get(want.Region)
		f.compare("policy in the books", want, got, ok, nil)
	}
	for _, want := range s.templates {
		got, ok, err := found(f.Template(ctx, of, want.ID))
		f.compare("template", want, got, ok, err)
		got, ok = books.Templates.Get(want.ID)
		f.compare("template in the books", want, got, ok, nil)
	}
	for _, want := range s.assets {
		got, ok, err := found(f.Asset(ctx, of, want.ID))
		f.compare("asset", want, got, ok, err)
		got, ok = books.Assets.Get(want.ID)
		f.compare("asset in the books", want, got, ok, nil)
	}
	for _, want := range s.positions {
		got, ok, err := found(f.Position(ctx, of, want.ID))
		f.compare("position", want, got, ok, err)
		got, ok = books.Positions.Get(want.ID)
		f.compare("position in the books", want, got, ok, nil)
	}
	erasures, err := f.Erasures(ctx, of, everything())
	f.compare("list of erasures", s.erasures, erasures.Items, true, err)
	for _, want := range s.erasures {
		got, ok, err := found(f.Erasure(ctx, of, want.ID))
		f.compare("erasure", want, got, ok, err)
		got, ok = books.Erasures.Get(want.ID)
		f.compare("erasure in the books", want, got, ok, nil)
	}
	for _, want := range s.records {
		got, ok := books.Records.Get(want.Key)
		f.compare("record in the books", want, got, ok, nil)
	}
}

// compare checks the result of a query.
func (f *fixture) compare(what string, want, got any, found bool, err error) {
	f.t.Helper()
	if err != nil || !found {
		f.t.Errorf("%s: found is %t, error %v", what, found, err)
		return
	}
	equal(f.t, what, want, got)
}

func inOrderOfRegion(policies []escrow.Policy) []escrow.Policy {
	byRegion := make(map[escrow.Region]escrow.Policy)
	for _, policy := range policies {
		byRegion[policy.Region] = policy
	}
	var ordered []escrow.Policy
	for _, region := range []escrow.Region{"EU_UK", "SG", "UAE", "US"} {
		ordered = append(ordered, byRegion[region])
	}
	return ordered
}

func needsOf(s samples) escrow.Needs {
	n := escrow.Needs{Institution: true, Policies: true, Roles: true, Provider: true, Secrets: true}
	for _, user := range s.users {
		n.Users = append(n.Users, user.ID)
	}
	for _, key := range s.keys {
		n.Keys = append(n.Keys, key.ID)
	}
	for _, template := range s.templates {
		n.Templates = append(n.Templates, template.ID)
	}
	for _, asset := range s.assets {
		n.Assets = append(n.Assets, asset.ID)
	}
	for _, position := range s.positions {
		n.Positions = append(n.Positions, position.ID)
	}
	for _, erasure := range s.erasures {
		n.Erasures = append(n.Erasures, erasure.ID)
	}
	for _, record := range s.records {
		n.Records = append(n.Records, record.Key)
	}
	for _, hold := range s.holds {
		n.Holds = append(n.Holds, hold.ID)
	}
	addNeedsOfApprovals(&n, s)
	return n
}

func testRoundTrip(f *fixture) {
	of := f.institution()
	written := f.samples(of)
	f.writeSamples(of, written)
	f.checkSamples(of, written)
}

// In one transaction, rows that the database has are changed in every column that can
// change, others are left alone, and new ones are made and changed at once.
func testUpdates(f *fixture) {
	of := f.institution()
	all := f.samples(of)
	for i := range all.positions {
		all.positions[i].Retained = 1 // It never changes, and fits every state.
	}
	older, newer := all.halves()
	f.writeSamples(of, older)
	changed := all.changed()
	f.write(of, needsOf(older), func(b *escrow.Books) {
		putSamples(b, newer)
		putSamples(b, samples{
			keys: changed.keys[1:], roles: changed.roles[1:], policies: changed.policies[1:], templates: changed.templates[1:],
			assets: changed.assets[1:], positions: changed.positions[1:], providers: changed.providers, users: changed.users[1:],
			secrets: changed.secrets[1:], rules: changed.rules, approvals: changed.approvals[1:], moves: changed.moves[1:],
			holds: changed.holds[1:],
		})
	})
	changed.users[0], changed.secrets[0] = all.users[0], all.secrets[0]
	changed.approvals[0], changed.moves[0], changed.holds[0] = all.approvals[0], all.moves[0], all.holds[0]
	changed.keys[0], changed.policies[0], changed.positions[0] = all.keys[0], all.policies[0], all.positions[0]
	changed.templates[0], changed.assets[0], changed.roles[0] = all.templates[0], all.assets[0], all.roles[0]
	changed.institutions = older.institutions
	f.checkSamples(of, changed)

	own := must(f.Institution(f.t.Context(), of))
	own.Name, own.Version, own.ClosedAt = texts()[0], 17, &moments()[0]
	f.write(of, escrow.Needs{Institution: true}, func(b *escrow.Books) { b.Institutions.Put(of, own) })
	equal(f.t, "the institution", own, must(f.Institution(f.t.Context(), of)))
}

func (s samples) halves() (first, second samples) {
	first, second = s, s
	first.institutions, second.institutions = halve(s.institutions)
	first.keys, second.keys = halve(s.keys)
	first.roles, second.roles = halve(s.roles)
	first.users, second.users = halve(s.users)
	first.secrets, second.secrets = halve(s.secrets)
	second.providers = nil
	first.policies, second.policies = halve(s.policies)
	first.templates, second.templates = halve(s.templates)
	first.assets, second.assets = halve(s.assets)
	first.positions, second.positions = halve(s.positions)
	first.erasures, second.erasures = halve(s.erasures)
	first.holds, second.holds = halve(s.holds)
	first.records, second.records = halve(s.records)
	first.approvals, second.approvals = halve(s.approvals)
	first.subjects, second.subjects = halve(s.subjects)
	first.moves, second.moves = halve(s.moves)
	second.rules = nil
	return first, second
}

func halve[T any](values []T) (first, second []T) {
	return values[:len(values)/2], values[len(values)/2:]
}

// changed returns the samples with other values in the columns that can change.
func (s samples) changed() samples {
	s = s.changedApprovals().changedHolds()
	s.keys, s.policies, s.positions = slices.Clone(s.keys), slices.Clone(s.policies), slices.Clone(s.positions)
	s.templates, s.assets, s.roles = slices.Clone(s.templates), slices.Clone(s.assets), slices.Clone(s.roles)
	s.users, s.secrets = slices.Clone(s.users), slices.Clone(s.secrets)
	s.providers = []escrow.IdentityProvider{provider(s.providers[0].InstitutionID, 1)}
	for i := range s.users {
		u := &s.users[i]
		u.DisplayName, u.Email = pick(append(texts(), ""), i+3), pick(append(texts(), ""), i+2)
		u.SuspendedAt, u.Suspensions, u.UpdatedAt, u.Version = optional(moments(), i+1), 17, pick(moments(), i+2), 17
	}
	for i := range s.secrets {
		s.secrets[i] = sealed(s.secrets[i].SecretName, i+1)
	}
	for i := range s.roles {
		s.roles[i].Permissions, s.roles[i].Version = pick(append(permissions(), 0), i+1), 17
		s.roles[i].UpdatedAt = pick(moments(), i+2)
	}
	for i := range s.templates {
		name, after := pick(texts(), i+1), upkeep(i+1)
		after.CreatedAt = s.templates[i].CreatedAt
		s.templates[i].Name, s.templates[i].Upkeep = name, after
		after.CreatedAt = s.assets[i].CreatedAt
		s.assets[i].Label, s.assets[i].Metadata, s.assets[i].Upkeep = name, pick(metadata(), i+1), after
	}
	for i := range s.keys {
		s.keys[i].ExpiresAt, s.keys[i].RevokedAt = optional(moments(), i+1), optional(moments(), i)
		s.keys[i].Label, s.keys[i].Version = pick(texts(), i+1), 17
		s.keys[i].RotatedTo = pick([]escrow.KeyID{{7}, {}}, i)
	}
	for i := range s.policies {
		p := &s.policies[i]
		p.MinAmount, p.MaxAmount = optional(decimals(), i+1), optional(decimals(), i)
		p.AllowedCurrencies = pick([][]money.Code{{"CHF"}, nil}, i)
		p.UpdatedAt = pick(moments(), i+2)
	}
	for i, p := range s.positions {
		p = underHolds(withMoney(p, pick(escrow.States(), i+1), p.Amount), i/3+1)
		p.Retained, p.Version, p.UpdatedAt = s.positions[i].Retained, 17, pick(moments(), i+2)
		s.positions[i] = p
	}
	return s
}

// A row's id alone does not name it: an institution reaches its own row only,
// whatever ids it knows.
func testSameIDs(f *fixture) {
	one, other := f.institution(), f.institution()
	ours := f.samples(one)
	ours.institutions = nil
	theirs := ours.changed().of(other)
	f.writeSamples(one, ours)
	f.writeSamples(other, theirs)
	f.checkSamples(one, ours)
	f.checkSamples(other, theirs)

	ours.positions[0] = underHolds(withMoney(ours.positions[0], escrow.StateFunded, ours.positions[0].Amount), 2)
	f.write(one, needsOf(ours), func(b *escrow.Books) { b.Positions.Put(ours.positions[0].ID, ours.positions[0]) })
	f.checkSamples(other, theirs)
}

// of returns the samples as another institution's.
func (s samples) of(institution escrow.InstitutionID) samples {
	s = s.approvalsOf(institution).holdsOf(institution)
	s.templates, s.assets, s.records = slices.Clone(s.templates), slices.Clone(s.assets), slices.Clone(s.records)
	s.erasures = slices.Clone(s.erasures)
	for i := range s.keys {
		s.keys[i].InstitutionID = institution
	}
	for i := range s.providers {
		s.providers[i].InstitutionID = institution
	}
	for i := range s.users {
		s.users[i].InstitutionID = institution
	}
	for i := range s.roles {
		s.roles[i].InstitutionID = institution
	}
	for i := range s.policies {
		s.policies[i].InstitutionID = institution
	}
	for i := range s.templates {
		s.templates[i].InstitutionID, s.templates[i].Name = institution, "Of the other institution"
	}
	for i := range s.assets {
		s.assets[i].InstitutionID, s.assets[i].Label = institution, "Of the other institution"
	}
	for i := range s.positions {
		s.positions[i].InstitutionID = institution
	}
	for i := range s.erasures {
		s.erasures[i].InstitutionID, s.erasures[i].Open = institution, 77
	}
	for i := range s.records {
		s.records[i].Subject = "Of the other institution"
	}
	return s
}

// The body of an entry is stored byte by byte, in whatever form it came.
func testEntryBodies(f *fixture) {
	of := f.institution()
	f.asset(of)
	written := must(f.Entries(f.t.Context(), of, escrow.EntryFilter{}, everything())).Items
	f.moment()
	entry := must(escrow.ParseEntry(fmt.Appendf(nil, `{ "later" : "\u00fc <&> 🏦", "v":2,
		"institutionId": %q, "sequence" : 4, "id": %q, "at": "2027-03-01T10:00:00.000001Z", "actor": "system", "requestId": "r",
		"kind": "POLICY_SET", "subject": "policy/US", "event": {"region": "US", "position": {"maxAmount": "1.5000"}, "createdAt": "2027-03-01T10:00:00.000001Z"}}`,
		of, escrow.EntryID(f.uuid())), nil))
	f.write(of, escrow.Needs{}, func(b *escrow.Books) {
		if err := b.Reapply(entry); err != nil {
			f.t.Fatal(err)
		}
	})
	got := must(f.Entries(f.t.Context(), of, escrow.EntryFilter{}, everything())).Items
	equal(f.t, "journal", append(written, entry), got)
	if head, _, err := f.Head(f.t.Context(), of); err != nil || head != (escrow.Head{Sequence: 4, At: entry.At}) {
		f.t.Errorf("the head is %+v, %v; want that of the last entry, 4 at %s", head, err, entry.At)
	}
}
