package escrow_test

import (
	"math/big"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// rules are the rules of a policy as a client gives them; an empty bound is none.
func rules(minAmount, maxAmount string, currencies ...string) escrow.PolicyInput {
	var in escrow.RulesInput
	if minAmount != "" {
		in.MinAmount = new(money.Digits(minAmount))
	}
	if maxAmount != "" {
		in.MaxAmount = new(money.Digits(maxAmount))
	}
	if len(currencies) > 0 {
		in.AllowedCurrencies = &currencies
	}
	return escrow.PolicyInput{Position: in}
}

func (d *desk) policy(region string, in escrow.PolicyInput) {
	d.t.Helper()
	d.accept(valid(escrow.NewSetPolicy(region, in)))
}

func TestSetPolicyMakesAndThenReplacesTheRulesOfARegion(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.policy("SG", rules("10.50", "2000", "usd", "SGD"))
	made := d.lastEntry().At
	d.now = d.now.Add(time.Hour)
	if got := d.lastEntry().Subject; got != "policy/SG" || got != escrow.PolicySubject("SG") {
		t.Errorf("the journal names the policy %q", got)
	}
	check := func(want escrow.PositionRules) {
		t.Helper()
		got, _ := d.books.Policies.Get("SG")
		if diff := cmp.Diff(escrow.Policy{
			InstitutionID: d.books.InstitutionID(), Region: "SG", PositionRules: want,
			CreatedAt: made, UpdatedAt: d.lastEntry().At,
		}, got, exactly()); diff != "" {
			t.Errorf("policy wanted (-) and kept (+):\n%s", diff)
		}
	}
	check(escrow.PositionRules{
		MinAmount: new(must(money.ParseDecimal("10.5"))), MaxAmount: new(must(money.ParseDecimal("2000"))),
		AllowedCurrencies: []money.Code{"USD", "SGD"},
	})
	d.policy("SG", rules("", ""))
	check(escrow.PositionRules{})
	if _, ok := d.books.Policies.Get("US"); ok {
		t.Error("the other region has a policy, too")
	}
}

func TestSetPolicyOfARegionThatIsNotTheInstitutionsIsRefused(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	refusal := d.refusal(valid(escrow.NewSetPolicy("UAE", rules("", ""))), escrow.CodeInvalidInput)
	checkFaults(t, refusal.Faults, "region must be a region of the institution")
}

func TestNewSetPolicyTellsEveryFault(t *testing.T) {
	t.Parallel()
	const noNumber = " must be a plain decimal number, like 1000 or 1000.50, without sign or exponent"
	for _, test := range []struct {
		name   string
		region string
		rules  escrow.PolicyInput
		want   []string
	}{
		{"no rule at all", "US", rules("", ""), nil},
		{"equal bounds", "US", rules("5", "5.0000"), nil},
		{"a minimum of 0", "US", rules("0", "0"), nil},
		{
			"everything wrong", "EU", rules("-1", "1e3", "DOLLAR"),
			[]string{
				"region must be one of US, EU_UK, SG, UAE", "position.minAmount" + noNumber, "position.maxAmount" + noNumber,
				"position.allowedCurrencies must be an ISO 4217 currency code, like USD",
			},
		},
		{"a minimum over the maximum", "US", rules("5.0001", "5"), []string{"position.minAmount must not be greater than maxAmount"}},
		{"a wrong maximum beside a good minimum", "US", rules("5", "a lot"), []string{"position.maxAmount" + noNumber}},
		{"a wrong minimum beside a good maximum", "US", rules("a bit", "5"), []string{"position.minAmount" + noNumber}},
		{"too many decimals", "US", rules("0.00001", ""), []string{"position.minAmount must have at most 4 decimals"}},
		{"too large", "US", rules("", "1000000000000001"), []string{"position.maxAmount must be at most 1000000000000000"}},
		{
			"an empty bound", "US",
			escrow.PolicyInput{Position: escrow.RulesInput{MinAmount: new(money.Digits)}},
			[]string{"position.minAmount" + noNumber},
		},
		{
			"an empty list of currencies", "US",
			escrow.PolicyInput{Position: escrow.RulesInput{AllowedCurrencies: &[]string{}}},
			[]string{"position.allowedCurrencies must have at least one element, or be left out"},
		},
		{
			"a currency twice, in different case", "US", rules("", "", "USD", "EUR", "usd"),
			[]string{"position.allowedCurrencies must not name USD twice"},
		},
		{
			"two unknown currencies", "US", rules("", "", "AAA", "BBB"),
			[]string{"position.allowedCurrencies must be an ISO 4217 currency code, like USD"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, faults := escrow.NewSetPolicy(test.region, test.rules)
			checkFaults(t, faults, test.want...)
		})
	}
}

func TestPolicyBoundsIncludeThemselvesInEveryCurrency(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		minAmount, maxAmount string
		amount, currency     string
		want                 escrow.Code
	}{
		{"100", "200", "100", "USD", ""},
		{"100", "200", "99.99", "USD", escrow.CodePolicyMinAmount},
		{"100", "200", "200.00", "USD", ""},
		{"100", "200", "200.01", "USD", escrow.CodePolicyMaxAmount},
		{"100", "200", "100", "JPY", ""},
		{"100", "200", "99", "JPY", escrow.CodePolicyMinAmount},
		{"100", "200", "201", "JPY", escrow.CodePolicyMaxAmount},
		{"100", "200", "99.999", "KWD", escrow.CodePolicyMinAmount},
		{"100", "200", "200.001", "KWD", escrow.CodePolicyMaxAmount},
		{"100", "200", "99.9999", "CLF", escrow.CodePolicyMinAmount},
		{"100", "200", "200.0001", "CLF", escrow.CodePolicyMaxAmount},
		// A bound that is finer than the currency.
		{"0.005", "", "0.01", "USD", ""},
		{"0.015", "", "0.01", "USD", escrow.CodePolicyMinAmount},
		{"", "1.5", "2", "JPY", escrow.CodePolicyMaxAmount},
		{"", "1.5", "1", "JPY", ""},
		{"", "0", "1", "JPY", escrow.CodePolicyMaxAmount},
		// The largest amounts: in ten-thousandths of a yen they pass an int64.
		{"", "1000000000000000", "1000000000000000", "JPY", ""},
		{"1000000000000000", "", "999999999999999", "JPY", escrow.CodePolicyMinAmount},
		{"", "999999999999999.9999", "1000000000000000", "USD", escrow.CodePolicyMaxAmount},
		{"", "922337203685477.5806", "922337203685477.5807", "CLF", escrow.CodePolicyMaxAmount},
	} {
		t.Run(test.amount+" "+test.currency, func(t *testing.T) {
			t.Parallel()
			d := openDesk(t)
			asset := d.asset(d.template(escrow.ConstructionEscrow, `{"currency":"`+test.currency+`"}`))
			d.policy("US", rules(test.minAmount, test.maxAmount))
			command := newPosition(asset, test.amount, test.currency, nil)
			if test.want == "" {
				d.accept(command)
			} else {
				d.refuse(command, test.want)
			}
		})
	}
}

