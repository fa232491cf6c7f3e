package identity

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// claimed reads claims, in JSON, beside those that every token has.
func claimed(t *testing.T, names ClaimNames, more string) (Claims, error) {
	t.Helper()
	payload := `{"iss":"https://a.example.com","sub":"s","aud":"c","iat":100,"exp":200` + more + `}`
	p := Provider{Issuer: "https://a.example.com", ClientID: "c", Claims: names}
	return readClaims([]byte(payload), header{}, p, forRequest, time.Unix(150, 0))
}

// list is a JSON array of so many different texts, of a length.
func list(count, length int) string {
	texts := make([]string, count)
	for i := range texts {
		texts[i] = fmt.Sprintf("%0*d", length, i)
	}
	encoded, err := json.Marshal(texts)
	if err != nil {
		panic(err)
	}
	return string(encoded)
}

func TestReadsGroups(t *testing.T) {
	for name, c := range map[string]struct {
		path, claims string
		want         []string
		reason       string
	}{
		"none":                           {"", ``, nil, ""},
		"several":                        {"", `,"groups":["b","a"]`, []string{"b", "a"}, ""},
		"one":                            {"", `,"groups":"a b"`, []string{"a b"}, ""},
		"one twice, and an empty one":    {"", `,"groups":["a","","a"]`, []string{"a"}, ""},
		"null":                           {"", `,"groups":null`, nil, ""},
		"a number":                       {"", `,"groups":1`, nil, "not a list of texts"},
		"an object":                      {"", `,"groups":{"a":{}}`, nil, "not a list of texts"},
		"a null among them":              {"", `,"groups":["a",null]`, nil, "not a list of texts"},
		"a list among them":              {"", `,"groups":[["a"]]`, nil, "not a list of texts"},
		"200":                            {"", `,"groups":` + list(200, 3), nil, ""},
		"201":                            {"", `,"groups":` + list(201, 3), nil, "more than 200 groups"},
		"a name of 512 characters":       {"", `,"groups":` + list(1, 512), nil, ""},
		"a name of 513 characters":       {"", `,"groups":` + list(1, 513), nil, "more than 512 characters"},
		"under another name":             {"roles", `,"groups":["a"],"roles":["r"]`, []string{"r"}, ""},
		"Keycloak's":                     {"realm_access.roles", `,"realm_access":{"roles":["r"]}`, []string{"r"}, ""},
		"a name with dots":               {"https://e.com/roles", `,"https://e.com/roles":["r"]`, []string{"r"}, ""},
		"a name with dots before a path": {"a.b", `,"a":{"b":["path"]},"a.b":["name"]`, []string{"name"}, ""},
		"names with dots on the path":    {"resource_access.app.e.com.roles", `,"resource_access":{"app.e.com":{"roles":["r"]}}`, []string{"r"}, ""},
		"a path into a text":             {"a.b", `,"a":"b"`, nil, ""},
		"a path that ends early":         {"a.b.c", `,"a":{"b":["r"]}`, nil, ""},
		"a path with an empty step":      {"a..b", `,"a":{"":{"b":["r"]}}`, []string{"r"}, ""},
		"elsewhere":                      {"", `,"_claim_names":{"groups":"src1"},"_claim_sources":{"src1":{"endpoint":"https://x"}}`, nil, "refers to them elsewhere"},
		"something else elsewhere":       {"", `,"_claim_names":{"address":"src1"}`, nil, ""},
		"elsewhere, and here":            {"", `,"groups":["a"],"_claim_names":{"groups":"src1"}`, []string{"a"}, ""},
		"elsewhere is of the wrong form": {"", `,"_claim_names":"groups"`, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			claims, err := claimed(t, ClaimNames{Groups: c.path}, c.claims)
			if c.reason != "" {
				wantError(t, err, ErrInvalid, c.reason)
				return
			}
			if err != nil || c.want != nil && !slices.Equal(claims.Groups, c.want) {
				t.Errorf("groups %v, %v, want %v", claims.Groups, err, c.want)
			}
		})
	}
}

func TestReadsWhatIsShownOfAPerson(t *testing.T) {
	for name, c := range map[string]struct{ claims, name, email string }{
		"both":                        {`,"name":"Ann","email":"ann@e.com","email_verified":true`, "Ann", "ann@e.com"},
		"neither":                     {``, "", ""},
		"of the wrong type":           {`,"name":["Ann"],"email":1`, "", ""},
		"a name that moves a cursor":  {`,"name":"Ann\u001b[2J"`, "", ""},
		"a name that is too long":     {`,"name":"` + strings.Repeat("ä", 321) + `"`, "", ""},
		"a long name":                 {`,"name":"` + strings.Repeat("ä", 320) + `"`, strings.Repeat("ä", 320), ""},
		"an address of anybody":       {`,"email":"ceo@e.com","email_verified":false`, "", ""},
		"an address of anybody, else": {`,"email":"ceo@e.com","email_verified":"false"`, "", ""},
		"an address, else":            {`,"email":"ann@e.com","email_verified":"true"`, "", "ann@e.com"},
	} {
		t.Run(name, func(t *testing.T) {
			claims, err := claimed(t, ClaimNames{}, c.claims)
			if err != nil || claims.Name != c.name || claims.Email != c.email {
				t.Errorf("%q, %q, %v", claims.Name, claims.Email, err)
			}
		})
	}
	claims, err := claimed(t, ClaimNames{Name: "preferred_username", Email: "a.b"}, `,"preferred_username":"ann","a":{"b":"x@e.com"}`)
	if err != nil || claims.Name != "ann" || claims.Email != "x@e.com" {
		t.Errorf("%q, %q, %v", claims.Name, claims.Email, err)
	}
}

func FuzzReadClaims(f *testing.F) {
	f.Add(`{"iss":"i","sub":"s","aud":"c","iat":100,"exp":200,"groups":["a"],"name":"n"}`, "groups")
	f.Add(`{"iss":"i","sub":"s","aud":["c","d"],"azp":"c","iat":1e2,"exp":200.5,"a":{"b":{"c":"d"}}}`, "a.b.c")
	f.Add(`{"iss":"i","aud":null,"exp":-1}`, "..")
	f.Add(`[1]`, "")
	f.Fuzz(func(t *testing.T, payload, path string) {
		p := Provider{Issuer: "i", ClientID: "c", Claims: ClaimNames{Groups: path}}
		now := time.Unix(150, 0)
		claims, err := readClaims([]byte(payload), header{}, p, forRequest, now)
		if err != nil {
			return
		}

		if claims.Issuer != "i" || claims.Subject == "" || utf8.RuneCountInString(claims.Subject) > maxSubject {
			t.Errorf("issuer %q, subject %q", claims.Issuer, claims.Subject)
		}
		if !now.Before(claims.ExpiresAt.Add(skew)) || claims.IssuedAt.After(now.Add(skew)) {
			t.Errorf("issued at %s, expires at %s", claims.IssuedAt, claims.ExpiresAt)
		}
		if len(claims.Groups) > maxGroups || slices.Contains(claims.Groups, "") {
			t.Errorf("groups %q", claims.Groups)
		}
	})
}
