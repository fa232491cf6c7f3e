package money_test

import (
	"encoding/json"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

func TestCurrenciesHaveTheDecimalsOfISO4217(t *testing.T) {
	t.Parallel()
	for decimals, codes := range []string{
		0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
		2: "USD EUR GBP CHF AED SGD INR CNY BRL MXN ZAR AUD CAD HUF IDR MGA MRU COP PKR IRR BOV CHE CHW COU MXV USN",
		3: "BHD IQD JOD KWD LYD OMR TND",
		4: "CLF UYW",
	} {
		for code := range strings.FieldsSeq(codes) {
			c, err := money.ParseCurrency(code)
			if err != nil {
				t.Errorf("ParseCurrency(%s): %v", code, err)
			}
			if got := c.Decimals; got != decimals {
				t.Errorf("%s has %d decimals, want %d", code, got, decimals)
			}
		}
	}
}

func TestParseCurrencyReadsAnyCase(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"usd", "Usd", "USD", " usd\t"} {
		if c, err := money.ParseCurrency(text); c != of("USD") || err != nil {
			t.Errorf("ParseCurrency(%q) = %v, %v; want USD", text, c, err)
		}
	}
}

func TestParseCurrencyRefuses(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"nothing":                        "",
		"too short":                      "US",
		"too long":                       "USDD",
		"digits, the numeric code":       "840",
		"a symbol":                       "$",
		"an unassigned code":             "ABC",
		"a withdrawn code":               "DEM",
		"gold, which has no minor unit":  "XAU",
		"the SDR, which has none either": "XDR",
		"the code for tests":             "XTS",
		"the code for no currency":       "XXX",
		"a space within":                 "U D",
		"a letter that becomes ASCII":    "u\u017fd",
		"another that does":              "\u0131nr",
		"three runes that are no ASCII":  "ÜŚĎ",
	} {
		if c, err := money.ParseCurrency(text); c != (money.Currency{}) || err == nil {
			t.Errorf("%s: ParseCurrency(%q) = %q, %v; want an error", name, text, c, err)
		}
	}
}

func TestParseAmountReadsMinorUnitsDigitByDigit(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		text     string
		currency string
		want     money.Amount
		format   string
	}{
		{"1000", "USD", 100_000, "1000.00"},
		{"1000.5", "USD", 100_050, "1000.50"},
		{"1000.50", "USD", 100_050, "1000.50"},
		{"0.01", "USD", 1, "0.01"},
		{"0.1", "USD", 10, "0.10"},
		{"1000", "JPY", 1000, "1000"},
		{"1", "JPY", 1, "1"},
		{"1.234", "KWD", 1234, "1.234"},
		{"0.001", "KWD", 1, "0.001"},
		{"7", "IQD", 7000, "7.000"},
		{"12.3456", "CLF", 123_456, "12.3456"},
		// The largest amounts: a float64 could not tell the last two apart.
		{"1000000000000000", "USD", 100_000_000_000_000_000, "1000000000000000.00"},
		{"999999999999999.99", "USD", 99_999_999_999_999_999, "999999999999999.99"},
		{"999999999999999.98", "USD", 99_999_999_999_999_998, "999999999999999.98"},
		{"1000000000000000", "JPY", 1_000_000_000_000_000, "1000000000000000"},
		{"1000000000000000", "KWD", 1_000_000_000_000_000_000, "1000000000000000.000"},
		// With four decimals int64 ends first.
		{"922337203685477.5807", "CLF", 9_223_372_036_854_775_807, "922337203685477.5807"},
	} {
		got, err := money.ParseAmount(test.text, of(test.currency))
		if got != test.want || err != nil {
			t.Errorf("ParseAmount(%q, %s) = %d, %v; want %d", test.text, test.currency, got, err, test.want)
		}
		if got := test.want.Format(of(test.currency)); got != test.format {
			t.Errorf("%d of %s is written %q, want %q", test.want, test.currency, got, test.format)
		}
	}
}

// notDecimals are the notations that general number parsers take, or that people
// write, and that are no plain decimal numbers.
func notDecimals() []string {
	return []string{
		"", " ", ".", "-", "e", "1e5", "1E5", "1e-2", "NaN", "Inf", "infinity", "-0", "-1", "+1", "+0", "01", "00", "007",
		"00.5", ".5", "5.", " 5", "5 ", "5\n", "1 000", "1_000", "1,000", "1,5", "1.000.000", "0x10", "0b1", "0o7", "0x1p4",
		"1/2", "٣", "１２", "½", "$5", "5 USD", "1\x00", "\xff", "null", "true", `"5"`, "1..5", "5.-1", "5.+1", "5.1e1",
	}
}

