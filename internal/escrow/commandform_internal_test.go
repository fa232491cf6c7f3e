package escrow

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// drawn draws every type of command that can wait, by the name of its form.
var drawn = map[commandType]func(*rapid.T) Command{
	"position.create":       drawCreation,
	"position.transition":   drawTransition,
	"positions.batch":       drawBatch,
	"hold.lift":             func(t *rapid.T) Command { return sound(NewLiftHold(PositionID{5}, HoldID{6}, drawText(t))) },
	"policy.set":            drawPolicy,
	"asset_template.create": drawTemplate,
	"asset_template.update": func(t *rapid.T) Command {
		return sound(NewUpdateTemplate(TemplateID{1}, optional(t, drawName), drawVersions(t)))
	},
	"asset_template.close": func(t *rapid.T) Command { return CloseTemplate{TemplateID{drawByte(t)}} },
	"asset.create": func(t *rapid.T) Command {
		return sound(NewCreateAsset(AssetInput{TemplateID: TemplateID{1}.String(), Label: drawText(t), Metadata: drawObject(t)}))
	},
	"asset.update": func(t *rapid.T) Command {
		patch := rapid.SampledFrom([]string{"", "null", `{}`, `{ "a": null , "b":{"c":[1]} }`}).Draw(t, "patch")
		change := AssetChange{Label: optional(t, drawText)}
		if patch != "" {
			change.Metadata = MetadataPatch(patch)
		}
		return sound(NewUpdateAsset(AssetID{2}, change, drawVersions(t)))
	},
	"asset.close":    func(t *rapid.T) Command { return CloseAsset{AssetID{drawByte(t)}} },
	"api_key.create": drawKey,
	"api_key.rotate": func(t *rapid.T) Command {
		in := RotationInput{OverlapSeconds: optional(t, func(t *rapid.T) int64 { return rapid.Int64Range(0, 30*24*3600).Draw(t, "overlap") })}
		return sound(NewRotateKey(KeyID{3}, in, drawHash(t)))
	},
	"api_key.update": func(t *rapid.T) Command { return sound(NewUpdateKey(KeyID{3}, optional(t, drawText), drawVersions(t))) },
	"user.restore":   func(t *rapid.T) Command { return RestoreUser{User: UserID{4}, IfVersion: drawVersions(t)} },
	"role.set": func(t *rapid.T) Command {
		given := rapid.SliceOfNDistinct(rapid.SampledFrom(TenantPermissions()), 0, 5, rapid.ID[Permission]).Draw(t, "permissions")
		return sound(NewSetRole("clerk", RoleInput{Permissions: textsOf(given)}, drawVersions(t)))
	},
	"approval_rules.set": drawRules,
	"identity_provider.set": func(t *rapid.T) Command {
		groups := rapid.MapOfN(rapid.StringMatching(`[a-z]{1,8}`), rapid.SampledFrom([]string{"approver", "clerk", "admin"}), 0, 4).Draw(t, "groups")
		in := ProviderInput{
			Issuer: "https://login.example.com", ClientID: drawName(t), Audience: optional(t, drawName),
			Claims: ClaimsInput{Groups: optional(t, drawName), Email: optional(t, drawName)}, RoleByGroup: groups,
		}
		in.ClientSecret = rapid.SampledFrom([]*string{nil, new(""), new("<secret>")}).Draw(t, "secret")
		command := sound(NewSetIdentityProvider(in, drawVersions(t)))
		if provider := command.(SetIdentityProvider); provider.setsSecret() {
			return provider.WithSealed(nil, "") // What is sealed waits beside what is written.
		}
		return command
	},
}

// What is asked for is carried out as it was asked for: written, sealed, stored and read, a command is the
// same, and its written form has the same bytes.
func TestWrittenCommandsAreReadAsTheyWere(t *testing.T) {
	t.Parallel()
	for _, known := range formTypes {
		draw := drawn[known.name]
		if draw == nil {
			t.Errorf("%s is not drawn", known.name)
			continue
		}
		t.Run(string(known.name), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) { checkWritten(t, draw(t)) })
		})
	}
	if len(drawn) != len(formTypes) {
		t.Errorf("%d types of commands are drawn, and there are %d", len(drawn), len(formTypes))
	}
}

