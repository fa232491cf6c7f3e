package escrow_test

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// goldenJournal holds the exact bodies of a journal in which every kind of entry
// occurs, one a line, each after its leaf hash as RFC 6962 has it, the SHA-256 of
// a zero byte and the body, and after what is stored beside it, in hexadecimal, or
// a hyphen. What the file says is stored and hashed by those who
// run EscrowGrid, so it never changes: an encoding that differs needs a new
// version of the body, with a file of its own.
//
// To compute the hashes without this program:
//
//	while read -r hash _ body; do printf '\0%s' "$body" | sha256sum; done <testdata/journal.golden
//
// To write the file again while no body of this version is stored anywhere:
//
//	go test . -run TestBodiesAreThoseOfTheGoldenJournal -update
const goldenJournal = "testdata/journal.golden"

var update = flag.Bool("update", false, "write the golden journal anew")

// goldenDesk executes the commands of the golden journal.
func goldenDesk(t *testing.T) *desk {
	t.Helper()
	d := openDeskOf(t, escrow.InstitutionInput{Name: `Élan & "Sons" <Treasury> 東京`, Regions: []string{"US", "SG"}})
	tick := func() { d.now = d.now.Add(1001 * time.Millisecond) }
	accept := func(command escrow.Command) string {
		t.Helper()
		tick()
		return d.accept(command).Subject
	}

	admin := d.key(escrow.RoleAdmin, nil)
	tick()
	reader := d.key(escrow.RoleReadOnly, new(opening().Add(720*time.Hour)))
	d.actor = escrow.ActorKey(admin)
	rotated := accept(newRotation(reader, 90*time.Second))
	accept(escrow.RevokeKey{Key: subjectID[escrow.KeyID](escrow.Outcome{Subject: rotated})})
	accept(valid(escrow.NewSetPolicy("US", rules("0.5", "1000000000000000", "usd", "KWD", "JPY"))))
	accept(valid(escrow.NewSetPolicy("SG", rules("", ""))))
	accept(valid(escrow.NewSetPolicy("US", rules("0.25", ""))))

	tick()
	building := d.template(escrow.ConstructionEscrow, `{"currency":"USD","region":"US","minAmount":1,"maxAmount":"1000000.50"}`)
	tick()
	retainage := d.template(escrow.ConstructionRetainage, `{"currency":"KWD","retainagePercentage":"12.50"}`)
	tick()
	d.template(escrow.TradeFinanceInvoice, `{"currency":"EUR","maxTenorDays":90,"country":"de"}`)
	tick()
	letter := d.template(escrow.TradeFinanceLC, `{"currency":"JPY","maxTenorDays":30,"issuingBankCountry":"SG"}`)
	tick()
	tower := accept(valid(escrow.NewCreateAsset(escrow.AssetInput{
		TemplateID: building.String(), Label: "Tower B", Metadata: escrow.Metadata(`{ "site": "<7> & \u0038", "area": 1.50 }`),
	})))

	whole := accept(valid(escrow.NewCreatePosition(escrow.PositionInput{
		AssetID: tower, HolderReference: "holder/1", ExternalReference: new("PO 7\u2028&"), Currency: "usd", Amount: "100.5",
		ExpiresAt: new("2027-03-02T01:00:00.5+01:00"), Metadata: escrow.Metadata("{\"b\":[1,{\"c\":null}],\"a\":\"\u2028\"}"),
	})))
	wholeID := subjectID[escrow.PositionID](escrow.Outcome{Subject: whole})
	tick()
	retained := d.position(d.asset(retainage), "1", "KWD")
	tick()
	drawn := d.position(d.asset(letter), "12345", "JPY")
	accept(transition(retained, escrow.StateFunded, "1"))
	accept(valid(escrow.NewTransitionPosition(retained, escrow.TransitionInput{
		ToState: "PARTIALLY_RELEASED", Amount: new(money.Digits("0.005")), Reason: new(`Milestone "1" <ok>`),
		Metadata: escrow.Metadata(`{"invoice":7}`),
	}, []int64{2})))
	accept(transition(retained, escrow.StateReleased, ""))
	accept(transition(drawn, escrow.StateCancelled, ""))
	accept(transition(wholeID, escrow.StateFunded, ""))
	d.actor = escrow.ActorSystem()
	d.now = opening().Add(24 * time.Hour)
	accept(escrow.ExpirePosition(wholeID))

	d.actor = escrow.ActorRoot()
	accept(valid(escrow.NewUpdateKey(reader, new("reporting"), nil)))
	accept(valid(escrow.NewUpdateTemplate(building, new(`"B" <2>`), nil)))
	accept(escrow.CloseTemplate{Template: building})
	asset := subjectID[escrow.AssetID](escrow.Outcome{Subject: tower})
	accept(valid(escrow.NewUpdateAsset(asset, escrow.AssetChange{
		Label: new("Tower C"), Metadata: escrow.MetadataPatch(`{"site":null,"floors":{"high":12}}`),
	}, []int64{1})))
	accept(escrow.CloseAsset{Asset: asset})
	accept(valid(escrow.NewUpdateInstitution(new("Élan"), []int64{1})))
	d.books.Head.Lost = d.books.Head.Sequence + 12
	accept(escrow.AcceptHistory{Checkpoint: &escrow.KnownCheckpoint{Size: d.books.Head.Sequence + 9, Root: [32]byte{1, 2, 3}}})
	accept(valid(escrow.NewErasePosition(wholeID, new("GDPR, article 17"), nil, 0)))
	accept(escrow.RecordErasure{Erasure: escrow.Erasure{Erased: 1, Open: 2, Retained: 3, OnHold: 7, ApprovalsErased: 4, ApprovalsPending: 5, ApprovalsRetained: 6, RetainedUntil: new(opening()), Complete: true}})
	accept(valid(escrow.NewSetRole("releaser", escrow.RoleInput{Permissions: []string{"positions.release", "positions.read"}}, nil)))
	accept(valid(escrow.NewCreateKey(escrow.KeyInput{
		Label: "clerk", Owner: new("Ana <P>"), Role: "releaser", AllowedNetworks: &[]string{"192.0.2.1", "2001:db8::/32"},
		Restrict: &escrow.RestrictionInput{
			TemplateIDs: &[]string{building.String()}, AssetIDs: &[]string{asset.String()}, HolderReferences: &[]string{"holder/1", "h<2>"},
			MaxAmount: map[string]money.Digits{"USD": "50000.50", "JPY": "1"},
		},
	}, escrow.HashSecret("clerk"))))
	accept(valid(escrow.NewCreateKey(escrow.KeyInput{Label: "list", Permissions: &[]string{"positions.read", "assets.read"}}, escrow.HashSecret("list"))))
	goldenHolds(d, letter)
	goldenPeople(d)
	goldenApprovals(t, d, letter)
	accept(escrow.CloseInstitution{})
	return d
}

