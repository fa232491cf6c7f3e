package storetest

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid"
)

// everything asks for a whole list, where that is short.
func everything() escrowgrid.PageRequest {
	return escrowgrid.PageRequest{Limit: escrowgrid.MaxPageSize}
}

// The values that a column must keep to the last bit.

func texts() []string {
	return []string{
		"a", strings.Repeat("é", escrowgrid.MaxTextLength), "Überbank «銀行» 🏦", "e\u0301 is not é", "'; DROP TABLE positions; --",
		`"quoted" \back\slash $1 %s ?`, "\u200fمصرف\u200e", "NULL",
	}
}

func moments() []time.Time {
	return []time.Time{
		time.Unix(0, 0).UTC(), time.Date(1999, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
		time.Date(2027, 3, 1, 9, 0, 0, 1000, time.UTC), time.Date(9999, 12, 31, 23, 59, 59, 999_999_000, time.UTC),
	}
}

func metadata() []escrowgrid.Metadata {
	return []escrowgrid.Metadata{
		nil, escrowgrid.Metadata(`{}`), escrowgrid.Metadata(`{"b":1,"a":1.00,"big":12345678901234567890.10}`),
		escrowgrid.Metadata(`{"text":"Ü «銀行» \u0041 \n <&>","null":null}`),
		escrowgrid.Metadata(`{"x":"` + strings.Repeat("x", escrowgrid.MaxMetadataSize-8) + `"}`),
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
	institutions []escrowgrid.Institution
	keys         []escrowgrid.APIKey
	policies     []escrowgrid.Policy
	templates    []escrowgrid.AssetTemplate
	assets       []escrowgrid.Asset
	positions    []escrowgrid.Position
	records      []escrowgrid.Record
}

func (f *fixture) samples(of escrowgrid.InstitutionID) (s samples) {
	for i := range 10 {
		f.moment()
		s.institutions = append(s.institutions, escrowgrid.Institution{
			ID: f.uuid(), Name: pick(texts(), i), CreatedAt: pick(moments(), i),
			Regions: escrowgrid.Regions()[i%4:], Verticals: escrowgrid.Verticals()[:1+i%2],
		})
		s.keys = append(s.keys, escrowgrid.APIKey{
			ID: f.uuid(), InstitutionID: of, Label: pick(texts(), i), Role: pick(escrowgrid.Roles(), i),
			Hash: escrowgrid.HashSecret(fmt.Sprint(of, i)), CreatedAt: pick(moments(), i),
			ExpiresAt: optional(moments(), i), RevokedAt: optional(moments(), i+2),
		})
		s.templates = append(s.templates, escrowgrid.AssetTemplate{
			ID: f.uuid(), InstitutionID: of, Code: pick(escrowgrid.TemplateCodes(), i), Name: pick(texts(), i),
			Vertical: pick(escrowgrid.TemplateCodes(), i).Vertical(), Region: pick(escrowgrid.Regions(), i),
			Config: pick(configs(), i), CreatedAt: pick(moments(), i),
		})
		s.assets = append(s.assets, escrowgrid.Asset{
			ID: f.uuid(), InstitutionID: of, TemplateID: s.templates[i].ID, Label: pick(texts(), i),
			Metadata: pick(metadata(), i), CreatedAt: pick(moments(), i),
		})
		s.records = append(s.records, escrowgrid.Record{
			Key: pick(texts(), i) + fmt.Sprint(i), Fingerprint: escrowgrid.Fingerprint(bytes.Repeat([]byte{byte(i)}, 32)),
			Subject: pick(texts(), i), Sequence: pick([]int64{0, 1, math.MaxInt64}, i), Refusal: pick(refusals(), i),
			Items: pick(batches(), i), Nonce: pick([][]byte{nil, {0, 1, 255}}, i), RequestID: pick(texts(), i), CreatedAt: pick(moments(), i),
		})
	}
	for i, region := range escrowgrid.Regions() {
		s.policies = append(s.policies, escrowgrid.Policy{
			InstitutionID: of, Region: region, CreatedAt: pick(moments(), i), UpdatedAt: pick(moments(), i+1),
			PositionRules: escrowgrid.PositionRules{
				MinAmount: optional(decimals(), i), MaxAmount: optional(decimals(), i+2),
				AllowedCurrencies: pick([][]escrowgrid.Currency{nil, {"JPY"}, {"USD", "EUR", "KWD"}}, i),
			},
		})
	}
	for i := range 30 {
		f.moment()
		p := escrowgrid.Position{
			ID: f.uuid(), InstitutionID: of, AssetID: pick(s.assets, i).ID, HolderReference: pick(texts(), i),
			ExternalReference: pick(append(texts(), ""), i), Currency: pick([]escrowgrid.Currency{"USD", "JPY", "CLF"}, i),
			Version: pick([]int64{1, 2, math.MaxInt64}, i), ExpiresAt: optional(moments(), i), Metadata: pick(metadata(), i),
			CreatedAt: pick(moments(), i), UpdatedAt: pick(moments(), i+1),
		}
		s.positions = append(s.positions, withMoney(p, pick(escrowgrid.States(), i), pick([]escrowgrid.Amount{
			2, 1000, math.MaxInt64,
		}, i/2)))
	}
	return s
}

// withMoney puts a position into a state, with all amounts different where the
// state lets them.
func withMoney(p escrowgrid.Position, state escrowgrid.State, amount escrowgrid.Amount) escrowgrid.Position {
	p.State, p.Amount = state, amount
	p.Funded, p.Released, p.Refunded, p.Held, p.Retained = 0, 0, 0, 0, 0
	switch state {
	case escrowgrid.StateCreated:
		p.Retained = amount
	case escrowgrid.StateFunded:
		p.Funded, p.Held, p.Retained = amount, amount, amount/3
	case escrowgrid.StatePartiallyReleased:
		p.Funded, p.Released, p.Held, p.Retained = amount, amount/2, amount-amount/2, amount/3
	case escrowgrid.StateReleased:
		p.Funded, p.Released = amount, amount
	case escrowgrid.StateCancelled:
		p.Funded, p.Released, p.Refunded = amount, amount/3, amount-amount/3
	case escrowgrid.StateExpired:
	}
	return p
}

func configs() []escrowgrid.TemplateConfig {
	return []escrowgrid.TemplateConfig{
		{Currency: "USD"},
		{Currency: "CLF", Region: "US", MinAmount: 1, MaxAmount: math.MaxInt64},
		{Currency: "JPY", RetainagePercentage: new(must(escrowgrid.ParseDecimal("12.5")))},
		{Currency: "KWD", RetainagePercentage: new(must(escrowgrid.ParseDecimal("0")))},
		{Currency: "EUR", MaxTenorDays: escrowgrid.MaxTenorDays, Country: "DE"},
		{Currency: "EUR", MaxTenorDays: 1, IssuingBankCountry: "SG"},
	}
}

func decimals() []escrowgrid.Decimal {
	return []escrowgrid.Decimal{
		must(escrowgrid.ParseDecimal("0")), must(escrowgrid.ParseDecimal("0.0001")),
		must(escrowgrid.ParseDecimal("1000000000000000")),
	}
}

func refusals() []*escrowgrid.Error {
	return []*escrowgrid.Error{
		nil, escrowgrid.Errorf(escrowgrid.CodeInvalidTransition, "No: «%s»", "銀行"),
		{Code: escrowgrid.CodeInvalidInput, Detail: "See errors.", Faults: []escrowgrid.Fault{{Field: "a.b", Message: `is "wrong"`}}},
		{Code: escrowgrid.CodeBatchRefused, Detail: "See results.", Items: batches()[3]},
	}
}

// batches are refusals of items: of no batch, of batches of which all, some and no
// items were refused.
func batches() []escrowgrid.ItemRefusals {
	refusal := escrowgrid.Errorf(escrowgrid.CodeAssetNotFound, "No: «%s» \u2028 <&>", "銀行")
	return []escrowgrid.ItemRefusals{
		nil,
		{nil},
		{refusal},
		{nil, nil, refusal, nil, {Code: escrowgrid.CodeInvalidInput, Faults: []escrowgrid.Fault{{Field: "amount", Message: "is"}}}},
		make(escrowgrid.ItemRefusals, escrowgrid.MaxBatchItems), slices.Repeat(escrowgrid.ItemRefusals{refusal}, escrowgrid.MaxBatchItems),
	}
}

// write puts all samples into the store, the institutions in a batch of their own.
func (f *fixture) writeSamples(of escrowgrid.InstitutionID, s samples) {
	f.t.Helper()
	f.write(operator(), escrowgrid.Needs{}, func(b *escrowgrid.Books) {
		for _, institution := range s.institutions {
			b.Institutions.Put(institution.ID, institution)
		}
	})
	f.write(of, escrowgrid.Needs{}, func(b *escrowgrid.Books) { putSamples(b, s) })
}

func putSamples(b *escrowgrid.Books, s samples) {
	for _, key := range s.keys {
		b.Keys.Put(key.ID, key)
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
	for _, record := range s.records {
		b.Records.Put(record.Key, record)
	}
}

// checkSamples compares what every way of reading gives with what was written.
func (f *fixture) checkSamples(of escrowgrid.InstitutionID, s samples) {
	f.t.Helper()
	books := f.load(of, needsOf(s))
	ctx := f.t.Context()
	for _, want := range s.institutions {
		got, ok, err := f.Institution(ctx, want.ID)
		f.compare("institution", want, got, ok, err)
		got, ok = f.load(want.ID, escrowgrid.Needs{Institution: true}).Institutions.Get(want.ID)
		f.compare("institution in its books", want, got, ok, nil)
	}
	keys, err := f.Keys(ctx, of, escrowgrid.KeyFilter{IncludeRevoked: true}, everything())
	f.compare("list of keys", s.keys, keys.Items, true, err)
	for _, want := range s.keys {
		got, ok := books.Keys.Get(want.ID)
		f.compare("key in the books", want, got, ok, nil)
	}
	policies, err := f.Policies(ctx, of)
	f.compare("list of policies", inOrderOfRegion(s.policies), policies, true, err)
	for _, want := range s.policies {
		got, ok := books.Policies.Get(want.Region)
		f.compare("policy in the books", want, got, ok, nil)
	}
	for _, want := range s.templates {
		got, ok, err := f.Template(ctx, of, want.ID)
		f.compare("template", want, got, ok, err)
		got, ok = books.Templates.Get(want.ID)
		f.compare("template in the books", want, got, ok, nil)
	}
	for _, want := range s.assets {
		got, ok, err := f.Asset(ctx, of, want.ID)
		f.compare("asset", want, got, ok, err)
		got, ok = books.Assets.Get(want.ID)
		f.compare("asset in the books", want, got, ok, nil)
	}
	for _, want := range s.positions {
		got, ok, err := f.Position(ctx, of, want.ID)
		f.compare("position", want, got, ok, err)
		got, ok = books.Positions.Get(want.ID)
		f.compare("position in the books", want, got, ok, nil)
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

func inOrderOfRegion(policies []escrowgrid.Policy) []escrowgrid.Policy {
	byRegion := make(map[escrowgrid.Region]escrowgrid.Policy)
	for _, policy := range policies {
		byRegion[policy.Region] = policy
	}
	var ordered []escrowgrid.Policy
	for _, region := range []escrowgrid.Region{"EU_UK", "SG", "UAE", "US"} {
		ordered = append(ordered, byRegion[region])
	}
	return ordered
}

func needsOf(s samples) escrowgrid.Needs {
	n := escrowgrid.Needs{Institution: true, Policies: true}
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
	for _, record := range s.records {
		n.Records = append(n.Records, record.Key)
	}
	return n
}

func testRoundTrip(f *fixture) {
	of := f.institution()
	written := f.samples(of)
	f.writeSamples(of, written)
	f.checkSamples(of, written)
}

// In one batch, rows that the database has are changed in every column that can
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
	f.write(of, needsOf(older), func(b *escrowgrid.Books) {
		putSamples(b, newer)
		putSamples(b, samples{keys: changed.keys[1:], policies: changed.policies[1:], positions: changed.positions[1:]})
	})
	changed.keys[0], changed.policies[0], changed.positions[0] = all.keys[0], all.policies[0], all.positions[0]
	changed.institutions = older.institutions
	f.checkSamples(of, changed)
}

func (s samples) halves() (first, second samples) {
	first, second = s, s
	first.institutions, second.institutions = halve(s.institutions)
	first.keys, second.keys = halve(s.keys)
	first.policies, second.policies = halve(s.policies)
	first.templates, second.templates = halve(s.templates)
	first.assets, second.assets = halve(s.assets)
	first.positions, second.positions = halve(s.positions)
	first.records, second.records = halve(s.records)
	return first, second
}

func halve[T any](values []T) (first, second []T) {
	return values[:len(values)/2], values[len(values)/2:]
}

// changed returns the samples with other values in the columns that can change.
func (s samples) changed() samples {
	s.keys, s.policies, s.positions = slices.Clone(s.keys), slices.Clone(s.policies), slices.Clone(s.positions)
	for i := range s.keys {
		s.keys[i].ExpiresAt, s.keys[i].RevokedAt = optional(moments(), i+1), optional(moments(), i)
	}
	for i := range s.policies {
		p := &s.policies[i]
		p.MinAmount, p.MaxAmount = optional(decimals(), i+1), optional(decimals(), i)
		p.AllowedCurrencies = pick([][]escrowgrid.Currency{{"CHF"}, nil}, i)
		p.UpdatedAt = pick(moments(), i+2)
	}
	for i, p := range s.positions {
		p = withMoney(p, pick(escrowgrid.States(), i+1), p.Amount)
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

	ours.positions[0] = withMoney(ours.positions[0], escrowgrid.StateFunded, ours.positions[0].Amount)
	f.write(one, needsOf(ours), func(b *escrowgrid.Books) { b.Positions.Put(ours.positions[0].ID, ours.positions[0]) })
	f.checkSamples(other, theirs)
}

// of returns the samples as another institution's.
func (s samples) of(institution escrowgrid.InstitutionID) samples {
	s.templates, s.assets, s.records = slices.Clone(s.templates), slices.Clone(s.assets), slices.Clone(s.records)
	for i := range s.keys {
		s.keys[i].InstitutionID = institution
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
	for i := range s.records {
		s.records[i].Subject = "Of the other institution"
	}
	return s
}

// The body of an entry is stored byte by byte, in whatever form it came.
func testEntryBodies(f *fixture) {
	of := f.institution()
	f.asset(of)
	written := must(f.Entries(f.t.Context(), of, escrowgrid.EntryFilter{}, everything())).Items
	f.moment()
	entry := must(escrowgrid.ParseEntry(fmt.Appendf(nil, `{ "later" : "\u00fc <&> 🏦", "v":1,
		"institutionId": %q, "sequence" : 4, "id": %q, "at": "2027-03-01T10:00:00.000001Z", "actor": "system", "requestId": "r",
		"kind": "POLICY_SET", "subject": "policy/US", "event": {"region": "US", "position": {"maxAmount": "1.5000"}, "createdAt": "2027-03-01T10:00:00.000001Z"}}`,
		of, escrowgrid.EntryID(f.uuid()))))
	f.write(of, escrowgrid.Needs{}, func(b *escrowgrid.Books) {
		if err := b.Replay(entry); err != nil {
			f.t.Fatal(err)
		}
	})
	got := must(f.Entries(f.t.Context(), of, escrowgrid.EntryFilter{}, everything())).Items
	equal(f.t, "journal", append(written, entry), got)
	if head, _, err := f.Head(f.t.Context(), of); err != nil || head != (escrowgrid.Head{Sequence: 4, At: entry.At}) {
		f.t.Errorf("the head is %+v, %v; want that of the last entry, 4 at %s", head, err, entry.At)
	}
}