// checkWritten writes a command, as the journal has it, and reads it.
func checkWritten(t rapid.TB, command Command) {
	t.Helper()
	written, ok := writtenOf(command)
	if !ok {
		t.Fatalf("%T has no written form", command)
	}
	asked := approvalRequested{ID: ApprovalID{1}, Command: written, ExpiresAt: FormatTime(time.Unix(1, 0))}
	sealed, stored := seal(asked, Secret{1})
	body, err := marshal(sealed)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"<holder>", "§label", "§text"} {
		if bytes.Contains(body, []byte(secret)) {
			t.Fatalf("%s stands in %s", secret, body)
		}
	}

	a := Approval{ID: ApprovalID{1}, Request: body, Private: stored}
	read, err := a.command()
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	whole := cmp.Options{cmp.Exporter(func(reflect.Type) bool { return true }), cmpopts.EquateEmpty()}
	if diff := cmp.Diff(command, read, whole); diff != "" {
		t.Fatalf("%s: asked for (-) and read (+):\n%s", body, diff)
	}
	again, _ := writtenOf(read)
	asked.Command = again
	resealed, restored := seal(asked, Secret{1})
	if rewritten, err := marshal(resealed); err != nil || !bytes.Equal(rewritten, body) || !bytes.Equal(restored, stored) {
		t.Fatalf("read and written again, %s is %s (%v), with %x and %x beside it", body, rewritten, err, stored, restored)
	}
	if stored == nil {
		return
	}
	a.Private = nil
	if command, err := a.command(); err == nil {
		t.Fatalf("without its private values, %s is read as %+v", body, command)
	}
}

