package httpapi

import (
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
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
		return "unknown"
	case c.metrics:
		return "metrics"
	}
	return c.actor().String()
}

// access is who may use a route.
type access int

const (
	// public needs no key.
	public access = iota
	// anyKey is every institution's key, and root.
	anyKey
	// adminKey is an institution's admin key, and root.
	adminKey
	// rootKey is the operator's key alone.
	rootKey
	// metricsKey is the operator's key, and the key for metrics.
	metricsKey
)

func (a access) String() string {
	return [...]string{"no key", "any key", "an admin or root key", "the root key", "the root or the metrics key"}[a]
}

// check refuses a caller whose role does not suffice.
func (a access) check(c *call) error {
	allowed := false
	switch a {
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
		return escrow.Errorf(escrow.CodeForbidden, "This takes %s.", a)
	}
	return nil
}

// authenticate finds out who sends the request.
func (s *server) authenticate(c *call, withMetrics bool) error {
	secret, err := presentedKey(c.request)
	if err != nil {
		return err
	}
	if isOneOf(secret, s.rootHashes) {
		c.caller = caller{known: true, root: true, secret: secret}
		return s.checkRootAddress(c)
	}
	if withMetrics && isOneOf(secret, s.metricsHashes) {
		c.caller = caller{known: true, metrics: true}
		return nil
	}
	if err := s.limits.checkFailures(c.client); err != nil {
		return err
	}
	// A command finds its key again under the lock of the journal.
	key, err := s.engine.Authenticate(c.request.Context(), secret, c.isCommand())
	if err != nil {
		if escrow.ErrorCode(err) == escrow.CodeInvalidKey {
			s.limits.countFailure(c.client)
		}
		return err
	}
	c.caller = caller{known: true, key: key.ID, institution: key.InstitutionID, role: key.Role, secret: secret}
	return nil
}

// isCommand reports whether the request asks for a change.
func (c *call) isCommand() bool {
	return c.request.Method == http.MethodPost || c.request.Method == http.MethodPut
}

// presentedKey reads the key from either of the headers that can carry it.
func presentedKey(r *http.Request) (string, error) {
	header := r.Header.Get("X-API-KEY")
	scheme, bearer, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		bearer = ""
	}
	bearer = strings.TrimSpace(bearer)
	switch {
	case header == "" && bearer == "":
		return "", escrow.Errorf(codeUnauthorized, "Send an API key in X-API-KEY, or in Authorization as a Bearer token.")
	case header != "" && bearer != "" && header != bearer:
		return "", escrow.Errorf(codeUnauthorized, "X-API-KEY and Authorization carry different keys.")
	case header != "":
		return header, nil
	}
	return bearer, nil
}

func (s *server) checkRootAddress(c *call) error {
	networks := s.config.RootNetworks
	if len(networks) > 0 && !slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(c.client) }) {
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

// clientAddress returns the address of the client: the peer's, or, where the peer
// is a trusted proxy, the last one in X-Forwarded-For that is not.
func (s *server) clientAddress(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	client := peer.Addr().Unmap()
	if len(s.config.TrustedProxies) == 0 {
		return client
	}
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(forwarded) {
		if !slices.ContainsFunc(s.config.TrustedProxies, func(n netip.Prefix) bool { return n.Contains(client) }) {
			break
		}
		address, err := netip.ParseAddr(strings.TrimSpace(hop))
		if err != nil {
			break
		}
		// A zone is any text, and means nothing beyond the proxy's own machine.
		client = address.Unmap().WithZone("")
	}
	return client
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