// goldenHolds executes those of them that are about holds.
func goldenHolds(d *desk, template escrow.TemplateID) {
	id := d.position(d.asset(template), "500", "JPY")
	d.accept(transition(id, escrow.StateFunded, ""))
	court := d.accept(valid(escrow.NewPlaceHold(id, escrow.HoldInput{
		Kind: "LEGAL", Amount: new(money.Digits("120")), Reason: "An order <1> \u2028", Reference: new("HC/7 &"), ReviewAt: new("2027-09-01T09:00:00+02:00"),
	}, []int64{2}))).Resource.(escrow.Hold).ID
	own := d.held(id, escrow.HoldCompliance, "")
	d.accept(lift(id, court))
	d.accept(lift(id, own))
	d.accept(transition(id, escrow.StateReleased, ""))
}

// goldenPeople executes those of them that are about people.
func goldenPeople(d *desk) {
	d.accept(valid(escrow.NewSetIdentityProvider(escrow.ProviderInput{Issuer: "http://127.0.0.1:8080/realms/a", ClientID: "c"}, []int64{0})))
	in := providerInput(map[string]string{"b <&> \u2028": "releaser", "a": "auditor", "é": "operator"})
	in.Audience, in.Claims.Groups, in.Claims.Email, in.ClientSecret = new("api://<&>"), new("realm_access.roles"), new("mail"), new("s3cret")
	d.accept(valid(escrow.NewSetIdentityProvider(in, nil)).WithSealed([]byte("sealed"), "k1"))
	ada := d.join("1 <&>", "Ada <L>", "ada@example.com")
	d.join("2", "", "")
	d.as(ada, escrow.NewUpdateUser(escrow.PersonInput{Name: "Ada \u2028"}), "a")
	d.wantCode("one of the operator's people", d.asOperator(escrow.OperatorRoleRoot, escrow.SuspendUser{User: ada}), "")
	d.accept(escrow.RestoreUser{User: ada, IfVersion: []int64{3}})
	d.accept(escrow.RemoveIdentityProvider{})
}