func TestParseAmountRefusesEveryOtherNotation(t *testing.T) {
	t.Parallel()
	for _, text := range notDecimals() {
		checkAmountRefused(t, text, of("USD"), "must be a plain decimal number, like 1000 or 1000.50, without sign or exponent")
	}
}

func TestParseAmountRefusesWhatIsNoAmountOfTheCurrency(t *testing.T) {
	t.Parallel()
	const (
		isZero     = "must be greater than 0"
		isTooLarge = "must be at most 1000000000000000"
	)
	for _, test := range []struct {
		text     string
		currency string
		want     string
	}{
		{"0", "USD", isZero},
		{"0.0", "USD", isZero},
		{"0.00", "USD", isZero},
		{"0", "JPY", isZero},
		{"1000.000", "USD", "has more decimals than the 2 of USD"},
		{"0.001", "USD", "has more decimals than the 2 of USD"},
		{"1000.0", "JPY", "has more decimals than the 0 of JPY"},
		{"1.2345", "KWD", "has more decimals than the 3 of KWD"},
		{"1.23456", "CLF", "has more decimals than the 4 of CLF"},
		{"1000000000000000.01", "USD", isTooLarge},
		{"1000000000000001", "JPY", isTooLarge},
		{"922337203685477.5808", "CLF", isTooLarge},
		{"1000000000000000", "CLF", isTooLarge},
		{"18446744073709551616", "JPY", isTooLarge},
		{"100000000000000000000000000000", "USD", isTooLarge},
		{strings.Repeat("9", 40), "USD", isTooLarge},
		{strings.Repeat("9", 41), "USD", "must have at most 40 digits"},
		{"1." + strings.Repeat("0", 41), "USD", "must have at most 40 digits"},
	} {
		checkAmountRefused(t, test.text, of(test.currency), test.want)
	}
}

func checkAmountRefused(t *testing.T, text string, c money.Currency, want string) {
	t.Helper()
	amount, err := money.ParseAmount(text, c)
	if err == nil || err.Error() != want || amount != 0 {
		t.Errorf("ParseAmount(%q, %s) = %d, %v; want 0 and the error %q", text, c, amount, err, want)
	}
}

func TestFormatAndParseAmountAreInverse(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := of(rapid.SampledFrom([]string{"USD", "JPY", "KWD", "CLF"}).Draw(t, "currency"))
		limit := map[money.Code]int64{
			"USD": 100_000_000_000_000_000, "JPY": 1_000_000_000_000_000, "KWD": 1_000_000_000_000_000_000, "CLF": 1<<63 - 1,
		}[c.Code]
		amount := money.Amount(rapid.Int64Range(1, limit).Draw(t, "amount"))
		if got, err := money.ParseAmount(amount.Format(c), c); got != amount || err != nil {
			t.Errorf("%s %s is read as %d, %v; want %d", amount.Format(c), c, got, err, amount)
		}
	})
}

func TestParseDecimalKeepsFourDecimals(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0": "0", "0.0": "0", "0.0000": "0", "100": "100", "12.5": "12.5", "12.50": "12.5", "0.0001": "0.0001",
		"10.01": "10.01", "33.3333": "33.3333", "1000000000000000": "1000000000000000",
		"999999999999999.9999": "999999999999999.9999",
	} {
		got, err := money.ParseDecimal(text)
		if got.String() != want || err != nil {
			t.Errorf("ParseDecimal(%q) = %s, %v; want %s", text, got, err, want)
		}
		if got.IsZero() != (want == "0") {
			t.Errorf("%q is zero: %t", text, got.IsZero())
		}
	}
}

func TestParseDecimalRefuses(t *testing.T) {
	t.Parallel()
	refused := map[string]string{
		"0.00001":               "must have at most 4 decimals",
		"1.00000":               "must have at most 4 decimals",
		"1000000000000000.0001": "must be at most 1000000000000000",
		"1000000000000001":      "must be at most 1000000000000000",
		"18446744073709551615":  "must be at most 1000000000000000",
		strings.Repeat("9", 41): "must have at most 40 digits",
	}
	for _, text := range notDecimals() {
		refused[text] = "must be a plain decimal number, like 1000 or 1000.50, without sign or exponent"
	}
	for text, want := range refused {
		if got, err := money.ParseDecimal(text); err == nil || err.Error() != want || !got.IsZero() {
			t.Errorf("ParseDecimal(%q) = %s, %v; want 0 and the error %q", text, got, err, want)
		}
	}
}

