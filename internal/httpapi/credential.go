package httpapi

import (
	"net/http"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/identity"
)

// way is how a caller is known.
type way string

const (
	wayKey     way = "key"
	wayToken   way = "token"
	waySession way = "session"
)

// credential is what a request shows of who sends it: a key, a token or that of a session. It goes
// into no log.
type credential struct {
	way  way
	text string
}

// presented reads what a request shows. A cookie counts where nothing else is shown: browsers send it
// by themselves, and whoever sends a key means that.
func (s *server) presented(r *http.Request) (credential, error) {
	// X-Api-Key is what net/http makes of X-API-KEY; under any other name it makes it once more.
	keys, credentials := r.Header["X-Api-Key"], r.Header["Authorization"]
	// Of two headers, or of two keys that differ, it would be open whose request it is.
	if len(keys) > 1 || len(credentials) > 1 {
		return credential{}, escrow.Errorf(codeUnauthorized, "Send X-API-KEY and Authorization at most once each.")
	}

	var header, bearer string
	if len(keys) > 0 {
		header = keys[0]
	}
	if len(credentials) > 0 {
		scheme, token, _ := strings.Cut(credentials[0], " ")
		if strings.EqualFold(scheme, "Bearer") {
			bearer = strings.TrimSpace(token)
		}
	}

	switch {
	case header == "" && bearer == "":
		return s.presentedSession(r)
	case header != "" && bearer != "" && header != bearer:
		return credential{}, escrow.Errorf(codeUnauthorized, "X-API-KEY and Authorization carry different keys.")
	case header != "":
		return credential{wayKey, header}, nil
	case identity.LooksLikeToken(bearer) && !s.isOperatorsKey(bearer):
		return credential{wayToken, bearer}, nil
	}
	return credential{wayKey, bearer}, nil
}

// isOperatorsKey reports whether a text is one of the keys that the operator has chosen. Those can look like
// tokens, which the keys of institutions never do.
func (s *server) isOperatorsKey(text string) bool {
	return isOneOf(text, s.rootHashes) || isOneOf(text, s.metricsHashes)
}

// presentedSession reads the cookie of a session.
func (s *server) presentedSession(r *http.Request) (credential, error) {
	if len(r.Header["Cookie"]) > 0 {
		switch found := r.CookiesNamed(s.cookieName(r, sessionCookie)); {
		case len(found) > 1:
			return credential{}, escrow.Errorf(codeUnauthorized, "Send the cookie of one session.")
		case len(found) == 1 && found[0].Value != "":
			return credential{waySession, found[0].Value}, nil
		}
	}
	return credential{}, escrow.Errorf(codeUnauthorized,
		"Send an API key in X-API-KEY, or a key or a token in Authorization as a Bearer token.")
}