// goldenLine is an entry's line in the golden journal.
func goldenLine(entry escrow.Entry) string {
	hash, stored := sha256.Sum256(append([]byte{0}, entry.Body...)), "-"
	if entry.Private != nil {
		stored = hex.EncodeToString(entry.Private)
	}
	return hex.EncodeToString(hash[:]) + " " + stored + " " + string(entry.Body)
}

func readGolden(tb testing.TB) (lines []string) {
	tb.Helper()
	text, err := os.ReadFile(goldenJournal)
	if err != nil {
		tb.Fatal(err)
	}
	for scanner := bufio.NewScanner(bytes.NewReader(text)); scanner.Scan(); {
		lines = append(lines, scanner.Text())
	}
	return lines
}

// goldenEntries reads the entries of the golden journal, in order of sequence.
func goldenEntries(tb testing.TB) (entries []escrow.Entry) {
	tb.Helper()
	for i, line := range readGolden(tb) {
		parts := strings.SplitN(line, " ", 3)
		var stored []byte
		if parts[1] != "-" {
			stored = must(hex.DecodeString(parts[1]))
		}
		entry, err := escrow.ParseEntry([]byte(parts[2]), stored)
		if err != nil {
			tb.Fatalf("line %d: %v", i+1, err)
		}
		entries = append(entries, entry)
	}
	return entries
}

// goldenBodies returns the bodies of the golden journal, in order of sequence.
func goldenBodies(tb testing.TB) (bodies [][]byte) {
	tb.Helper()
	for _, entry := range goldenEntries(tb) {
		bodies = append(bodies, entry.Body)
	}
	return bodies
}

func TestBodiesAreThoseOfTheGoldenJournal(t *testing.T) {
	t.Parallel()
	d := goldenDesk(t)
	var lines []string
	kinds := make(map[escrow.Kind]bool)
	for _, entry := range d.books.Entries {
		lines = append(lines, goldenLine(entry))
		kinds[entry.Kind] = true
	}
	if *update {
		if err := os.WriteFile(goldenJournal, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(readGolden(t), lines); diff != "" {
		t.Errorf("golden journal (-) and executed one (+) differ:\n%s", diff)
	}
	for _, kind := range escrow.Kinds() {
		if !kinds[kind] {
			t.Errorf("the golden journal has no %s", kind)
		}
	}
}

func TestTheGoldenJournalRebuildsTheRows(t *testing.T) {
	t.Parallel()
	d := goldenDesk(t)
	rebuilt := escrow.NewBooks(d.books.InstitutionID(), escrow.Head{}, true)
	for i, entry := range goldenEntries(t) {
		if err := rebuilt.Reapply(entry); err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
	}
	if diff := cmp.Diff(rowsOf(d.books), rowsOf(rebuilt), exactly()); diff != "" {
		t.Errorf("executed rows (-) and rows of the golden journal (+) differ:\n%s", diff)
	}
	if rebuilt.Head != d.books.Head {
		t.Errorf("the head is %v, want %v", rebuilt.Head, d.books.Head)
	}
}

func TestLedgerKindsConcernPositions(t *testing.T) {
	t.Parallel()
	want := []escrow.Kind{"POSITION_CREATED", "POSITION_STATE_CHANGED"}
	if diff := cmp.Diff(want, escrow.LedgerKinds()); diff != "" {
		t.Errorf("kinds wanted (-) and given (+):\n%s", diff)
	}
}

func TestPositionKindsHaveAPositionForTheirSubject(t *testing.T) {
	t.Parallel()
	want := []escrow.Kind{"POSITION_CREATED", "POSITION_STATE_CHANGED", "POSITION_DATA_ERASED", "HOLD_PLACED", "HOLD_LIFTED"}
	if diff := cmp.Diff(want, escrow.PositionKinds()); diff != "" {
		t.Errorf("kinds wanted (-) and given (+):\n%s", diff)
	}
	for _, entry := range goldenEntries(t) {
		if err := new(escrow.PositionID).UnmarshalText([]byte(entry.Subject)); entry.Kind.OfPosition() != (err == nil) {
			t.Errorf("a %s on %s is one on a position: %t", entry.Kind, entry.Subject, entry.Kind.OfPosition())
		}
	}
}

func TestParseEntryRefusesABodyThatIsNone(t *testing.T) {
	t.Parallel()
	body := string(goldenBodies(t)[0])
	for _, test := range []struct{ name, old, changed, want string }{
		{"no JSON", `{"v"`, `{v`, "entry body: jsontext: invalid character"},
		{"a version to come", `"v":2`, `"v":3`, "entry body: version 3 is not known"},
		{"no version", `"v":2,`, ``, "entry body: version 0 is not known"},
		{"another id", `"id":"entry_`, `"id":"key_`, `must begin with "entry_"`},
		{"a broken institution", `"institutionId":"inst_`, `"institutionId":"inst_!`, "must end in 26 characters"},
		{"a broken time", `"at":"2027-03-01T09`, `"at":"2027-03-01T99`, "entry body: at must be an RFC 3339 time"},
		{"an unknown actor", `"actor":"root"`, `"actor":"nobody"`, "must be root, system or the id of an API key"},
		{"a sequence that is none", `"sequence":1`, `"sequence":"1"`, "unmarshal JSON string into Go int64"},
		{"an unknown kind", `"kind":"INSTITUTION_CREATED"`, `"kind":"PARTY"`, `entry body: event: kind "PARTY" is not known`},
		{"another kind's event", `"kind":"INSTITUTION_CREATED"`, `"kind":"ASSET_CREATED"`, "entry body: event: "},
		{"a broken event", `"regions":["US"`, `"regions":[1`, "unmarshal JSON number into Go escrow.Region"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			changed := strings.Replace(body, test.old, test.changed, 1)
			if changed == body {
				t.Fatalf("%s does not occur in %s", test.old, body)
			}
			if _, err := escrow.ParseEntry([]byte(changed), nil); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want %q", err, test.want)
			}
		})
	}
}

