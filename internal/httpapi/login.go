package httpapi

import (
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/identity"
	"github.com/escrowgrid/escrowgrid/internal/vault"
)

// callbackPath is where the provider of the operator's people sends browsers back to. That of an institution
// sends them to the institution's id below it: a code that comes back to another path than its login began
// with was not given out by the login's provider, and is not for it to see (RFC 9700, 4.4).
const callbackPath = "/auth/callback"

const (
	// maxReturnTo bounds the path that a login comes back to, in bytes: it travels in a cookie, of
	// which browsers keep 4 KiB.
	maxReturnTo = 512
	// maxFinishedLogins bounds the logins that are remembered as finished, about 100 bytes each.
	maxFinishedLogins = 10_000
)

// pendingLogin is a login that has begun, of one of the operator's people where the institution is zero. It
// travels sealed in a cookie, bound to the browser.
type pendingLogin struct {
	Login       identity.Login       `json:"login"`
	Institution escrow.InstitutionID `json:"institution"`
	ReturnTo    string               `json:"returnTo"`
}

// loginPlace is what the cookie is sealed for.
var loginPlace = vault.Place{Kind: "login", Row: "cookie"}

// takesLogins reports whether logins can be begun.
func (s *server) takesLogins() bool {
	return s.config.PublicURL != "" && s.config.Keyring != nil && s.config.Identity != nil
}

// redirectURI is where the provider of an institution sends browsers back to or, for the zero id, that of the
// operator's people; empty where logins cannot be begun.
func (s *server) redirectURI(of escrow.InstitutionID) string {
	switch {
	case !s.takesLogins():
		return ""
	case of.IsZero():
		return s.config.PublicURL + callbackPath
	}
	return s.config.PublicURL + callbackPath + "/" + of.String()
}

// beginLogin sends the browser to the identity provider of an institution or, where none is named, to that
// of the operator's people. It takes no key, so that each address can begin as many as it may fail.
func (s *server) beginLogin(c *call) (reply, error) {
	query := c.request.URL.Query()
	of := s.loginOf(c, query)
	returnTo := query.Get("returnTo")
	if returnTo == "" {
		returnTo = "/"
	}
	if !isOwnPath(returnTo) {
		c.faults.Add("returnTo", "must be a path of this server, of at most %d bytes", maxReturnTo)
	}
	if err := c.faults.Err(); err != nil {
		return reply{}, err
	}

	redirectURI := s.redirectURI(of)
	if redirectURI == "" {
		return reply{}, escrow.Errorf(codeLoginNotConfigured,
			"The server takes no logins with a browser: the operator has not set PUBLIC_URL, or no encryption key.")
	}
	if err := s.limits.takeFailure(c.client); err != nil {
		return reply{}, err
	}
	if err := s.checkBeginner(c, of); err != nil {
		return reply{}, err
	}
	with, _, err := s.loginProvider(c, of)
	if err != nil {
		return reply{}, err
	}
	login, err := s.config.Identity.Begin(c.context(), with, redirectURI)
	if err != nil {
		return reply{}, identityRefusal(with, err)
	}

	pending, err := json.Marshal(pendingLogin{Login: login, Institution: of, ReturnTo: returnTo})
	if err != nil {
		return reply{}, err
	}
	sealed := s.config.Keyring.Seal(loginPlace, pending)
	c.setCookie(loginCookie, base64.RawURLEncoding.EncodeToString(sealed), login.ExpiresAt)
	return reply{status: http.StatusFound, location: login.AuthURL}, nil
}

// checkBeginner refuses a login that a page of others begins in a browser with a session of another
// institution. The login would end that session, and where the provider is theirs and asks nothing, a
// person would go on in an institution of theirs without having done anything.
func (s *server) checkBeginner(c *call, of escrow.InstitutionID) error {
	if site := c.request.Header.Get("Sec-Fetch-Site"); site != "cross-site" && site != "same-site" {
		return nil
	}
	shown, err := s.presentedSession(c.request)
	if err != nil {
		return nil //nolint:nilerr // There is no session, or none that counts.
	}

	known, err := s.engine.SessionByToken(c.context(), shown.text)
	switch {
	case escrow.ErrorCode(err) == escrow.CodeInvalidSession:
		return nil
	case err != nil || known.Institution() == of:
		return err
	}
	return escrow.Errorf(codeOriginNotAllowed,
		"The browser has a session of another institution, which a link on another site does not end: log out first.")
}

// loginOf reads whose people a login is for: those of the institution that is named, or the operator's, for
// which the id is zero.
func (s *server) loginOf(c *call, query url.Values) (of escrow.InstitutionID) {
	given, isNamed := query["institutionId"]
	switch {
	case isNamed:
		if named := optionalID[escrow.InstitutionID](&c.faults, "institutionId", given[0]); named != nil {
			of = *named
		}
		// An empty one is not the same as none: a page that has lost it must not end up at the operator's.
		if len(given) > 1 || given[0] == "" || of.IsZero() && c.faults.Err() == nil {
			c.faults.Add("institutionId", "must name one institution, or be left out for one of the operator's people")
		}
	case s.config.Operators == nil:
		c.faults.Add("institutionId", "is required: the operator's people come from no identity provider here")
	}
	return of
}

