package engine_test

import (
	"sync"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// bothAtOnce runs two functions at the same time, until both have ended.
func bothAtOnce(one, other func()) {
	var both sync.WaitGroup
	both.Go(one)
	both.Go(other)
	both.Wait()
}

func placing(position escrow.PositionID, kind escrow.HoldKind) escrow.PlaceHold {
	return valid(escrow.NewPlaceHold(position, escrow.HoldInput{Kind: string(kind), Reason: "a reason"}, nil))
}

// A position that is overdue waits while it is on hold, whichever other positions are due, and expires when the hold is
// lifted.
func TestWhatIsOnHoldExpiresOnceItIsLifted(t *testing.T) {
	eachOwnDatabase(t, func(t *testing.T, d database) {
		servers := d.pair(t, watchful)
		s, clock := servers[0], servers[0].clock
		of := s.institution()
		asset, due := s.asset(of), clock.now().Add(time.Hour)
		fund := []step{{escrow.StateFunded, ""}}
		held, free := s.live(of, asset, life{&due, fund, false, 0}), s.live(of, asset, life{&due, fund, true, 1000})
		hold := accept[escrow.Hold](s, root(of, placing(held, escrow.HoldLegal)))

		state := func(id escrow.PositionID) escrow.State { return must(s.Position(t.Context(), of, id)).State }
		clock.advance(time.Hour)
		eventually(t, "the position that is on no hold expires", func() bool { return state(free) == escrow.StateExpired })
		eventually(t, "a server has looked again and found none", func() bool { return total(servers, "positions_due") == 0 })
		if got := state(held); got != escrow.StateFunded {
			t.Fatalf("the position that is on hold is %s", got)
		}
		refuse(servers[1], root(of, transition(held, escrow.StateReleased, "")), escrow.CodePositionExpired)
		refuse(servers[1], root(of, transition(held, escrow.StateCancelled, "")), escrow.CodePositionOnHold)

		accept[escrow.Hold](servers[1], root(of, valid(escrow.NewLiftHold(held, hold.ID, "it is over"))))
		eventually(t, "the position expires once the hold is lifted", func() bool { return state(held) == escrow.StateExpired })
		s.checkJournal(of)
	})
}

// Of a hold and a release, and of a lifting and an erasure, that are asked for at the same moment on two servers, the
// one that the journal has first decides on the other.
func TestAHoldAndAReleaseHaveOneWinner(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		s := servers[0]
		of := s.institution()
		asset := s.asset(of)
		for range 20 {
			id := s.live(of, asset, life{steps: []step{{escrow.StateFunded, ""}}})
			var placed, released error
			bothAtOnce(
				func() { _, placed = servers[0].Do(t.Context(), root(of, placing(id, escrow.HoldCompliance))) },
				func() { _, released = servers[1].Do(t.Context(), root(of, transition(id, escrow.StateReleased, ""))) },
			)
			p := must(s.Position(t.Context(), of, id))
			holdFirst := placed == nil && escrow.ErrorCode(released) == escrow.CodePositionOnHold && p.Held == 1000 && p.Holds == 1
			releaseFirst := released == nil && escrow.ErrorCode(placed) == escrow.CodeHoldAmount && p.Released == 1000 && p.Holds == 0
			if holdFirst == releaseFirst {
				t.Errorf("the hold ends with %v and the release with %v, and the position is %+v", placed, released, p)
			}
		}

		for range 10 {
			id := s.live(of, asset, life{steps: []step{{escrow.StateCancelled, ""}}})
			hold := accept[escrow.Hold](s, root(of, placing(id, escrow.HoldLegal)))
			var lifted, erased error
			bothAtOnce(
				func() { _, lifted = servers[0].Do(t.Context(), root(of, valid(escrow.NewLiftHold(id, hold.ID, "r")))) },
				func() {
					_, erased = servers[1].Do(t.Context(), root(of, valid(escrow.NewErasePosition(id, nil, nil, 0))))
				},
			)
			if lifted != nil || erased != nil && escrow.ErrorCode(erased) != escrow.CodeUnderLegalHold {
				t.Errorf("the lifting ends with %v, and the erasure with %v", lifted, erased)
			}
			if p := must(s.Position(t.Context(), of, id)); p.Erased() != (erased == nil) {
				t.Errorf("the erasure ends with %v, and the position is erased: %t", erased, p.Erased())
			}
		}
		s.checkJournal(of)
	})
}

// More positions than one transaction holds, some of which are under the hold already, some ended, and some of others.
func TestAHolderIsHeldInSteps(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		s := servers[0]
		of := s.institution()
		asset := s.asset(of)
		const open = 130
		for range open {
			accept[escrow.Position](s, root(of, createPosition(asset, "Ada", "10")))
		}
		accept[escrow.Position](s, root(of, createPosition(asset, "Grace", "10")))
		ended := accept[escrow.Position](s, root(of, createPosition(asset, "Ada", "10"))).ID
		accept[escrow.Position](s, root(of, transition(ended, escrow.StateCancelled, "")))

		in := escrow.HoldInput{Kind: "LEGAL", Reason: "An order", Reference: new("HC/1")}
		ask := func(s *server, in escrow.HoldInput) engine.HolderHolds {
			t.Helper()
			r := root(of, nil)
			answer := must(s.HoldHolder(t.Context(), engine.HolderHold{Request: r, HolderReference: "Ada", Hold: in}))
			return answer.Resource.(engine.HolderHolds)
		}
		if got := ask(servers[0], in); got.Placed != open || got.Before != 0 || len(got.Refused) != 0 || !got.Complete {
			t.Errorf("asked once, %+v", got)
		}
		in.Reference = new(" HC/1 ")
		if got := ask(servers[1], in); got.Placed != 0 || got.Before != open || !got.Complete {
			t.Errorf("asked twice, %+v", got)
		}
		other := in
		other.Kind = "COMPLIANCE"
		if got := ask(servers[1], other); got.Placed != open {
			t.Errorf("of another kind, %+v", got)
		}
		s.checkJournal(of)
	})
}