// A journal whose entries contradict each other cannot be rebuilt.
func TestReplayRefusesContradictions(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, entry  string // the first entry that contains this
		old, changed string
		want         string
	}{
		{
			"a position that does not exist", `"toState":"FUNDED"`, `"event":{"id":"pos_0`, `"event":{"id":"pos_7`,
			" is not CREATED",
		},
		{"a step from another state", `"toState":"RELEASED"`, `"fromState":"PARTIALLY_RELEASED"`, `"fromState":"FUNDED"`, " is not FUNDED"},
		{"more than is held", `"toState":"RELEASED"`, `"amount":"0.995"`, `"amount":"1.995"`, "an amount is negative"},
		{"less than is held", `"toState":"RELEASED"`, `"amount":"0.995"`, `"amount":"0.994"`, "what was funded is not released"},
		{"less than is refunded", `"toState":"EXPIRED"`, `"amount":"100.50"`, `"amount":"100.49"`, "a final state holds money"},
		{"less than retained", `"toState":"PARTIALLY_RELEASED"`, `"amount":"0.005"`, `"amount":"0.876"`, "holds less than it must"},
		{"nothing funded", `"toState":"FUNDED"`, `,"amount":"1.000"`, ``, "what was funded is not held"},
		{"a part funded", `"toState":"FUNDED"`, `"amount":"1.000"`, `"amount":"0.500"`, "neither nothing nor the whole"},
		{"a step back", `"toState":"FUNDED"`, `"toState":"FUNDED"`, `"toState":"CREATED"`, "no position returns to CREATED"},
		{"a broken amount", `"toState":"FUNDED"`, `"amount":"1.000"`, `"amount":"one"`, `amount "one" is not a plain decimal number`},
		{"a negative amount", `"toState":"FUNDED"`, `"amount":"1.000"`, `"amount":"-1.000"`, `amount "-1.000" is not`},
		{"a position of a broken amount", `"POSITION_CREATED"`, `"amount":"100.50"`, `"amount":"1e2"`, `amount "1e2" is not`},
		{"a position of a broken expiry", `"POSITION_CREATED"`, `"expiresAt":"2027`, `"expiresAt":"x027`, "must be an RFC 3339 time"},
		{"a broken hash", `"API_KEY_CREATED"`, `"hash":"`, `"hash":"x`, "encoding/hex: invalid byte"},
		{"a short hash", `"API_KEY_CREATED"`, `"hash":"`, `"hash":"00","requestId":"`, "hash is too short"},
		{"a key of a broken time", `"API_KEY_CREATED"`, `"createdAt":"2`, `"createdAt":"x`, "must be an RFC 3339 time"},
		{"a rotation of a broken time", `"API_KEY_ROTATED"`, `"replacedExpiresAt":"2`, `"replacedExpiresAt":"x`, "must be an RFC 3339 time"},
		{"a policy of a broken bound", `"POLICY_SET"`, `"minAmount":"0.5"`, `"minAmount":"-1"`, "must be a plain decimal number"},
		{"a policy of a broken time", `"POLICY_SET"`, `"createdAt":"2`, `"createdAt":"x`, "must be an RFC 3339 time"},
		{"an institution of a broken time", `"INSTITUTION_CREATED"`, `"createdAt":"2`, `"createdAt":"x`, "must be an RFC 3339 time"},
		{"a template of a broken time", `"ASSET_TEMPLATE_CREATED"`, `"createdAt":"2`, `"createdAt":"x`, "must be an RFC 3339 time"},
		{"a template of a code that is none", `"ASSET_TEMPLATE_CREATED"`, `"code":"CONSTR_ESCROW"`, `"code":"PARTY"`, `no template code "PARTY"`},
		{"an asset of a broken time", `"ASSET_CREATED"`, `"createdAt":"2`, `"createdAt":"x`, "must be an RFC 3339 time"},
		{"an asset that was closed at a broken time", `"ASSET_CLOSED"`, `"closedAt":"2`, `"closedAt":"x`, "must be an RFC 3339 time"},
		{"less decimals retained", `"retained":`, `"retained":"0.125"`, `"retained":"0.12"`, `retains "0.12" of "1.000" KWD`},
		{"a step in another currency", `"toState":"FUNDED"`, `"currency":"KWD"`, `"currency":"USD"`, `has no amounts like "1.000" USD`},
		{"a step with less decimals", `"toState":"FUNDED"`, `"amount":"1.000"`, `"amount":"1.00"`, `has no amounts like "1.00" KWD`},
		{"an erasure of fewer entries", `"POSITION_DATA_ERASED"`, `"entries":3`, `"entries":2`, "has not come to an end with 2 entries"},
		{"an erasure of a position that is not there", `"POSITION_DATA_ERASED"`, `"event":{"id":"pos_0`, `"event":{"id":"pos_7`, "has not come to an end"},
		{"a holder's erasure of a broken time", `"HOLDER_DATA_ERASED"`, `"retainedUntil":"2`, `"retainedUntil":"x`, "must be an RFC 3339 time"},
		{"a sequence that was there", `"sequence":5,`, `"sequence":5,`, `"sequence":4,`, "cannot follow entry 4"},
		{"a gap", `"sequence":5,`, `"sequence":5,`, `"sequence":6,`, "cannot follow entry 4"},
		{
			"another institution's entry", `"sequence":5,`, `"institutionId":"inst_0`, `"institutionId":"inst_1`,
			"cannot follow entry 4",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			bodies := goldenBodies(t)
			first := must(escrow.ParseEntry(bodies[0], nil))
			books, changed := escrow.NewBooks(first.InstitutionID, escrow.Head{}, true), false
			for i, body := range bodies {
				if !changed && bytes.Contains(body, []byte(test.entry)) {
					body = bytes.Replace(body, []byte(test.old), []byte(test.changed), 1)
					changed = true
					if bytes.Equal(body, bodies[i]) {
						t.Fatalf("%s does not occur in %s", test.old, body)
					}
				}
				entry, err := escrow.ParseEntry(body, nil)
				if err != nil {
					t.Fatalf("line %d: %v", i+1, err)
				}
				if err := books.Reapply(entry); err != nil {
					if !strings.Contains(err.Error(), test.want) {
						t.Errorf("the error is %v, want %q", err, test.want)
					}
					return
				}
			}
			t.Error("the journal was rebuilt to its end")
		})
	}
}

