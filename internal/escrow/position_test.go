package escrow_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

func TestCreatePositionMakesAClaimWithoutMoney(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset := d.asset(d.template(escrow.ConstructionRetainage, `{"currency":"USD","retainagePercentage":10}`))
	expiresAt := opening().Add(time.Hour)
	outcome := d.accept(valid(escrow.NewCreatePosition(escrow.PositionInput{
		AssetID: asset.String(), HolderReference: "holder-1", Currency: "usd", Amount: "1000.5",
		ExternalReference: new("PO-1"), ExpiresAt: new(escrow.FormatTime(expiresAt)), Metadata: escrow.Metadata(`{"a":1}`),
	})))
	id := subjectID[escrow.PositionID](outcome)
	entry := d.lastEntry()
	want := escrow.Position{
		ID: id, InstitutionID: d.books.InstitutionID(), AssetID: asset, HolderReference: "holder-1", ExternalReference: "PO-1",
		Currency: usd, Amount: 100_050, Retained: 10_005, State: escrow.StateCreated, Version: 1, HistoryBytes: 7, ExpiresAt: &expiresAt,
		Metadata: escrow.Metadata(`{"a":1}`), CreatedAt: entry.At, UpdatedAt: entry.At,
		Events: []escrow.PositionEvent{{
			ID: entry.ID, Sequence: entry.Sequence, Actor: escrow.ActorRoot(), At: entry.At,
			To: escrow.StateCreated, Currency: usd, Amount: 100_050,
		}},
	}
	if diff := cmp.Diff(escrow.Resource(want), outcome.Resource, exactly()); diff != "" {
		t.Errorf("position wanted (-) and answered (+):\n%s", diff)
	}
	want.Events = nil
	if diff := cmp.Diff(want, d.get(id), exactly()); diff != "" {
		t.Errorf("position wanted (-) and made (+):\n%s", diff)
	}
}

func TestNewCreatePositionTellsEveryFault(t *testing.T) {
	t.Parallel()
	const noNumber = "amount must be a plain decimal number, like 1000 or 1000.50, without sign or exponent"
	asset := escrow.AssetID{1}.String()
	for _, test := range []struct {
		name  string
		input escrow.PositionInput
		want  []string
	}{
		{
			"nothing",
			escrow.PositionInput{},
			[]string{
				"assetId is required", "holderReference is required", "currency must be an ISO 4217 currency code, like USD",
				"amount is required",
			},
		},
		{
			"everything wrong",
			escrow.PositionInput{
				AssetID: "pos_00000000000000000000000000", HolderReference: "a\nb", ExternalReference: new(""), Currency: "DOLLAR",
				Amount: "1e5", ExpiresAt: new("2027"), Metadata: escrow.Metadata(`1`),
			},
			[]string{
				`assetId must begin with "ast_"`, "holderReference must not contain control characters",
				"externalReference must not be empty: leave it out instead",
				"expiresAt must be an RFC 3339 time, like 2027-01-31T12:00:00Z", "metadata must be a JSON object",
				"currency must be an ISO 4217 currency code, like USD", noNumber,
			},
		},
		{
			"an amount that its currency cannot have",
			escrow.PositionInput{AssetID: asset, HolderReference: "holder-1", Currency: "JPY", Amount: "1000.00"},
			[]string{"amount has more decimals than the 0 of JPY"},
		},
		{
			"a good amount without a currency",
			escrow.PositionInput{AssetID: asset, HolderReference: "holder-1", Amount: "1000.123456"},
			[]string{"currency must be an ISO 4217 currency code, like USD"},
		},
		{
			"nothing for nobody",
			escrow.PositionInput{AssetID: asset, HolderReference: " ", Currency: "USD", Amount: "0.00"},
			[]string{"holderReference is required", "amount must be greater than 0"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, faults := escrow.NewCreatePosition(test.input)
			checkFaults(t, faults, test.want...)
		})
	}
}

func TestCreatePositionThatHasExpiredIsRefused(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset := d.escrow()
	d.now = d.now.Add(time.Hour)
	for _, expiresAt := range []time.Time{d.now, d.now.Add(-time.Hour)} {
		checkFaults(t, d.refusal(newPosition(asset, "1", "USD", &expiresAt), escrow.CodeInvalidInput).Faults,
			"expiresAt must be in the future")
	}
	d.accept(newPosition(asset, "1", "USD", new(d.now.Add(time.Microsecond))))
}

