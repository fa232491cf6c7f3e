package httpapi

import (
	"cmp"
	"net/netip"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// RateLimit bounds how much one key, and all keys of one institution, may ask for, on each
// server.
type RateLimit struct {
	Enabled bool
	// RPS is the steady rate of a key in requests per second, Burst how many it may
	// send at once.
	RPS, Burst int
	// InstitutionRPS and InstitutionBurst are the same for all keys of an institution: those
	// who make more keys get no more. 0 takes twice those of a key.
	InstitutionRPS, InstitutionBurst int
}

// The stricter bounds: on making institutions and keys, by institution; and on failed
// authentications, by address.
const (
	creationRPS, creationBurst = 20, 100
	failureRPS, failureBurst   = 50, 1000
)

// limits are the rate limits of one server. Instances do not share theirs.
type limits struct {
	enabled  bool
	now      func() time.Time
	requests *web.Limiters[escrow.Actor]
	// The operator is the zero institution. Its requests are bounded by key alone.
	institutions *web.Limiters[escrow.InstitutionID]
	creation     *web.Limiters[escrow.InstitutionID]
	// failures are counted by network: whoever has one IPv6 address has 2^64.
	failures *web.Limiters[netip.Prefix]
}

func newLimits(config RateLimit, now func() time.Time) *limits {
	return &limits{
		enabled:  config.Enabled,
		now:      now,
		requests: web.NewLimiters[escrow.Actor](config.RPS, config.Burst),
		institutions: web.NewLimiters[escrow.InstitutionID](
			cmp.Or(config.InstitutionRPS, 2*config.RPS), cmp.Or(config.InstitutionBurst, 2*config.Burst)),
		creation: web.NewLimiters[escrow.InstitutionID](creationRPS, creationBurst),
		failures: web.NewLimiters[netip.Prefix](failureRPS, failureBurst),
	}
}

// check takes one request off what its key may ask for.
func (l *limits) check(c *call) error {
	if !l.enabled || c.caller.metrics {
		return nil
	}

	// The limits that others share are asked later: a request that is refused in any case takes
	// none of their tokens.
	wait, who := l.requests.Take(c.caller.actor(), l.now()), "The key asks for more than it may"
	if wait == 0 && !c.caller.root {
		wait = l.institutions.Take(c.caller.institution, l.now())
		who = "The institution's keys together ask for more than they may"
	}
	if wait == 0 && c.route != nil && c.route.limited {
		wait = l.creation.Take(c.caller.institution, l.now())
	}
	if wait == 0 {
		return nil
	}
	c.wait = wait
	return escrow.Errorf(codeRateLimited,
		"%s; go on after %s.", who, wait.Round(time.Millisecond))
}

// takeFailure counts a request with an invalid key or none, and refuses it otherwise than for
// its key where too many came from its address of late.
func (l *limits) takeFailure(client netip.Addr) error {
	if l.enabled && l.failures.Take(web.ClientNetwork(client), l.now()) > 0 {
		return escrow.Errorf(codeRateLimited, "Too many requests without a valid key came from this address.")
	}
	return nil
}
