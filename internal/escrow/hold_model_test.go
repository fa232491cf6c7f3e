package escrow_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// holdModel is a position under holds once more, in cents and in the plainest way.
type holdModel struct {
	state                                    string
	amount, funded, released, refunded, held int
	overdue                                  bool
	holds                                    []modelHold
}

type modelHold struct {
	id     escrow.HoldID
	legal  bool
	amount int // 0 is all
	lifted bool
}

// free is what of the money is under no hold at all.
func (m *holdModel) free() int {
	left := m.held
	for _, h := range m.holds {
		switch {
		case h.lifted:
		case h.amount == 0:
			return 0
		default:
			left -= h.amount
		}
	}
	return left
}

// unclaimed is what no hold on an amount is on.
func (m *holdModel) unclaimed() int {
	left := m.held
	for _, h := range m.holds {
		if !h.lifted {
			left -= h.amount
		}
	}
	return left
}

func (m *holdModel) ended() bool {
	return m.state == "RELEASED" || m.state == "CANCELLED" || m.state == "EXPIRED"
}

// move leads the position to a state, and tells the code of the refusal, or nothing.
func (m *holdModel) move(to string, cents int, due bool) string {
	holding := m.state == "FUNDED" || m.state == "PARTIALLY_RELEASED"
	allowed := map[string]bool{
		"FUNDED": m.state == "CREATED", "PARTIALLY_RELEASED": holding, "RELEASED": holding,
		"CANCELLED": !m.ended(), "EXPIRED": !m.ended(),
	}
	switch {
	case !allowed[to], due && !m.overdue:
		return "invalid_transition"
	case m.overdue && to != "CANCELLED" && to != "EXPIRED":
		return "position_expired"
	}
	moved := m.held
	switch to {
	case "FUNDED":
		m.state, m.funded, m.held = to, m.amount, m.amount
		return ""
	case "PARTIALLY_RELEASED":
		if moved = cents; moved >= m.held {
			return "transition_amount"
		}
	}
	if moved > m.free() {
		return "position_on_hold"
	}
	m.state, m.held = to, m.held-moved
	if to == "CANCELLED" || to == "EXPIRED" {
		m.refunded += moved
	} else {
		m.released += moved
	}
	return ""
}

func (m *holdModel) hold(legal bool, cents int) string {
	switch {
	case cents == 0 && m.ended() && !legal, cents > m.unclaimed():
		return "hold_amount"
	}
	m.holds = append(m.holds, modelHold{legal: legal, amount: cents})
	return ""
}

func (m *holdModel) lift(place int) string {
	switch {
	case place >= len(m.holds):
		return "hold_not_found"
	case m.holds[place].lifted:
		return "hold_lifted"
	}
	m.holds[place].lifted = true
	return ""
}

// Whatever is asked of a position in whatever order, it and the model agree on what is refused and on where each
// cent is, the domain's own sums hold after each step, and the journal tells the same.
func TestHoldsAgainstAModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := openDesk(t)
		m := &holdModel{state: "CREATED", amount: rapid.IntRange(1, 2000).Draw(t, "cents")}
		expires := d.now.Add(time.Hour)
		id := subjectID[escrow.PositionID](d.accept(newPosition(d.escrow(), cents(m.amount), "USD", &expires)))
		if rapid.IntRange(0, 3).Draw(t, "begins empty") > 0 {
			d.accept(transition(id, escrow.StateFunded, ""))
			m.move("FUNDED", 0, false)
		}

		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			command, want := drawHoldStep(t, d, m, id)
			outcome := d.execute(d.request(command))
			got := ""
			if outcome.Refusal != nil {
				got = string(outcome.Refusal.Code)
			}
			if got != want {
				t.Fatalf("%T is answered with %q, want %q", command, got, want)
			}
			if placed, ok := outcome.Resource.(escrow.Hold); ok && placed.InForce() {
				m.holds[len(m.holds)-1].id = placed.ID
			}
			compareHeld(t, d.get(id), m)
		}
		d.checkReplay()
	})
}

// drawHoldStep draws a command, and has the model decide on it.
func drawHoldStep(t *rapid.T, d *desk, m *holdModel, id escrow.PositionID) (escrow.Command, string) {
	part := rapid.IntRange(1, m.amount).Draw(t, "part")
	switch rapid.IntRange(0, 9).Draw(t, "what") {
	case 0, 1:
		return transition(id, escrow.StatePartiallyReleased, cents(part)), m.move("PARTIALLY_RELEASED", part, false)
	case 2:
		to := rapid.SampledFrom(escrow.States()[1:]).Draw(t, "to")
		if to == escrow.StatePartiallyReleased {
			to = escrow.StateFunded
		}
		return transition(id, to, ""), m.move(string(to), 0, false)
	case 3:
		if rapid.IntRange(0, 4).Draw(t, "passes") == 0 {
			d.now, m.overdue = d.now.Add(time.Hour), true
		}
		return escrow.ExpirePosition(id), m.move("EXPIRED", 0, true)
	case 4, 5, 6:
		kind := rapid.SampledFrom(escrow.HoldKinds()).Draw(t, "kind")
		return hold(id, kind, cents(part)), m.hold(kind == escrow.HoldLegal, part)
	case 7:
		kind := rapid.SampledFrom(escrow.HoldKinds()).Draw(t, "kind")
		return hold(id, kind, ""), m.hold(kind == escrow.HoldLegal, 0)
	}
	place := rapid.IntRange(0, len(m.holds)).Draw(t, "place")
	which := escrow.HoldID{1}
	if place < len(m.holds) {
		which = m.holds[place].id
	}
	return lift(id, which), m.lift(place)
}

func cents(n int) string { return fmt.Sprintf("%d.%02d", n/100, n%100) }

func compareHeld(t *rapid.T, p escrow.Position, m *holdModel) {
	t.Helper()
	got := fmt.Sprint(p.State, p.Funded, p.Released, p.Refunded, p.Held, p.Available(), p.OnHold())
	want := fmt.Sprint(m.state, money.Amount(m.funded), money.Amount(m.released), money.Amount(m.refunded),
		money.Amount(m.held), money.Amount(m.free()), money.Amount(m.held-m.free()))
	if got != want {
		t.Fatalf("the position is %s, and in the model %s", got, want)
	}
	if err := p.CheckMoney(); err != nil {
		t.Fatal(err)
	}
}
