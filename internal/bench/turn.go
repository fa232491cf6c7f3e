package bench

import (
	"sync/atomic"
	"time"
)

// turn says when a contender's turn ends: after a duration, or, with work above 0, after so many
// pieces of work, however long they take.
type turn struct {
	duration time.Duration
	work     int
}

// turn is what each contender has in a round.
func (c Config) turn() turn { return turn{duration: c.Duration, work: c.Work} }

// warmUp is the turn before the first round, a quarter of a turn.
func (t turn) warmUp() turn { return turn{duration: t.duration / 4, work: (t.work + 3) / 4} }

// times is a turn so many times as long.
func (t turn) times(factor int) turn {
	return turn{duration: time.Duration(factor) * t.duration, work: factor * t.work}
}

// begin begins the turn. It returns a function that reports whether a piece of work that begins at
// a time is within the turn. Workers that share the turn call it before each piece of work.
func (t turn) begin() (goesOn func(at time.Time) bool) {
	if t.work > 0 {
		var begun atomic.Int64
		return func(time.Time) bool { return begun.Add(1) <= int64(t.work) }
	}

	deadline := time.Now().Add(t.duration)
	return func(at time.Time) bool { return at.Before(deadline) }
}

// arrivals bounds how many pieces of work arrive in the turn, at a rate per second. They arrive at
// random, but twice as many as on average will not.
func (t turn) arrivals(rate float64) int {
	if t.work > 0 {
		return t.work
	}
	return int(2 * rate * t.duration.Seconds())
}
