package web

import (
	"math"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

// maxLimiters bounds the callers that are remembered; one that was forgotten starts
// with a full burst.
const maxLimiters = 10_000

// Limiters bounds how often each caller may do something: a token bucket for each. Its
// methods may be called from several goroutines.
type Limiters[K comparable] struct {
	buckets *lru.Cache[K, *rate.Limiter]
	rps     rate.Limit
	burst   int
}

// NewLimiters returns limiters with a steady rate in times per second and how often a
// caller may do it at once, at least 1 each.
func NewLimiters[K comparable](rps, burst int) *Limiters[K] {
	buckets, err := lru.New[K, *rate.Limiter](maxLimiters)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &Limiters[K]{buckets: buckets, rps: rate.Limit(rps), burst: burst}
}

// Take takes a caller's token and returns 0, or takes none and returns how long it is
// until there is one.
func (l *Limiters[K]) Take(caller K, now time.Time) time.Duration {
	bucket := l.bucket(caller)
	if bucket.AllowN(now, 1) {
		return 0
	}

	missing := 1 - bucket.TokensAt(now)
	return max(time.Millisecond, time.Duration(math.Ceil(missing/float64(l.rps)*1e9)))
}

func (l *Limiters[K]) bucket(caller K) *rate.Limiter {
	if bucket, ok := l.buckets.Get(caller); ok {
		return bucket
	}

	// Of two requests at the same time, both take from the bucket of the first.
	bucket := rate.NewLimiter(l.rps, l.burst)
	if earlier, ok, _ := l.buckets.PeekOrAdd(caller, bucket); ok {
		return earlier
	}
	return bucket
}