// loginProvider returns the provider that a login is at, without its client's secret where it is that of an
// institution; that one is returned as well.
func (s *server) loginProvider(
	c *call, of escrow.InstitutionID,
) (identity.Provider, escrow.IdentityProvider, error) {
	if !of.IsZero() {
		provider, err := s.engine.IdentityProvider(c.context(), of)
		return providerOf(provider), provider, err
	}
	if s.config.Operators == nil {
		return identity.Provider{}, escrow.IdentityProvider{}, escrow.Errorf(codeLoginFailed,
			"The operator's people do not come from an identity provider any more.")
	}
	return s.config.Operators.Provider, escrow.IdentityProvider{}, nil
}

// isOwnPath reports whether a text is a path of this server that a browser takes for nothing else.
func isOwnPath(text string) bool {
	parsed, err := url.Parse(text)
	return err == nil && len(text) <= maxReturnTo && visibleASCII(text) && !strings.Contains(text, `\`) &&
		strings.HasPrefix(text, "/") && !strings.HasPrefix(text, "//") && parsed.Scheme == "" && parsed.Host == ""
}

// finishLogin takes a browser that comes back from a provider, and begins the session of its user. One
// that the browser had ends: nobody goes on in a session that was there before the login.
func (s *server) finishLogin(c *call) (reply, error) {
	query := c.request.URL.Query()
	back := identity.Callback{
		State:  query.Get("state"),
		Code:   query.Get("code"),
		Issuer: query.Get("iss"),
		Error:  query.Get("error"),
	}
	pending, err := s.takeLogin(c, back.State)
	if err != nil {
		return reply{}, err
	}

	as, err := s.finishedBy(c, pending, back)
	if err != nil {
		return reply{}, err
	}
	c.caller = callerOf(as, credential{way: waySession})
	s.endFormerSession(c)
	if _, err := s.openSession(c, as); err != nil {
		return reply{}, err
	}
	return reply{status: http.StatusSeeOther, location: pending.ReturnTo}, nil
}

// finishedBy finishes a login at its provider, and returns who has logged in.
func (s *server) finishedBy(c *call, pending pendingLogin, back identity.Callback) (*engine.Caller, error) {
	with, provider, err := s.loginProvider(c, pending.Institution)
	if err != nil {
		return nil, err
	}
	isOperators := pending.Institution.IsZero()
	if !isOperators {
		if with.ClientSecret, err = s.engine.ClientSecret(c.context(), provider); err != nil {
			return nil, err
		}
	}

	claims, err := s.config.Identity.Finish(c.context(), with, pending.Login, back)
	switch {
	case errors.Is(err, identity.ErrRefused):
		return nil, refusedLogin(err)
	case errors.Is(err, identity.ErrLogin):
		return nil, escrow.Wrap(codeLoginFailed, err,
			"The login was begun too long ago or elsewhere: begin again.")
	case err != nil:
		return nil, identityRefusal(with, err)
	}

	if isOperators {
		return s.operatorCaller(claims)
	}
	return s.engine.AuthenticateUser(c.context(), provider, c.requestID, userClaims(claims))
}

// oauthError is the form of the codes that OAuth 2.0 and OpenID Connect have for why they refuse something.
var oauthError = regexp.MustCompile(`^[a-z_]{1,50}$`)

// refusedLogin is the refusal of a login that the provider did not finish. It tells the provider's code for
// that, and nothing that is no such code.
func refusedLogin(err error) error {
	detail := "The identity provider did not finish the login"
	if code := identity.Reason(err); oauthError.MatchString(code) {
		detail += ", with the error " + code
		if code == "invalid_client" || code == "unauthorized_client" {
			detail += ": the client's id or secret are not what the provider has"
		}
	}
	return escrow.Wrap(codeLoginFailed, err, detail+".")
}

// takeLogin returns the login that the browser has begun and that a state belongs to, once, and has
// the browser forget it. That it is once holds on this server; on another, the provider takes no code
// twice.
func (s *server) takeLogin(c *call, state string) (pending pendingLogin, err error) {
	failed := escrow.Errorf(codeLoginFailed,
		"The browser has begun no such login, or has finished it before: begin again.")
	cookies := c.request.CookiesNamed(s.cookieName(c.request, loginCookie))
	if !s.takesLogins() || len(cookies) != 1 {
		return pending, failed
	}
	sealed, err := base64.RawURLEncoding.DecodeString(cookies[0].Value)
	if err != nil {
		return pending, failed
	}
	opened, err := s.config.Keyring.Open(loginPlace, sealed)
	if err != nil || json.Unmarshal(opened, &pending) != nil {
		return pending, failed
	}

	// A page of another site that makes up a state must not end the login that is under way, nor a provider
	// that has handed the state on to another.
	if subtle.ConstantTimeCompare([]byte(state), []byte(pending.Login.State)) != 1 ||
		s.redirectURI(pending.Institution) != s.config.PublicURL+c.request.URL.Path {
		return pending, failed
	}
	c.forgetCookie(loginCookie)
	if again, _ := s.finishedLogins.ContainsOrAdd(state, struct{}{}); again {
		return pending, failed
	}
	return pending, nil
}

// endFormerSession ends the session that the browser had before its login, if any. Where that fails it
// ends by itself.
func (s *server) endFormerSession(c *call) {
	former, err := s.presentedSession(c.request)
	if err != nil {
		return
	}
	if known, err := s.engine.SessionByToken(c.context(), former.text); err == nil {
		_ = s.engine.EndSession(c.context(), known.Institution(), known.Session.ID)
		c.forgetPages()
	}
}