// No body of an entry makes a reader fail otherwise than with an error.
func FuzzWrittenCommands(f *testing.F) {
	for _, draw := range drawn {
		example := rapid.Custom(func(t *rapid.T) Command { return draw(t) }).Example(1)
		written, _ := writtenOf(example)
		sealed, _ := seal(approvalRequested{Command: written}, Secret{1})
		text, err := marshal(sealed.(approvalRequested).Command)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	for _, text := range []string{
		`{}`, `null`, `{"type":"positions.batch","items":null}`, `{"type":"positions.batch","items":[null]}`,
		`{"type":"positions.batch","items":[{"type":"positions.batch","items":[]}]}`,
		`{"type":"positions.batch","items":[{"type":"role.set"}]}`, `{"type":"approval_rules.set","rules":null}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		a := Approval{Request: slices.Concat([]byte(`{"command":`), text, []byte(`}`))}
		command, err := a.command()
		if err != nil {
			return
		}
		if _, ok := writtenOf(command); !ok {
			t.Errorf("%s is read as a %T, which cannot wait", text, command)
		}
	})
}

func TestFormsThatSayNothingSoundAreRefused(t *testing.T) {
	t.Parallel()
	id := PositionID{1}.String()
	item := `{"type":"position.transition","positionId":"` + id + `","toState":"FUNDED"}`
	for name, text := range map[string]string{
		"no type":                  `{}`,
		"another type":             `{"type":"position.erase"}`,
		"no object":                `7`,
		"a fault":                  `{"type":"position.transition","positionId":"` + id + `","toState":"GONE"}`,
		"an empty batch":           `{"type":"positions.batch","items":[]}`,
		"a batch too large":        `{"type":"positions.batch","items":[` + strings.Repeat(item+",", MaxBatchItems) + item + `]}`,
		"a batch of batches":       `{"type":"positions.batch","items":[{"type":"positions.batch","items":[` + item + `]}]}`,
		"a batch with a fault":     `{"type":"positions.batch","items":[{"type":"position.transition","positionId":"` + id + `","toState":"GONE"}]}`,
		"a key without a hash":     `{"type":"api_key.create","role":"admin"}`,
		"a rotation without one":   `{"type":"api_key.rotate","id":"` + KeyID{1}.String() + `","overlapSeconds":0}`,
		"a restriction to no one":  `{"type":"api_key.create","restrict":{},"hash":"` + SecretHash{}.String() + `"}`,
		"a member of another kind": `{"type":"position.transition","positionId":7}`,
	} {
		a := Approval{Request: []byte(`{"command":` + text + `}`)}
		if command, err := a.command(); err == nil {
			t.Errorf("%s is read as %+v", name, command)
		}
	}
	a := Approval{Request: []byte(`{`)}
	if asked, err := a.Asked(); err == nil {
		t.Errorf("no JSON asks for %+v", asked)
	}
	if missing, err := a.Missing(); err == nil {
		t.Errorf("no JSON lacks %+v", missing)
	}
}

// What is shown of a new key has its values, and not the hash by which its secret is known.
func TestWhatIsShownOfAKeyHasNoHash(t *testing.T) {
	t.Parallel()
	hash := HashSecret("secret")
	for _, command := range []Command{
		sound(NewCreateKey(KeyInput{Label: "§label", Role: "admin"}, hash)),
		sound(NewRotateKey(KeyID{1}, RotationInput{}, hash)),
	} {
		written, _ := writtenOf(command)
		sealed, stored := seal(approvalRequested{Command: written}, Secret{1})
		a := Approval{Request: must(marshal(sealed)), Private: stored}
		shown := string(must(a.Asked()).Command)
		if strings.Contains(shown, hash.String()) || !strings.Contains(string(a.Request), hash.String()) {
			t.Errorf("%s is shown of %s", shown, a.Request)
		}
		if stored != nil && !strings.Contains(shown, "§label") {
			t.Errorf("%s does not show the label", shown)
		}
		details := string(must(Entry{event: sealed}.Details()))
		if strings.Contains(details, hash.String()) {
			t.Errorf("the audit trail shows %s", details)
		}
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// sound returns a command whose input is known to be valid.
func sound[C Command](command C, faults Faults) Command {
	if len(faults) > 0 {
		panic(faults.Err())
	}
	return command
}

func optional[T any](t *rapid.T, draw func(*rapid.T) T) *T {
	if rapid.Bool().Draw(t, "given") {
		value := draw(t)
		return &value
	}
	return nil
}

func drawText(t *rapid.T) string {
	return "§text" + rapid.SampledFrom([]string{"", ` "q" <&>`, "\u2028é東"}).Draw(t, "text")
}

// drawName draws a text that is not private.
func drawName(t *rapid.T) string { return strings.Replace(drawText(t), "§text", "A name", 1) }

func drawObject(t *rapid.T) Metadata {
	return Metadata(rapid.SampledFrom([]string{"", `{}`, `{ "§text": [1.50, "<\u0038>"] }`}).Draw(t, "object"))
}

func drawVersions(t *rapid.T) []int64 {
	return rapid.SampledFrom([][]int64{nil, {1}, {3, 1}}).Draw(t, "versions")
}

func drawByte(t *rapid.T) byte { return rapid.Byte().Draw(t, "byte") }

func drawHash(t *rapid.T) SecretHash { return HashSecret(rapid.String().Draw(t, "secret")) }

func drawTime(t *rapid.T) string {
	return rapid.SampledFrom([]string{"2027-03-02T01:00:00.123456789+01:00", "9999-12-31T23:59:59Z"}).Draw(t, "time")
}

func drawCreation(t *rapid.T) Command { return drawSingleCreation(t) }

func drawSingleCreation(t *rapid.T) CreatePosition {
	currency := rapid.SampledFrom([]string{"usd", "JPY", "KWD", "CLF"}).Draw(t, "currency")
	return sound(NewCreatePosition(PositionInput{
		AssetID: AssetID{1}.String(), HolderReference: " <holder> ", ExternalReference: optional(t, drawText), Currency: currency,
		Amount:    money.Digits(rapid.SampledFrom([]string{"1", "70", "900000000000"}).Draw(t, "amount")),
		ExpiresAt: optional(t, drawTime), Metadata: drawObject(t),
	})).(CreatePosition)
}

func drawTransition(t *rapid.T) Command { return drawSingleTransition(t) }

func drawSingleTransition(t *rapid.T) TransitionPosition {
	in := TransitionInput{
		ToState: string(rapid.SampledFrom(States()).Draw(t, "state")), Reason: optional(t, drawText), Metadata: drawObject(t),
		Amount: new(money.Digits(rapid.SampledFrom([]string{"1", "7.50", "0.1234"}).Draw(t, "amount"))),
	}
	if State(in.ToState) != StatePartiallyReleased && rapid.Bool().Draw(t, "whole") {
		in.Amount = nil
	}
	return sound(NewTransitionPosition(PositionID{5}, in, drawVersions(t))).(TransitionPosition)
}

func drawBatch(t *rapid.T) Command {
	batch := PositionBatch{atomic: true}
	for range rapid.IntRange(1, 12).Draw(t, "items") {
		var item single = drawSingleTransition(t)
		if rapid.Bool().Draw(t, "creates") {
			item = drawSingleCreation(t)
		}
		batch.items = append(batch.items, batchItem{command: item})
	}
	return batch
}

func drawPolicy(t *rapid.T) Command {
	digits := func(t *rapid.T) money.Digits {
		return money.Digits(rapid.SampledFrom([]string{"0", "1.50", "1000"}).Draw(t, "digits"))
	}
	in := RulesInput{AllowedCurrencies: optional(t, func(*rapid.T) []string { return []string{"usd", "JPY"} })}
	if rapid.Bool().Draw(t, "least") {
		in.MinAmount = optional(t, digits)
	} else {
		in.MaxAmount = optional(t, digits)
	}
	return sound(NewSetPolicy(string(rapid.SampledFrom(Regions()).Draw(t, "region")), PolicyInput{Position: in}))
}

func drawTemplate(t *rapid.T) Command {
	in := rapid.SampledFrom([]TemplateInput{
		{Code: "CONSTR_ESCROW", Config: []byte(`{"currency":"usd","minAmount":1,"maxAmount":"10.5","uniqueExternalReference":true}`)},
		{Code: "CONSTR_RETAINAGE", Config: []byte(`{"currency":"KWD","retainagePercentage":"12.50"}`)},
		{Code: "TF_INVOICE", Config: []byte(`{"currency":"EUR","maxTenorDays":90,"country":"de"}`)},
		{Code: "TF_LC", Config: []byte(`{"currency":"JPY","maxTenorDays":30,"issuingBankCountry":"SG"}`)},
	}).Draw(t, "template")
	in.Name, in.Vertical, in.Region = drawName(t), string(TemplateCode(in.Code).Vertical()), "US"
	return sound(NewCreateTemplate(in))
}

func drawKey(t *rapid.T) Command {
	in := KeyInput{
		Label: "§label", Owner: optional(t, drawText), ExpiresAt: optional(t, drawTime),
		AllowedNetworks: optional(t, func(*rapid.T) []string { return []string{"192.0.2.1", "2001:db8::/32"} }),
		Restrict: optional(t, func(t *rapid.T) RestrictionInput {
			r := RestrictionInput{HolderReferences: optional(t, func(*rapid.T) []string { return []string{"<holder>", "b"} })}
			r.AssetIDs = optional(t, func(*rapid.T) []string { return []string{AssetID{1}.String()} })
			if r.HolderReferences == nil || rapid.Bool().Draw(t, "bounded") {
				r.MaxAmount = map[string]money.Digits{"usd": "10.50", "JPY": "1"}
				r.TemplateIDs = &[]string{TemplateID{1}.String()}
			}
			return r
		}),
	}
	if rapid.Bool().Draw(t, "role") {
		in.Role = "clerk"
	} else {
		in.Permissions = &[]string{"positions.release", "keys.read"}
	}
	return sound(NewCreateKey(in, drawHash(t)))
}

func drawRules(t *rapid.T) Command {
	rules := []ApprovalRuleInput{}
	for range rapid.IntRange(0, 3).Draw(t, "rules") {
		rule := ApprovalRuleInput{
			ID: "r" + string(rune('a'+len(rules))), On: []string{"positions.release", "positions.cancel"},
			Require:   []RequirementInput{{Role: "approver", Count: 2}, {Role: "clerk", Count: 1}},
			ExpiresIn: optional(t, func(*rapid.T) string { return "2160h" }),
		}
		if rapid.Bool().Draw(t, "exempts") {
			rule.Require = []RequirementInput{}
		}
		if rapid.Bool().Draw(t, "narrow") {
			rule.When = RuleConditionsInput{
				TemplateID: new(TemplateID{1}.String()), AssetID: new(AssetID{1}.String()), Region: new("SG"),
				AmountFrom: map[string]money.Digits{"usd": "1.50", "JPY": "0"},
				Window:     optional(t, func(*rapid.T) string { return "168h" }),
			}
		}
		rules = append(rules, rule)
	}
	return sound(NewSetApprovalRules(rules, drawVersions(t)))
}