func TestPolicyBoundsCompareAmountsAsNumbers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := must(money.ParseCurrency(rapid.SampledFrom([]string{"USD", "JPY", "KWD", "CLF"}).Draw(t, "currency")))
		amount := money.Amount(rapid.Int64Range(1, 1_000_000_000_000_000).Draw(t, "amount")).Format(c)
		bound := rapid.OneOf(
			rapid.Just(amount),
			rapid.Map(rapid.Int64Range(1, 1_000_000_000_000_000), func(units int64) string {
				return money.Amount(units).Format(money.Currency{Code: "CLF", Decimals: 4})
			}),
		).Draw(t, "bound")
		d := openDesk(t)
		asset := d.asset(d.template(escrow.ConstructionEscrow, `{"currency":"`+c.String()+`"}`))
		d.policy("US", rules(bound, ""))
		outcome := d.execute(d.request(newPosition(asset, amount, c.String(), nil)))
		if got, want := outcome.Refusal == nil, rational(amount).Cmp(rational(bound)) >= 0; got != want {
			t.Errorf("%s %s with a minimum of %s is accepted: %t, want %t", amount, c, bound, got, want)
		}
	})
}

// A position that breaks every rule of the policy is refused for the first; with
// each rule that is met, for the next.
func TestPolicyRulesRefuseInTheirDocumentedOrder(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset := d.escrow()
	command := newPosition(asset, "100", "USD", nil)
	for _, step := range []struct {
		rules escrow.PolicyInput
		want  escrow.Code
	}{
		// No amount is below the minimum and above the maximum at once.
		{rules("101", "101", "EUR"), escrow.CodePolicyMinAmount},
		{rules("99", "99", "EUR"), escrow.CodePolicyMaxAmount},
		{rules("100", "100", "EUR", "SGD"), escrow.CodePolicyCurrency},
	} {
		d.policy("US", step.rules)
		d.refuse(command, step.want)
	}
	d.policy("US", rules("100", "100", "EUR", "USD"))
	d.accept(command)
}

func TestPolicyHoldsForTheTemplatesRegionAlone(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.policy("SG", rules("1000", ""))
	inUS := d.escrow()
	inSG := d.asset(d.templateIn("SG", escrow.ConstructionEscrow, `{"currency":"USD"}`))
	d.accept(newPosition(inUS, "1", "USD", nil))
	d.refuse(newPosition(inSG, "1", "USD", nil), escrow.CodePolicyMinAmount)
}

func TestPolicySetLaterLeavesEarlierPositionsAlone(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	position := d.position(d.escrow(), "100", "USD")
	d.policy("US", rules("1000", "", "EUR"))
	d.accept(transition(position, escrow.StateFunded, ""))
	d.accept(transition(position, escrow.StatePartiallyReleased, "1"))
	d.accept(transition(position, escrow.StateReleased, ""))
}

// rational reads a decimal number with math/big, apart from the domain.
func rational(text string) *big.Rat {
	number, ok := new(big.Rat).SetString(text)
	if !ok {
		panic("not a number: " + text)
	}
	return number
}
