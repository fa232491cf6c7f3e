package httpapi

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// caller is who sends a request, as its key, token or session tells.
type caller struct {
	// known: what the request shows was found to be valid.
	known bool
	// root says that the caller acts for the operator, in all institutions: with the root key, or as one of
	// its people. metrics is the key that reads the metrics alone.
	root, metrics bool
	// as is who calls; it says nothing for the metrics key.
	as          *engine.Caller
	institution escrow.InstitutionID
	// rights is what the caller may do, as far as is known before a command is judged again;
	// ownRole says that they hang on a role of its institution.
	rights  escrow.Rights
	ownRole bool
	// shown is what the request shows; it goes into no log.
	shown credential
}

// callerOf is everybody but the metrics key.
func callerOf(as *engine.Caller, shown credential) caller {
	return caller{
		known:       true,
		root:        as.Actor().IsOperators(),
		as:          as,
		institution: as.Institution(),
		rights:      as.Rights,
		ownRole:     as.Key.HasOwnRole(),
		shown:       shown,
	}
}

// actor is the caller in the journal.
func (c *caller) actor() escrow.Actor { return c.as.Actor() }

// name is the caller in logs.
func (c *caller) name() string {
	switch {
	case !c.known:
		return escrow.ActorUnknown
	case c.metrics:
		return "metrics"
	}
	return c.actor().String()
}

// access is who may use a route.
type access struct {
	// isPublic needs no key, and takesMetricsKey takes the key for metrics too.
	isPublic, takesMetricsKey bool
	// oneOf are the permissions of which it takes one; without any, each key will do.
	oneOf []escrow.Permission
	// parts are permissions that parts of what it does take beside.
	parts []escrow.Permission
	// whole says that it shows a part of the institution that no restriction divides.
	whole bool
	// orOwn says that the route is for who has made what it is about as well, and its handler asks.
	orOwn bool
}

var (
	public        = access{isPublic: true}
	anyKey        = access{}
	metricsAccess = access{takesMetricsKey: true, oneOf: []escrow.Permission{escrow.PermissionMetricsRead}}
)

// takes is access with one of some permissions.
func takes(oneOf ...escrow.Permission) access { return access{oneOf: oneOf} }

// takesWhole is takes, for keys that are not restricted to a part of the institution.
func takesWhole(oneOf ...escrow.Permission) access { return access{oneOf: oneOf, whole: true} }

// takesOrOwn is takes, for who has made what the route is about as well. Its handler refuses others.
func takesOrOwn(oneOf ...escrow.Permission) access { return access{oneOf: oneOf, orOwn: true} }

// andParts is the same access, with what parts of the route take beside.
func (a access) andParts(parts ...escrow.Permission) access {
	a.parts = parts
	return a
}

// String says what it takes, to end a sentence with.
func (a access) String() string {
	names := join(a.oneOf)
	switch {
	case a.isPublic:
		return "no key"
	case len(a.oneOf) == 0:
		return "any key"
	case len(a.oneOf) > 1:
		return "one of the permissions " + names
	}

	text := "the permission " + names
	if !slices.Contains(escrow.TenantPermissions(), a.oneOf[0]) {
		text += ", which the operator alone has"
	}
	if a.orOwn {
		text += ", or to have made it"
	}
	if a.takesMetricsKey {
		text += ", or the metrics key"
	}
	return text
}

func join(permissions []escrow.Permission) string {
	names := make([]string, len(permissions))
	for i, permission := range permissions {
		names[i] = string(permission)
	}
	return strings.Join(names, ", ")
}

// check refuses a caller who may not use the route.
func (a access) check(c *call) error {
	switch {
	case a.isPublic, a.takesMetricsKey && c.caller.metrics, len(a.oneOf) == 0, a.orOwn:
		return nil
	case a.whole && c.caller.rights.Restriction.IsNarrow():
		return cmp.Or(c.caller.rights.Permissions.CheckPermission(a.oneOf...), error(escrow.KeyRestricted()))
	}
	return c.caller.rights.Permissions.CheckPermission(a.oneOf...)
}

// authenticate finds out who sends the request.
func (s *server) authenticate(c *call) error {
	shown, err := s.presented(c.request)
	if err != nil {
		return cmp.Or(s.limits.takeFailure(c.client), err)
	}
	switch shown.way {
	case wayToken:
		return s.authenticateToken(c, shown.text)
	case waySession:
		return s.authenticateSession(c, shown)
	case wayKey:
	}
	return s.authenticateKey(c, shown)
}

// authenticateKey finds out whose key it is. The metrics key is known only where it opens something.
func (s *server) authenticateKey(c *call, shown credential) error {
	if isOneOf(shown.text, s.rootHashes) {
		c.caller = callerOf(engine.RootCaller(), shown)
		return s.checkRootAddress(c)
	}
	if c.route != nil && c.route.access.takesMetricsKey && isOneOf(shown.text, s.metricsHashes) {
		c.caller = caller{known: true, metrics: true, as: new(engine.Caller)}
		return nil
	}

	// A command finds its key again under the lock of the journal.
	mayBeOld := web.IsCommand(c.request.Method) && (c.route == nil || c.route.isJournaled())
	known, err := s.engine.Authenticate(c.context(), shown.text, mayBeOld)
	if escrow.ErrorCode(err) == escrow.CodeInvalidKey {
		// What others send from the same address must not lock out who has a key: only what was
		// looked for and not found is limited, and the engine bounds what looking costs.
		return cmp.Or(s.limits.takeFailure(c.client), err)
	}
	if err != nil {
		return err
	}
	c.caller = callerOf(known, shown)
	return s.checkAddress(c)
}

// authenticateSession finds out whom a session acts for. The browser forgets one that has ended.
func (s *server) authenticateSession(c *call, shown credential) error {
	known, err := s.engine.SessionByToken(c.context(), shown.text)
	if escrow.ErrorCode(err) == escrow.CodeInvalidSession {
		c.forgetSession()
		return cmp.Or(s.limits.takeFailure(c.client), err)
	}
	if err != nil {
		return err
	}

	c.caller = callerOf(known, shown)
	if err := s.checkOrigin(c.request); err != nil {
		return err
	}
	if known.Root {
		return s.checkRootAddress(c)
	}
	return s.checkAddress(c)
}

// checkAddress refuses a key from where it may not come, with a session or without, and notes its use.
func (s *server) checkAddress(c *call) error {
	key := c.caller.as.Key
	if key.ID.IsZero() {
		return nil
	}
	if !isWithin(c.client, key.AllowedNetworks) {
		return escrow.Errorf(codeAddressForbidden, "The API key may not be used from this address.")
	}
	s.engine.NoteKeyUse(key, c.client)
	return nil
}

// isWithin reports whether an address is in one of some networks, if there are any.
func isWithin(client netip.Addr, networks []escrow.Network) bool {
	return len(networks) == 0 ||
		slices.ContainsFunc(networks, func(network escrow.Network) bool { return network.Has(client) })
}

// checkRootAddress refuses the root key from where it may not come, with a session or without, and counts
// the addresses that it comes from: an alert watches for new ones.
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