func TestDecimalsCompareAsNumbers(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawDecimal(t, "a"), drawDecimal(t, "b")
		want := rational(a).Cmp(rational(b))
		if got := must(money.ParseDecimal(a)).Compare(must(money.ParseDecimal(b))); got != want {
			t.Errorf("%s compared with %s is %d, want %d", a, b, got, want)
		}
	})
}

// drawDecimal draws a number from 0 to 10^15 with up to four decimals, small ones
// and the very largest too.
func drawDecimal(t *rapid.T, label string) string {
	return rapid.OneOf(
		rapid.StringMatching(`(0|[1-9][0-9]{0,14})(\.[0-9]{1,4})?`),
		rapid.StringMatching(`[0-2](\.[0-9]{1,4})?`),
		rapid.Just("1000000000000000"),
	).Draw(t, label)
}

// rational reads a decimal number with math/big, apart from the domain.
func rational(text string) *big.Rat {
	number, ok := new(big.Rat).SetString(text)
	if !ok {
		panic("not a number: " + text)
	}
	return number
}

func FuzzParseAmount(f *testing.F) {
	for _, text := range append(notDecimals(), "1000", "1000.50", "0.01", "1000000000000000", "922337203685477.5807") {
		f.Add(text, uint8(len(text)))
	}
	currencies := []money.Currency{of("USD"), of("JPY"), of("KWD"), of("CLF")}
	f.Fuzz(func(t *testing.T, text string, choice uint8) {
		c := currencies[int(choice)%len(currencies)]
		amount, err := money.ParseAmount(text, c)
		if err != nil {
			if amount != 0 {
				t.Errorf("ParseAmount(%q, %s) refuses, but returns %d", text, c, amount)
			}
			return
		}
		exact, ok := new(big.Rat).SetString(text)
		if !ok || exact.Cmp(rational(amount.Format(c))) != 0 {
			t.Errorf("ParseAmount(%q, %s) = %s", text, c, amount.Format(c))
		}
		if amount <= 0 || exact.Cmp(big.NewRat(money.MaxUnits, 1)) > 0 {
			t.Errorf("ParseAmount accepted %q of %s, which is out of bounds", text, c)
		}
		if again, err := money.ParseAmount(amount.Format(c), c); again != amount || err != nil {
			t.Errorf("%q is read as %d, %v; want %d", amount.Format(c), again, err, amount)
		}
	})
}

func FuzzParseDecimal(f *testing.F) {
	for _, text := range append(notDecimals(), "0", "0.0001", "12.5", "12.50000", "1000000000000000", "1000000000000000.1") {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		decimal, err := money.ParseDecimal(text)
		if err != nil {
			return
		}
		exact, ok := new(big.Rat).SetString(text)
		if !ok || exact.Cmp(rational(decimal.String())) != 0 {
			t.Errorf("ParseDecimal(%q) = %s", text, decimal)
		}
		if exact.Sign() < 0 || exact.Cmp(big.NewRat(money.MaxUnits, 1)) > 0 {
			t.Errorf("ParseDecimal accepted %q, which is out of bounds", text)
		}
		if again, err := money.ParseDecimal(decimal.String()); again != decimal || err != nil {
			t.Errorf("%q is read as %s, %v", decimal.String(), again, err)
		}
	})
}

func TestASumIsWrittenInUnits(t *testing.T) {
	beyond, _ := new(big.Int).SetString("-123456789012345678901234567890", 10)
	for _, test := range []struct {
		sum      *big.Int
		decimals int
		want     string
	}{
		{big.NewInt(0), 2, "0.00"},
		{big.NewInt(5), 2, "0.05"},
		{big.NewInt(-5), 2, "-0.05"},
		{big.NewInt(-123456), 2, "-1234.56"},
		{big.NewInt(0), 0, "0"},
		{big.NewInt(-7), 0, "-7"},
		{big.NewInt(1), 3, "0.001"},
		{beyond, 2, "-1234567890123456789012345678.90"},
	} {
		if got := money.FormatSum(test.sum, test.decimals); got != test.want {
			t.Errorf("%s with %d decimals is written %q, want %q", test.sum, test.decimals, got, test.want)
		}
		if sum, decimals, err := money.ParseSum(test.want); err != nil || sum.Cmp(test.sum) != 0 || decimals != test.decimals {
			t.Errorf("%q is read as %s with %d decimals, %v", test.want, sum, decimals, err)
		}
	}
}

