package httpapi

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"strings"
	"sync"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// caller is who sends a request, as its key tells.
type caller struct {
	// known: the key was found to be valid.
	known bool
	// root and metrics are the two keys that belong to no institution.
	root, metrics bool
	key           escrow.KeyID
	institution   escrow.InstitutionID
	role          escrow.Role
	// secret is the key itself; it goes into no log.
	secret string
}

// actor is the caller in the journal.
func (c caller) actor() escrow.Actor {
	if c.root {
		return escrow.ActorRoot()
	}
	return escrow.ActorKey(c.key)
}

// name is the caller in logs.
func (c caller) name() string {
	switch {
	case !c.known:
		return escrow.ActorUnknown
	case c.metrics:
		return "metrics"
	}
	return c.actor().String()
}

// permission is who may use a route.
type permission int

const (
	// public needs no key.
	public permission = iota
	// anyKey is every institution's key, and root.
	anyKey
	// adminKey is an institution's admin key, and root.
	adminKey
	// rootKey is the operator's key alone.
	rootKey
	// metricsKey is the operator's key, and the key for metrics.
	metricsKey
)

func (p permission) String() string {
	return [...]string{"no key", "any key", "an admin or root key", "the root key", "the root or the metrics key"}[p]
}

// check refuses a caller whose role does not suffice.
func (p permission) check(c *call) error {
	allowed := false
	switch p {
	case public:
		allowed = true
	case anyKey:
		allowed = c.caller.root || c.caller.role != ""
	case adminKey:
		allowed = c.caller.root || c.caller.role == escrow.RoleAdmin
	case rootKey:
		allowed = c.caller.root
	case metricsKey:
		allowed = c.caller.root || c.caller.metrics
	}

	if !allowed {
		return escrow.Errorf(escrow.CodeForbidden, "This takes %s.", p)
	}
	return nil
}

// authenticate finds out who sends the request. The metrics key is known only where it
// opens something.
func (s *server) authenticate(c *call) error {
	secret, err := presentedKey(c.request)
	if err != nil {
		return cmp.Or(s.limits.takeFailure(c.client), err)
	}
	if isOneOf(secret, s.rootHashes) {
		c.caller = caller{known: true, root: true, secret: secret}
		return s.checkRootAddress(c)
	}
	if c.route != nil && c.route.permission == metricsKey && isOneOf(secret, s.metricsHashes) {
		c.caller = caller{known: true, metrics: true}
		return nil
	}

	// A command finds its key again under the lock of the journal.
	key, err := s.engine.Authenticate(c.context(), secret, web.IsCommand(c.request.Method))
	if escrow.ErrorCode(err) == escrow.CodeInvalidKey {
		// What others send from the same address must not lock out who has a key: only what was
		// looked for and not found is limited, and the engine bounds what looking costs.
		return cmp.Or(s.limits.takeFailure(c.client), err)
	}
	if err != nil {
		return err
	}

	c.caller = caller{known: true, key: key.ID, institution: key.InstitutionID, role: key.Role, secret: secret}
	return nil
}

// presentedKey reads the key from either of the headers that can carry it.
func presentedKey(r *http.Request) (string, error) {
	// X-Api-Key is what net/http makes of X-API-KEY; under any other name it makes it once more.
	keys, credentials := r.Header["X-Api-Key"], r.Header["Authorization"]
	// Of two headers, or of two keys that differ, it would be open whose request it is.
	if len(keys) > 1 || len(credentials) > 1 {
		return "", escrow.Errorf(codeUnauthorized, "Send X-API-KEY and Authorization at most once each.")
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
		return "", escrow.Errorf(codeUnauthorized,
			"Send an API key in X-API-KEY, or in Authorization as a Bearer token.")
	case header != "" && bearer != "" && header != bearer:
		return "", escrow.Errorf(codeUnauthorized, "X-API-KEY and Authorization carry different keys.")
	case header != "":
		return header, nil
	}
	return bearer, nil
}

// checkRootAddress refuses the root key from where it may not come, and counts the
// addresses that it comes from: an alert watches for new ones.
func (s *server) checkRootAddress(c *call) error {
	if networks := s.config.RootNetworks; len(networks) > 0 && !web.IsWithin(c.client, networks) {
		return escrow.Errorf(codeAddressForbidden, "The root key may not be used from this address.")
	}
	if s.rootSeen.add(c.client) {
		s.metrics.rootAddresses.Inc()
	}
	return nil
}

// maxSeenAddresses bounds the addresses that are remembered. The root key is used from a
// few machines; each use from one beyond them counts as new.
const maxSeenAddresses = 1000

// seenAddresses are addresses that a request came from. The zero value is ready.
type seenAddresses struct {
	mutex sync.Mutex
	seen  map[netip.Addr]bool
}

// add reports whether an address is new.
func (a *seenAddresses) add(address netip.Addr) bool {
	a.mutex.Lock()
	defer a.mutex.Unlock()

	if a.seen[address] {
		return false
	}
	if a.seen == nil {
		a.seen = make(map[netip.Addr]bool)
	}
	if len(a.seen) < maxSeenAddresses {
		a.seen[address] = true
	}
	return true
}

// hashes returns those of the secrets that are not empty.
func hashes(secrets ...string) (hashes [][sha256.Size]byte) {
	for _, secret := range secrets {
		if secret != "" {
			hashes = append(hashes, sha256.Sum256([]byte(secret)))
		}
	}
	return hashes
}

// isOneOf compares a secret with hashes, with each in constant time.
func isOneOf(given string, hashes [][sha256.Size]byte) (found bool) {
	givenHash := sha256.Sum256([]byte(given))
	for _, hash := range hashes {
		found = subtle.ConstantTimeCompare(givenHash[:], hash[:]) == 1 || found
	}
	return found
}
