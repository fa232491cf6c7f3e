package bench

import (
	"sync/atomic"
	"time"
)

// turn says when a contender's turn ends: after a time, or, with work above 0, after so many
// pieces of work, however long they take.
type turn struct {
	duration time.Duration
	work     int
}

// turn is the one that each contender has in a round.
func (c Config) turn() turn { return turn{duration: c.Duration, work: c.Work} }

// warmUp is the turn before the first that counts, a fourth of it.
func (t turn) warmUp() turn { return turn{duration: t.duration / 4, work: (t.work + 3) / 4} }

// times is a turn so many times as long.
func (t turn) times(factor int) turn {
	return turn{duration: time.Duration(factor) * t.duration, work: factor * t.work}
}

// begin begins the turn. The function that it returns is asked before each piece of work, by
// any of those who share it, whether that begins within the turn.
func (t turn) begin() (goesOn func(at time.Time) bool) {
	if t.work > 0 {
		var begun atomic.Int64
		return func(time.Time) bool { return begun.Add(1) <= int64(t.work) }
	}
	deadline := time.Now().Add(t.duration)
	return func(at time.Time) bool { return at.Before(deadline) }
}

// arrivals is how many can be expected at most in the turn, at a rate a second.
func (t turn) arrivals(rate float64) int {
	if t.work > 0 {
		return t.work
	}
	return int(2 * rate * t.duration.Seconds())
}
