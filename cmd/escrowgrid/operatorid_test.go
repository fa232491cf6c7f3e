package main

import (
	"strings"
	"testing"
)

// An auditor goes from the ids of a journal to people by it, so it is what the server makes of a token.
func TestOperatorIDTellsUnderWhichIDsPeopleAct(t *testing.T) {
	t.Parallel()
	const want = "opr_7pxdw4g20qgn8a2n2k461tz9vh\tada\n"
	issuer := "OPERATOR_OIDC_ISSUER=https://login.example.com"
	for _, test := range []struct {
		env  []string
		args []string
		want string
		code int
	}{
		{nil, []string{"--issuer", "https://login.example.com", "ada"}, want, exitOK},
		{[]string{issuer}, []string{"ada"}, want, exitOK},
		{[]string{issuer}, []string{"ada", "x y"}, want + "opr_", exitOK},
		{[]string{issuer}, nil, "", exitUsage},
		{nil, []string{"ada"}, "", exitUsage},
	} {
		code, stdout, stderr := call(t, test.env, append([]string{"operator-id"}, test.args...)...)
		if code != test.code || !strings.HasPrefix(stdout, test.want) || strings.Count(stdout, "\n") != strings.Count(stdout, "opr_") {
			t.Errorf("%v ends with %d: %s%s", test.args, code, stdout, stderr)
		}
	}
}