func TestAKeysEntriesTellOfItWithoutOtherKeys(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := subjectID[escrow.KeyID](d.accept(newRotation(d.key(escrow.RoleAdmin, nil), 0)))
	told, err := escrow.ResourceOf([]escrow.Entry{must(escrow.ParseEntry(d.lastEntry().Body, d.lastEntry().Private))})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(escrow.Resource(d.getKey(id)), told, exactly()); diff != "" {
		t.Errorf("keys wanted (-) and rebuilt (+):\n%s", diff)
	}
}

// A key that another took the place of ends by the entry of the other.
func TestAKeyIsWhatItsEntriesAndItsRotationMakeOfIt(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	old := d.key(escrow.RoleAdmin, nil)
	entries := []escrow.Entry{d.lastEntry()}
	d.accept(newRotation(old, time.Hour))
	entries = append(entries, d.lastEntry())
	if replaced, ok := entries[1].ReplacedKey(); !ok || replaced != old {
		t.Errorf("the rotation replaced %s, %t", replaced, ok)
	}
	if replaced, ok := entries[0].ReplacedKey(); ok {
		t.Errorf("the creation replaced %s", replaced)
	}
	told := must(escrow.KeyAfter(old, entries))
	if diff := cmp.Diff(d.getKey(old), told, exactly()); diff != "" {
		t.Errorf("keys wanted (-) and rebuilt (+):\n%s", diff)
	}
	if key, err := escrow.KeyAfter(old, nil); err == nil {
		t.Errorf("no entries make %+v", key)
	}
	if key, err := escrow.KeyAfter(escrow.KeyID{15: 9}, entries); err == nil {
		t.Errorf("entries on others make %+v", key)
	}
}

