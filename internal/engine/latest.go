package engine

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

const (
	// maxLatest bounds what waits to be written of one sort. More is left out, and noted with the next
	// time that it happens.
	maxLatest = 50_000
	// latestPage bounds what one transaction writes of it.
	latestPage = 1000
)

// latest is what happened last to each of many things, such as the last use of each key, and waits in memory
// to be written. It is for what happens too often to be written each time.
type latest[K interface {
	comparable
	Compare(other K) int
}, V any] struct {
	// of tells of which thing something is, whose that is, and when it happened.
	of func(V) (escrow.InstitutionID, K, time.Time)

	mu      sync.Mutex
	waiting map[K]V
}

// note has something wait to be written, unless a later time is known.
func (l *latest[K, V]) note(value V) {
	_, id, at := l.of(value)
	l.mu.Lock()
	defer l.mu.Unlock()

	if l.waiting == nil {
		l.waiting = make(map[K]V)
	}
	known, ok := l.waiting[id]
	if _, _, before := l.of(known); ok && before.After(at) || !ok && len(l.waiting) >= maxLatest {
		return
	}
	l.waiting[id] = value
}

// after returns what waits of a thing, if that is later than what is known.
func (l *latest[K, V]) after(id K, known time.Time) (value V, later bool) {
	l.mu.Lock()
	defer l.mu.Unlock()

	value, ok := l.waiting[id]
	_, _, at := l.of(value)
	return value, ok && at.After(known)
}

func (l *latest[K, V]) forget(id K) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.waiting, id)
}

// take returns what waits, in the order of the keys that it is written by, and forgets it.
func (l *latest[K, V]) take() []V {
	l.mu.Lock()
	defer l.mu.Unlock()

	values := slices.SortedFunc(maps.Values(l.waiting), func(a, b V) int {
		ofA, idA, _ := l.of(a)
		ofB, idB, _ := l.of(b)
		if order := ofA.Compare(ofB); order != 0 {
			return order
		}
		return idA.Compare(idB)
	})
	l.waiting = nil
	return values
}

// flush writes what waits. What cannot be written is told, and waits on.
func (l *latest[K, V]) flush(ctx context.Context, write func(context.Context, []V) error, failed func(error)) {
	for page := range slices.Chunk(l.take(), latestPage) {
		if err := write(ctx, page); err != nil {
			failed(err)
			for _, value := range page {
				l.note(value)
			}
		}
	}
}