// What is stored keeps its decimals, whatever becomes of its currency.
func TestMoneyOfACurrencyThatWasWithdrawn(t *testing.T) {
	t.Parallel()
	if c, err := money.ParseCurrency("HRK"); err == nil {
		t.Errorf("a withdrawn currency is %+v", c)
	}
	if code, err := money.ParseCode(" hrk"); code != "HRK" || err != nil {
		t.Errorf("the code of a withdrawn currency is %q, %v", code, err)
	}
	for _, text := range []string{"", "HR", "HRKN", "HR1", "H K", "hr\u212a"} {
		if code, err := money.ParseCode(text); err == nil {
			t.Errorf("%q is the code %q", text, code)
		}
	}

	amount, decimals, err := money.ParseFormatted("1000.00")
	stored := money.Currency{Code: "HRK", Decimals: decimals}
	if err != nil || amount.Format(stored) != "1000.00" {
		t.Errorf("1000.00 is read as %d of %d decimals, %v", amount, decimals, err)
	}
	if part, err := money.ParseAmount("100", stored); err != nil || part != amount/10 {
		t.Errorf("100 of %s are %d, %v", stored, part, err)
	}
}

// Of one currency are compared what was written with different decimals, too.
func TestMoneyComparesInUnits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) money.Money {
			return money.Money{
				Amount:   money.Amount(rapid.Int64Min(1).Draw(t, name)),
				Currency: money.Currency{Code: "ISK", Decimals: rapid.IntRange(0, 4).Draw(t, name+" decimals")},
			}
		}
		a, b := draw("a"), draw("b")
		if got, want := a.Compare(b), rational(a.Format()).Cmp(rational(b.Format())); got != want {
			t.Errorf("%s compared with %s is %d, want %d", a.Format(), b.Format(), got, want)
		}
	})
}

// A bound holds for amounts of any currency, also for those that pass it in units times 10^4.
func TestAmountsCompareWithNumbersInUnits(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		amount := money.Amount(rapid.OneOf(rapid.Int64Min(0), rapid.Int64Min(1<<62)).Draw(t, "amount"))
		currency := money.Currency{Code: "ISK", Decimals: rapid.IntRange(0, 4).Draw(t, "decimals")}
		bound := strconv.FormatInt(rapid.Int64Range(0, money.MaxUnits).Draw(t, "bound"), 10)
		if near, err := money.ParseDecimal(amount.Format(currency)); err == nil && rapid.Bool().Draw(t, "near") {
			bound = near.String()
		}
		number := must(money.ParseDecimal(bound))
		if got, want := amount.Compare(currency, number), rational(amount.Format(currency)).Cmp(rational(bound)); got != want {
			t.Errorf("%s compared with %s is %d, want %d", amount.Format(currency), bound, got, want)
		}
	})
}

// of returns a currency in use.
func of(code string) money.Currency { return must(money.ParseCurrency(code)) }

// must returns a value that a test knows to be valid.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func TestDecimalsAreWrittenAndReadInOneForm(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		units, tenThousandths := rapid.Uint64Range(0, money.MaxUnits-1).Draw(t, "units"), rapid.IntRange(0, 9999).Draw(t, "ten-thousandths")
		number, err := money.ParseDecimal(strconv.FormatUint(units, 10) + "." + strconv.Itoa(10_000 + tenThousandths)[1:])
		if err != nil {
			t.Fatal(err)
		}
		text, err := number.MarshalText()
		var again money.Decimal
		if err != nil || again.UnmarshalText(text) != nil || again != number || string(text) != number.String() {
			t.Errorf("%s is written as %s (%v) and read as %s", number, text, err, again)
		}
	})
	for _, text := range []string{"0", "1", "100", "0.5", "50000.5", "1000000000000000"} {
		var number money.Decimal
		if err := number.UnmarshalText([]byte(text)); err != nil || number.String() != text {
			t.Errorf("%s is read as %s: %v", text, number, err)
		}
	}
	for text, want := range map[string]string{
		"1.0": "must be written as 1", "01": "", "0.50": "must be written as 0.5", "1.": "", ".5": "", "": "", "-1": "", "1e3": "", " 1": "", "1.00001": "",
		"1000000000000001": "",
	} {
		var number money.Decimal
		if err := number.UnmarshalText([]byte(text)); err == nil || want != "" && err.Error() != want {
			t.Errorf("%q is read as %s: %v", text, number, err)
		}
	}
}