func TestAPositionIsMadeOnce(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.position(d.escrow(), "1", "USD")
	if made, err := escrow.ResourceOf([]escrow.Entry{d.lastEntry(), d.lastEntry()}); err == nil {
		t.Errorf("made twice, it is %+v", made)
	}
}

// An entry reads in one way alone: its parts agree, and its bytes are those that they are
// written as.
func TestEntriesDoNotContradictThemselves(t *testing.T) {
	t.Parallel()
	for i, body := range goldenBodies(t) {
		if err := must(escrow.ParseEntry(body, nil)).Check(); err != nil {
			t.Errorf("line %d: %v", i+1, err)
		}
	}
	for name, test := range map[string]struct{ old, changed, want string }{
		"white space":               {`{"v":2,`, `{"v": 2,`, "is not written as"},
		"a member twice":            {`"requestId":`, `"requestId":"other","requestId":`, "is not written as"},
		"a member that is none":     {`"event":{`, `"event":{"note":"",`, "is not written as"},
		"another order":             {`"event":{"id":`, `"event":{"amount":"1.00","id":`, "is not written as"},
		"an escaped character":      {`"kind":"POSITION`, `"kind":"\u0050OSITION`, "is not written as"},
		"the subject of another":    {`"subject":"pos_0`, `"subject":"pos_1`, "its event concerns pos_0"},
		"a subject of another kind": {`"subject":"pos_`, `"subject":"ast_`, "its event concerns pos_0"},
	} {
		d := openDesk(t)
		d.position(d.escrow(), "1", "USD")
		body := string(d.lastEntry().Body)
		changed := strings.Replace(body, test.old, test.changed, 1)
		if changed == body {
			t.Fatalf("%s does not occur in %s", test.old, body)
		}
		if err := must(escrow.ParseEntry([]byte(changed), nil)).Check(); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: the error is %v, want %q", name, err, test.want)
		}
	}
}

