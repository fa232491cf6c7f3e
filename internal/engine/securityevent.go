package engine

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

const (
	// securityInterval is how often security events are written: a flood of refused attempts is to
	// cost the database no more than one transaction a second.
	securityInterval = time.Second
	// securityBucket is the time in which attempts that are alike are one event.
	securityBucket = time.Minute
	// maxSecurityEvents bounds the events of a bucket that are held of known callers, and as many
	// of others: those without a key leave no less room for those with one.
	maxSecurityEvents = 2000
	// securityPage bounds the events of one transaction.
	securityPage = 1000
)

// attemptKey is what attempts of a bucket have in common that are one event. Strangers choose
// method and route as they like, so theirs do not count.
type attemptKey struct {
	bucket        int64
	network       netip.Prefix
	code          escrow.Code
	actor         string
	institution   escrow.InstitutionID
	method, route string
}

// securityEvents are the refused attempts that wait to be written, and those of this bucket. The
// zero value is ready.
type securityEvents struct {
	mu     sync.Mutex
	events map[attemptKey]*countedEvent
	// strangers is how many of the events are of callers who are not known.
	strangers int
}

// countedEvent is an event, and how many of its attempts were written.
type countedEvent struct {
	escrow.SecurityEvent
	written int64
}

// NoteSecurityEvent keeps an attempt that was refused for a reason of security and came from a
// network. It never waits.
func (e *Engine) NoteSecurityEvent(network netip.Prefix, attempt escrow.SecurityEvent) {
	if !e.securityEvents.note(e.config.Now(), network, attempt) {
		e.metrics.unlogged.Inc()
	}
}

// note reports whether there was room for an attempt.
func (s *securityEvents) note(now time.Time, network netip.Prefix, attempt escrow.SecurityEvent) bool {
	stranger := attempt.Actor == escrow.ActorUnknown
	key := attemptKey{
		bucket:  now.UnixNano() / int64(securityBucket),
		network: network,
		code:    attempt.Code,
		actor:   attempt.Actor,
	}
	if !stranger {
		key.institution, key.method, key.route = attempt.InstitutionID, attempt.Method, attempt.Path
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if event, ok := s.events[key]; ok {
		event.Count++
		event.LastAt = now
		return true
	}

	if held := len(s.events) - s.strangers; stranger && s.strangers >= maxSecurityEvents ||
		!stranger && held >= maxSecurityEvents {
		return false
	}
	if s.events == nil {
		s.events = make(map[attemptKey]*countedEvent)
	}
	if stranger {
		s.strangers++
	}
	var random [8]byte
	_, _ = rand.Read(random[:]) // It never fails.
	attempt.ID = escrow.EntryID(escrow.NewUUID(now, binary.BigEndian.Uint64(random[:])))
	attempt.At, attempt.LastAt, attempt.Count = now, now, 1
	s.events[key] = &countedEvent{SecurityEvent: attempt}
	return true
}

// unwritten returns the events that have attempts which were not written, known callers' first,
// then the oldest; at most securityPage.
func (s *securityEvents) unwritten() []escrow.SecurityEvent {
	s.mu.Lock()
	defer s.mu.Unlock()

	var events []escrow.SecurityEvent
	for _, event := range s.events {
		if event.Count > event.written {
			events = append(events, event.SecurityEvent)
		}
	}
	slices.SortFunc(events, func(a, b escrow.SecurityEvent) int {
		if a, b := a.Actor == escrow.ActorUnknown, b.Actor == escrow.ActorUnknown; a != b {
			if a {
				return 1
			}
			return -1
		}
		return cmp.Or(a.At.Compare(b.At), slices.Compare(a.ID[:], b.ID[:]))
	})
	return events[:min(len(events), securityPage)]
}

// wrote notes what was written, and forgets the events of earlier buckets that are written whole.
func (s *securityEvents) wrote(now time.Time, events []escrow.SecurityEvent) {
	counts := make(map[escrow.EntryID]int64, len(events))
	for _, event := range events {
		counts[event.ID] = event.Count
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	for key, event := range s.events {
		event.written = max(event.written, counts[event.ID])
		if event.written < event.Count || key.bucket >= now.UnixNano()/int64(securityBucket) {
			continue
		}
		delete(s.events, key)
		if event.Actor == escrow.ActorUnknown {
			s.strangers--
		}
	}
}

// writeSecurityEvents writes the security events that wait. What cannot be written waits on.
func (e *Engine) writeSecurityEvents(ctx context.Context) {
	e.everyAndLast(ctx, securityInterval, func(ctx context.Context) {
		events := e.securityEvents.unwritten()
		if len(events) > 0 {
			if err := e.store.AddSecurityEvents(ctx, events); err != nil {
				e.dutyFailed(dutySecurityEvents, err)
				return
			}
		}
		e.securityEvents.wrote(e.config.Now(), events)
	})
}
