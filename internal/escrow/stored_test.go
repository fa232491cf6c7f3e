package escrow_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

func TestDigitsAreTheCharactersOfANumberOrAString(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]money.Digits{
		`1000`:     "1000",
		`1000.50`:  "1000.50",
		`"1000.5"`: "1000.5",
		// Refused later, as no plain decimal numbers; a float would have changed them.
		`-1`:                             "-1",
		`1e5`:                            "1e5",
		`0.1000000000001`:                "0.1000000000001",
		`123456789012345678901234567890`: "123456789012345678901234567890",
		`"\u0031"`:                       "1",
		`""`:                             "",
		`" 5"`:                           " 5",
	} {
		var digits money.Digits
		if err := json.Unmarshal([]byte(value), &digits); digits != want || err != nil {
			t.Errorf("%s is read as %q, %v; want %q", value, digits, err, want)
		}
	}
}

func TestDigitsRefuseOtherJSON(t *testing.T) {
	t.Parallel()
	for _, value := range []string{`true`, `false`, `null`, `[1]`, `{"a":1}`, `{}`} {
		var digits money.Digits
		if err := json.Unmarshal([]byte(value), &digits); err == nil {
			t.Errorf("%s is read as %q", value, digits)
		}
	}
	var digits money.Digits
	if err := digits.UnmarshalJSON([]byte(`"cut off`)); err == nil {
		t.Errorf("a string that is cut off is read as %q", digits)
	}
}

// A digit string reaches the domain as its characters, whatever a float would make
// of it.
func FuzzDigits(f *testing.F) {
	for _, value := range []string{
		`1`, `-1`, `0.1`, `1e5`, `100000000000000000000.000000001`, `"1000.50"`, `""`, `"\u0031"`, `null`, `true`, `[1]`,
		`{"a":1}`, `" 5"`, ` 7 `, `"\ud800"`, `-`, `"`, ``,
	} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		var digits money.Digits
		if err := json.Unmarshal([]byte(value), &digits); err != nil {
			return
		}
		want := strings.Trim(value, " \t\r\n")
		if strings.HasPrefix(want, `"`) {
			if err := json.Unmarshal([]byte(value), &want); err != nil {
				t.Fatalf("%q is no JSON, but was read as %q", value, digits)
			}
		}
		if string(digits) != want {
			t.Errorf("%q is read as %q, want %q", value, digits, want)
		}
	})
}
