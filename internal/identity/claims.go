package identity

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Bounds of claims, in characters where nothing else is said.
const (
	// skew is how far a provider's clock may be from this server's.
	skew = 60 * time.Second
	// maxSubject is OpenID Connect's own bound.
	maxSubject = 255
	// maxGroups is what Microsoft's provider puts into a token at most; whoever is in more needs
	// a filter at the provider, of which they are told.
	maxGroups = 200
	// maxGroup has room for the path of a group in a directory.
	maxGroup = 512
	// maxGroupsBytes bounds the names of all groups together, in bytes. A token has room for half of that; what
	// a provider answers beside it could be more, and each session of the person keeps it.
	maxGroupsBytes = 32 << 10
	// maxText bounds names and e-mail addresses.
	maxText = 320
	// maxSeconds is the end of the year 9999, beyond which times cannot be written.
	maxSeconds = 253402300799
)

// purpose is what a token is verified for.
type purpose int

const (
	// forRequest is a token that comes with a request: an access token, or an ID token where the
	// client is the audience.
	forRequest purpose = iota
	// forLogin is the ID token that ends a login.
	forLogin
)

// members are those of a JSON object, not yet read.
type members map[string]jsontext.Value

// text returns a string; ok is false where the member is there and is none.
func (m members) text(name string) (text string, ok bool) {
	value, found := m[name]
	if !found {
		return "", true
	}
	if value.Kind() != jsontext.KindString || json.Unmarshal(value, &text) != nil {
		return "", false
	}
	return text, true
}

// time returns a time in seconds since 1970; ok is false where there is none, or it is none that
// can be.
func (m members) time(name string) (at time.Time, ok bool) {
	seconds, err := strconv.ParseFloat(string(m[name]), 64) // Of JSON, it reads numbers alone.
	if err != nil || seconds < 0 || seconds > maxSeconds {
		return time.Time{}, false
	}
	return time.Unix(int64(seconds), 0).UTC(), true
}

// at returns the member that a path leads to: that of this very name, or what the rest of the
// path leads to in a member whose name the path begins with up to a dot.
func (m members) at(path string) (jsontext.Value, bool) {
	if value, ok := m[path]; ok {
		return value, true
	}

	for i := range len(path) {
		if path[i] != '.' {
			continue
		}
		value, ok := m[path[:i]]
		if !ok || value.Kind() != jsontext.KindBeginObject {
			continue
		}

		var inner members
		if json.Unmarshal(value, &inner) != nil {
			continue
		}
		if found, ok := inner.at(path[i+1:]); ok {
			return found, true
		}
	}
	return nil, false
}

// readClaims reads the claims of a token whose signature is right, and checks them. That the
// token has expired is found last: such a token was valid otherwise.
func readClaims(payload []byte, h header, p Provider, use purpose, now time.Time) (Claims, error) {
	var m members
	if err := unmarshalMembers(payload, &m); err != nil {
		return Claims{}, err
	}
	if issuer, ok := m.text("iss"); !ok || issuer != p.Issuer {
		return Claims{}, invalid("it is of another issuer")
	}
	// Tokens that say somebody has logged out look like ID tokens. Those that are bound to a
	// client's key are worth nothing to whoever merely shows them.
	for _, name := range []string{"events", "cnf"} {
		if _, ok := m[name]; ok {
			return Claims{}, invalid("it is for another purpose: it has the claim " + name)
		}
	}

	party, err := checkAudience(m, h, p, use)
	if err != nil {
		return Claims{}, err
	}
	claims := Claims{Issuer: p.Issuer, AuthorizedParty: party}
	var ok bool
	if claims.Subject, ok = m.text("sub"); !ok || claims.Subject == "" || !isPlain(claims.Subject, maxSubject) {
		return Claims{}, invalid("it has no subject, or one that is too long")
	}

	if err := readAbout(m, p.Claims, &claims); err != nil {
		return Claims{}, err
	}
	if err := readTimes(m, now, &claims); err != nil {
		return Claims{}, err
	}
	return claims, nil
}

// checkAudience checks whom a token is for, and returns the client that it was issued to.
func checkAudience(m members, h header, p Provider, use purpose) (party string, err error) {
	var audience audienceList
	if value, ok := m["aud"]; !ok || json.Unmarshal(value, &audience) != nil {
		return "", invalid("it has no audience")
	}
	azp, ok := m.text("azp")
	if !ok {
		return "", invalid("its azp is not a text")
	}
	clientID, ok := m.text("client_id")
	if !ok {
		return "", invalid("its client_id is not a text")
	}

	wanted := p.audience()
	isAccessToken := h.Type == accessTokenType
	if use == forLogin {
		wanted = p.ClientID
		if isAccessToken {
			return "", invalid("it is an access token in the place of an ID token")
		}
	}
	if wanted == "" || !slices.Contains(audience, wanted) {
		return "", invalid("it is for another audience")
	}

	// Without the type of an access token, one for the client has to keep the rules of ID tokens.
	// For another audience it is an access token: most providers give theirs no type.
	if !isAccessToken && wanted == p.ClientID {
		if azp == "" && len(audience) > 1 {
			return "", invalid("it is for several audiences, and does not say which client it was issued to")
		}
		if azp != "" && azp != p.ClientID {
			return "", invalid("it was issued to another client")
		}
	}
	if azp == "" {
		return clientID, nil
	}
	return azp, nil
}