func TestDigitsAreTheCharactersOfANumberOrAString(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]money.Digits{
		`1000.50`: "1000.50", `"1000.50"`: "1000.50", `0`: "0", `-1`: "-1", `1e5`: "1e5", `"x"`: "x", `""`: "", `"\u0031"`: "1",
		`9007199254740993`: "9007199254740993",
	} {
		var digits money.Digits
		if err := json.Unmarshal([]byte(text), &digits); err != nil || digits != want {
			t.Errorf("%s is read as %q, %v", text, digits, err)
		}
	}
	for _, text := range []string{`null`, `true`, `[]`, `{}`} {
		var digits money.Digits
		if err := digits.UnmarshalJSON([]byte(text)); err == nil || err.Error() != "must be a number, or a string that holds one" {
			t.Errorf("%s is read as %q, %v", text, digits, err)
		}
	}
	if digits := money.Digits(""); digits.UnmarshalJSON([]byte(`"\x"`)) == nil {
		t.Error("a string that is none is read")
	}
}

// Their form alone is looked at: how large they are, and with how many decimals, is for the currency.
func TestDigitsAreCheckedForTheirForm(t *testing.T) {
	t.Parallel()
	const plain = "must be a plain decimal number, like 1000 or 1000.50, without sign or exponent"
	for digits, want := range map[money.Digits]string{
		"0": "", "1000.50": "", "0.000001": "", money.Digits(strings.Repeat("9", 40)): "",
		money.Digits(strings.Repeat("9", 41)):        "must have at most 40 digits",
		money.Digits("0." + strings.Repeat("9", 41)): "must have at most 40 digits",
		"": plain, "-1": plain, "1e5": plain, "01": plain, "1.": plain, ".5": plain, "1,5": plain, " 1": plain,
	} {
		if err := digits.Check(); (err == nil) != (want == "") || err != nil && err.Error() != want {
			t.Errorf("%q: the error is %v, want %q", digits, err, want)
		}
	}
}

func TestWhatIsNotWrittenSoIsNeitherAnAmountNorASum(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", ".", "1.", ".5", "01", "1.00000", "1e2", "+1", " 1", "1.0.0", "x", "-0.00"} {
		if amount, decimals, err := money.ParseFormatted(text); err == nil {
			t.Errorf("%q is read as %d with %d decimals", text, amount, decimals)
		}
		if sum, decimals, err := money.ParseSum(text); err == nil {
			t.Errorf("%q is read as the sum %s with %d decimals", text, sum, decimals)
		}
	}
	if amount, _, err := money.ParseFormatted("-1.00"); err == nil {
		t.Errorf("a negative amount is read as %d", amount)
	}
}

// What must stay held is never less than the share: compared with the arithmetic of fractions.
func TestASharePassesThePercentageByLessThanAMinorUnit(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.Int64Range(0, money.MaxUnits*1000).Draw(t, "amount")
		tenThousandths := rapid.Int64Range(0, 1_000_000).Draw(t, "percentage")
		percentage, err := money.ParseDecimal(big.NewRat(tenThousandths, 10_000).FloatString(4))
		if err != nil {
			t.Fatal(err)
		}
		exact := new(big.Rat).Mul(big.NewRat(amount, 1), big.NewRat(tenThousandths, 1_000_000))
		more := new(big.Rat).Sub(big.NewRat(int64(money.Amount(amount).Share(percentage)), 1), exact)
		if more.Sign() < 0 || more.Cmp(big.NewRat(1, 1)) >= 0 {
			t.Errorf("%s %% of %d are passed by %s", percentage, amount, more)
		}
	})
	if share := money.Amount(7).Share(money.WholeDecimal(100)); share != 7 {
		t.Errorf("all of 7 are %d", share)
	}
}

func TestNoMoneyIsWithoutACurrency(t *testing.T) {
	t.Parallel()
	if !(money.Money{}).IsZero() || (money.Money{Currency: money.Currency{Code: "USD", Decimals: 2}}).IsZero() || (money.Money{Amount: 1}).IsZero() {
		t.Error("no money is taken for some, or some for none")
	}
}