// Details are what the body says happened, with private values in the place of the commitments
// to them, but for the hash of a key.
func TestDetailsAreTheEventWithItsValuesWithoutAHash(t *testing.T) {
	t.Parallel()
	for _, entry := range goldenEntries(t) {
		body := entry.Body
		var stored struct {
			Kind  escrow.Kind
			Event map[string]any
		}
		if err := json.Unmarshal(body, &stored); err != nil {
			t.Fatal(err)
		}
		var details map[string]any
		if err := json.Unmarshal(must(entry.Details()), &details); err != nil {
			t.Fatal(err)
		}
		if _, ok := stored.Event["hash"]; ok != strings.HasPrefix(string(stored.Kind), "API_KEY_") {
			t.Errorf("a body of the kind %s has a hash: %t", stored.Kind, ok)
		}
		delete(stored.Event, "hash")
		for path, opening := range entry.Openings() {
			var value any = opening.Value
			if strings.HasSuffix(path, "metadata") || strings.HasSuffix(path, "holderReferences") {
				if err := json.Unmarshal([]byte(opening.Value), &value); err != nil {
					t.Fatal(err)
				}
			}
			object, name := objectOf(stored.Event, path)
			object[name] = value
		}
		if diff := cmp.Diff(stored.Event, details); diff != "" {
			t.Errorf("event of the body (-) and details (+) of %s differ:\n%s", entry.Kind, diff)
		}
	}
}

// objectOf returns the object in which a private member stands, by its path in a decoded event, and the
// member's own name.
func objectOf(event map[string]any, path string) (object map[string]any, name string) {
	within, rest, nested := strings.Cut(path, ".")
	if !nested {
		return event, within
	}
	if list, ok := event[within].([]any); ok {
		place, name, _ := strings.Cut(rest, ".")
		return objectOf(list[must(strconv.Atoi(place))].(map[string]any), name)
	}
	return objectOf(event[within].(map[string]any), rest)
}

func TestPositionEventTellsTheStepOfAnEntry(t *testing.T) {
	t.Parallel()
	d := goldenDesk(t)
	got := map[escrow.PositionID][]escrow.PositionEvent{}
	for _, entry := range goldenEntries(t) {
		position, step, ok := entry.PositionEvent()
		if want := slices.Contains(escrow.LedgerKinds(), entry.Kind); ok != want || position.IsZero() == want {
			t.Errorf("%s is a step of a position: %s, %t", entry.Kind, position, ok)
		}
		if ok {
			got[position] = append(got[position], step)
		}
	}
	want := map[escrow.PositionID][]escrow.PositionEvent{}
	for _, position := range d.books.Positions.Created() {
		want[position.ID] = d.history(position.ID)
	}
	if diff := cmp.Diff(want, got, exactly()); diff != "" {
		t.Errorf("steps of the positions (-) and of their entries (+) differ:\n%s", diff)
	}
}

func TestPositionEventOfABrokenAmountIsNone(t *testing.T) {
	t.Parallel()
	for _, body := range goldenBodies(t) {
		broken := bytes.Replace(body, []byte(`"amount":"`), []byte(`"amount":"x`), 1)
		if bytes.Equal(broken, body) {
			continue
		}
		if _, step, ok := must(escrow.ParseEntry(broken, nil)).PositionEvent(); ok {
			t.Errorf("%s is the step %+v", broken, step)
		}
	}
}

func TestActorsAreWrittenAsTheyAreRead(t *testing.T) {
	t.Parallel()
	key := escrow.ActorKey(escrow.KeyID{1})
	for text, actor := range map[string]escrow.Actor{
		"root": escrow.ActorRoot(), "system": escrow.ActorSystem(), key.Key.String(): key,
	} {
		if got := actor.String(); got != text {
			t.Errorf("the actor is written %q, want %q", got, text)
		}
		if got, err := escrow.ParseActor(text); got != actor || err != nil {
			t.Errorf("%q is read as %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "Root", "admin", "key_", escrow.PositionID{1}.String(), "root "} {
		if got, err := escrow.ParseActor(text); err == nil {
			t.Errorf("%q is read as %v", text, got)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	for _, body := range goldenBodies(f) {
		f.Add(body)
	}
	for _, kind := range escrow.Kinds() {
		f.Add(fmt.Appendf(nil, `{"v":2,"at":"2027-03-01T09:00:00Z","kind":%q,"event":null}`, kind))
	}
	f.Add([]byte(`null`))
	f.Fuzz(func(_ *testing.T, body []byte) {
		entry, err := escrow.ParseEntry(body, nil)
		if err != nil {
			return
		}
		// Whatever was read, its readers answer or refuse, but do not panic.
		_, _ = entry.Details()
		_, _, _ = entry.PositionEvent()
		books := escrow.NewBooks(entry.InstitutionID, escrow.Head{}, true)
		_ = books.Reapply(entry)
		entry.Sequence++
		_ = books.Reapply(entry)
	})
}