// readTimes reads the times of a token and checks them by a clock.
func readTimes(m members, now time.Time, claims *Claims) error {
	var ok bool
	if claims.ExpiresAt, ok = m.time("exp"); !ok {
		return invalid("it does not say when it expires")
	}
	if claims.IssuedAt, ok = m.time("iat"); !ok {
		return invalid("it does not say when it was issued")
	}
	if claims.IssuedAt.After(now.Add(skew)) {
		return invalid("it was issued in the future, by the clock of this server")
	}

	if _, found := m["nbf"]; found {
		if from, ok := m.time("nbf"); !ok || from.After(now.Add(skew)) {
			return invalid("it is not valid yet, by the clock of this server")
		}
	}
	return checkExpiry(claims.ExpiresAt, now)
}

func checkExpiry(expiresAt, now time.Time) error {
	if !now.Before(expiresAt.Add(skew)) {
		return because(ErrExpired, "at "+expiresAt.UTC().Format(time.RFC3339))
	}
	return nil
}

// readAbout reads what a token says about the person.
func readAbout(m members, names ClaimNames, claims *Claims) (err error) {
	names = names.withDefaults()
	claims.Name = m.shown(names.Name)
	claims.Email = m.shown(names.Email)
	// An address that the provider itself does not vouch for may be anybody's.
	if verified, ok := m["email_verified"]; ok && (string(verified) == "false" || string(verified) == `"false"`) {
		claims.Email = ""
	}
	claims.Groups, err = m.groups(names.Groups)
	return err
}

func (n ClaimNames) withDefaults() ClaimNames {
	if n.Groups == "" {
		n.Groups = "groups"
	}
	if n.Name == "" {
		n.Name = "name"
	}
	if n.Email == "" {
		n.Email = "email"
	}
	return n
}

// shown returns a text to show; empty where there is none, or it is none that can be shown.
// Nobody is kept out for their name.
func (m members) shown(path string) (text string) {
	value, ok := m.at(path)
	if !ok || value.Kind() != jsontext.KindString || json.Unmarshal(value, &text) != nil || !isPlain(text, maxText) {
		return ""
	}
	return text
}

// groups returns the groups that a path leads to: an array of strings, or one string.
func (m members) groups(path string) ([]string, error) {
	value, ok := m.at(path)
	if !ok {
		return nil, m.checkGroupsAreHere(path)
	}

	if value.Kind() == jsontext.KindNull {
		return nil, nil
	}
	elements := []jsontext.Value{value}
	if value.Kind() == jsontext.KindBeginArray {
		if err := json.Unmarshal(value, &elements); err != nil {
			return nil, invalid("its groups are not a list of texts")
		}
	}

	groups := make([]string, len(elements))
	for i, element := range elements {
		if element.Kind() != jsontext.KindString || json.Unmarshal(element, &groups[i]) != nil {
			return nil, invalid("its groups are not a list of texts")
		}
	}
	return distinctGroups(groups)
}

// distinctGroups returns every group once. Too many are an error: of a part of them, the one
// that matters may not be in it.
func distinctGroups(groups []string) ([]string, error) {
	seen, bytes := make(map[string]bool, len(groups)), 0
	distinct := make([]string, 0, len(groups))
	for _, group := range groups {
		if group == "" || seen[group] {
			continue
		}
		if utf8.RuneCountInString(group) > maxGroup {
			return nil, invalid("it has a group with a name of more than " + strconv.Itoa(maxGroup) + " characters")
		}
		seen[group] = true
		distinct = append(distinct, group)
		bytes += len(group)
	}

	if len(distinct) > maxGroups {
		return nil, invalid("it has more than " + strconv.Itoa(maxGroups) + " groups")
	}
	if bytes > maxGroupsBytes {
		return nil, invalid("its groups have names of more than " + strconv.Itoa(maxGroupsBytes) + " bytes together")
	}
	return distinct, nil
}

// checkGroupsAreHere refuses a token that has its groups elsewhere: Microsoft's provider does so
// with more of them than fit. Without an error the person would seem to be in none.
func (m members) checkGroupsAreHere(path string) error {
	var elsewhere members
	value, ok := m["_claim_names"]
	isObject := ok && json.Unmarshal(value, &elsewhere) == nil
	if _, found := elsewhere[path]; isObject && found {
		return invalid("it has more groups than fit into it, and refers to them elsewhere")
	}
	return nil
}

// isPlain reports whether a text has at most so many characters, and none that control a terminal.
func isPlain(text string, maxLength int) bool {
	return utf8.RuneCountInString(text) <= maxLength && !strings.ContainsFunc(text, unicode.IsControl)
}

// unmarshalMembers reads a JSON object strictly: no name is there twice, and case matters.
func unmarshalMembers(raw []byte, into *members) error {
	if err := json.Unmarshal(raw, into); err != nil {
		return invalid("its claims are not a JSON object of the right form")
	}
	return nil
}
