package httpapi

import (
	"math"
	"net/netip"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// RateLimit bounds how much one key may ask for, on each server.
type RateLimit struct {
	Enabled bool
	// RPS is the steady rate of a key in requests a second, Burst what it may ask
	// for at once.
	RPS, Burst int
}

// The stricter bounds: on making institutions and keys, by key; and on failed
// authentications, by address.
const (
	creationRPS, creationBurst = 20, 100
	failureRPS, failureBurst   = 50, 1000
	// maxLimiters bounds the callers that are remembered; one that was forgotten
	// starts with a full burst.
	maxLimiters = 10_000
)

type limits struct {
	enabled  bool
	now      func() time.Time
	requests *limiters[escrow.Actor]
	creation *limiters[escrow.Actor]
	failures *limiters[netip.Addr]
}

func newLimits(config RateLimit, now func() time.Time) *limits {
	return &limits{
		enabled:  config.Enabled,
		now:      now,
		requests: newLimiters[escrow.Actor](config.RPS, config.Burst),
		creation: newLimiters[escrow.Actor](creationRPS, creationBurst),
		failures: newLimiters[netip.Addr](failureRPS, failureBurst),
	}
}

// check takes one request off what its key may ask for.
func (l *limits) check(c *call, r route) error {
	if !l.enabled || c.caller.metrics {
		return nil
	}
	if err := c.limited(l.requests.take(c.caller.actor(), l.now())); err != nil || !r.limited {
		return err
	}
	return c.limited(l.creation.take(c.caller.actor(), l.now()))
}

// checkFailures refuses an address that has failed too often of late.
func (l *limits) checkFailures(client netip.Addr) error {
	if l.enabled && l.failures.of(client).TokensAt(l.now()) < 1 {
		return escrow.Errorf(codeRateLimited, "Too many requests with invalid keys came from this address.")
	}
	return nil
}

func (l *limits) countFailure(client netip.Addr) {
	if l.enabled {
		l.failures.of(client).AllowN(l.now(), 1)
	}
}

// limited makes the refusal of a caller that has to wait.
func (c *call) limited(wait time.Duration) error {
	if wait == 0 {
		return nil
	}
	c.wait = wait
	return escrow.Errorf(codeRateLimited, "The key asks for more than it may; go on after %s.", wait.Round(time.Millisecond))
}

// limiters holds a token bucket for each caller.
type limiters[K comparable] struct {
	buckets *lru.Cache[K, *rate.Limiter]
	rps     rate.Limit
	burst   int
}

func newLimiters[K comparable](rps, burst int) *limiters[K] {
	buckets, err := lru.New[K, *rate.Limiter](maxLimiters)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &limiters[K]{buckets, rate.Limit(rps), burst}
}

func (l *limiters[K]) of(caller K) *rate.Limiter {
	if bucket, ok := l.buckets.Get(caller); ok {
		return bucket
	}
	bucket := rate.NewLimiter(l.rps, l.burst)
	if earlier, ok, _ := l.buckets.PeekOrAdd(caller, bucket); ok {
		return earlier
	}
	return bucket
}

// take takes one token and returns 0, or takes none and returns how long it is
// until there is one.
func (l *limiters[K]) take(caller K, now time.Time) time.Duration {
	bucket := l.of(caller)
	if bucket.AllowN(now, 1) {
		return 0
	}
	missing := 1 - bucket.TokensAt(now)
	return max(time.Millisecond, time.Duration(math.Ceil(missing/float64(l.rps)*1e9)))
}
