package visible

import "testing"

func TestWhatCannotBeSeenIsEscaped(t *testing.T) {
	for text, want := range map[string]string{
		"Müller & Söhne — 7 €": "Müller & Söhne — 7 €",
		"a\x1b[2Kb":            `a\x1b[2Kb`,
		"a\nb\r\tc":            `a\nb\r\tc`,
		"\u202eabc\u2028":      `\u202eabc\u2028`,
		"a\xffb":               `a\xffb`,
		"\x9b31m":              `\x9b31m`,
		"\u009b31m":            `\u009b31m`,
		"":                     "",
	} {
		if got := Line(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	if got := Lines("a\n\x1bb"); got != "a\n\\x1bb" {
		t.Errorf("two lines are shown as %q", got)
	}
}