// One request breaks every rule, in its turn each rule is met, and the next one
// refuses: institution, key, body, asset, template, policy.
func TestCreatePositionRefusesInItsDocumentedOrder(t *testing.T) {
	t.Parallel()
	t.Run("with bounds on the amount", func(t *testing.T) {
		t.Parallel()
		d := openDesk(t)
		asset := d.asset(d.template(escrow.ConstructionEscrow, `{"currency":"USD","minAmount":100,"maxAmount":200}`))
		reader := d.key(escrow.RoleReadOnly, nil)
		d.policy("US", rules("150", "160", "EUR"))
		past, now := opening(), opening().Add(time.Hour)
		d.now = now

		nowhere := newDesk(t, d.books.InstitutionID())
		nowhere.books = escrow.NewBooks(d.books.InstitutionID(), escrow.Head{}, false)
		nowhere.actor = escrow.ActorKey(escrow.KeyID{1})
		nowhere.refuse(newPosition(escrow.AssetID{1}, "1", "EUR", &past), escrow.CodeInstitutionNotFound)

		d.actor = escrow.ActorKey(escrow.KeyID{1})
		d.refuse(newPosition(escrow.AssetID{1}, "1", "EUR", &past), escrow.CodeInvalidKey)
		d.actor = escrow.ActorKey(reader)
		d.refuse(newPosition(escrow.AssetID{1}, "1", "EUR", &past), escrow.CodePermissionMissing)
		d.actor = escrow.ActorRoot()
		d.refuse(newPosition(escrow.AssetID{1}, "1", "EUR", &past), escrow.CodeInvalidInput)
		d.refuse(newPosition(escrow.AssetID{1}, "1", "EUR", nil), escrow.CodeAssetNotFound)
		d.refuse(newPosition(asset, "1", "EUR", nil), escrow.CodeTemplateCurrency)
		d.refuse(newPosition(asset, "1", "USD", nil), escrow.CodeTemplateMinAmount)
		d.refuse(newPosition(asset, "201", "USD", nil), escrow.CodeTemplateMaxAmount)
		d.refuse(newPosition(asset, "100", "USD", nil), escrow.CodePolicyMinAmount)
		d.refuse(newPosition(asset, "200", "USD", nil), escrow.CodePolicyMaxAmount)
		d.refuse(newPosition(asset, "155", "USD", nil), escrow.CodePolicyCurrency)
		d.policy("US", rules("150", "160", "USD"))
		d.accept(newPosition(asset, "155", "USD", nil))
	})
	t.Run("with a tenor", func(t *testing.T) {
		t.Parallel()
		d := openDesk(t)
		asset := d.asset(d.template(escrow.TradeFinanceInvoice, `{"currency":"USD","maxTenorDays":1,"country":"DE"}`))
		d.policy("US", rules("150", "", "EUR"))
		late := opening().Add(48 * time.Hour)
		d.refuse(newPosition(escrow.AssetID{1}, "1", "EUR", &late), escrow.CodeAssetNotFound)
		d.refuse(newPosition(asset, "1", "EUR", &late), escrow.CodeTemplateCurrency)
		d.refuse(newPosition(asset, "1", "USD", &late), escrow.CodeTemplateTenor)
		d.refuse(newPosition(asset, "1", "USD", nil), escrow.CodePolicyMinAmount)
		d.refuse(newPosition(asset, "150", "USD", nil), escrow.CodePolicyCurrency)
	})
}

// The API's description lists the refusals in the order in which they are met, each by a position
// that all of the later ones would refuse, too.
func TestRefusalsOfANewPositionAreListedInTheirOrder(t *testing.T) {
	t.Parallel()
	met := make(map[escrow.Code]bool)
	for name, test := range map[string]struct {
		code   escrow.TemplateCode
		config string
		steps  []creationStep
	}{
		"with bounds on the amount": {escrow.ConstructionEscrow, `"minAmount":100,"maxAmount":200`, []creationStep{
			{"1", "EUR", escrow.CodeTemplateCurrency},
			{"1", "USD", escrow.CodeTemplateMinAmount},
			{"201", "USD", escrow.CodeTemplateMaxAmount},
			{"100", "USD", escrow.CodePolicyMinAmount},
			{"200", "USD", escrow.CodePolicyMaxAmount},
			{"155", "USD", escrow.CodePolicyCurrency},
		}},
		"with a tenor": {escrow.TradeFinanceInvoice, `"maxTenorDays":1,"country":"DE"`, []creationStep{
			{"1", "EUR", escrow.CodeTemplateCurrency}, {"1", "USD", escrow.CodeTemplateTenor},
		}},
	} {
		d := openDesk(t)
		template := d.template(test.code, `{"currency":"USD","uniqueExternalReference":true,`+test.config+`}`)
		asset, closed := d.asset(template), d.asset(template)
		d.accept(escrow.CloseAsset{Asset: closed})
		create := func(asset escrow.AssetID, amount, currency string) escrow.Command {
			in := referenced(asset, "taken")
			in.Amount, in.Currency = money.Digits(amount), currency
			if amount == "1" {
				in.ExpiresAt = new(escrow.FormatTime(opening().Add(48 * time.Hour)))
			}
			return valid(escrow.NewCreatePosition(in))
		}
		d.accept(create(asset, "155", "USD"))
		d.policy("US", rules("150", "160", "EUR"))

		codes := []escrow.Code{escrow.CodeAssetClosed}
		_ = d.refusal(create(closed, "1", "EUR"), escrow.CodeAssetClosed)
		for _, step := range test.steps {
			_ = d.refusal(create(asset, step.amount, step.currency), step.want)
			codes = append(codes, step.want)
		}
		d.policy("US", rules("", ""))
		_ = d.refusal(create(asset, "155", "USD"), escrow.CodeExternalReference)
		codes = append(codes, escrow.CodeExternalReference)

		place := func(code escrow.Code) int { return slices.Index(escrow.CreationRefusals(), code) }
		if !slices.IsSortedFunc(codes, func(a, b escrow.Code) int { return place(a) - place(b) }) {
			t.Errorf("%s: met are %v, listed are %v", name, codes, escrow.CreationRefusals())
		}
		for _, code := range codes {
			met[code] = true
		}
	}
	for _, code := range escrow.CreationRefusals() {
		if !met[code] {
			t.Errorf("%s is listed and was not met", code)
		}
	}
	if len(met) != len(escrow.CreationRefusals()) {
		t.Errorf("met were %v, listed are %v", met, escrow.CreationRefusals())
	}
}

// creationStep is a new position and its refusal.
type creationStep struct {
	amount, currency string
	want             escrow.Code
}
