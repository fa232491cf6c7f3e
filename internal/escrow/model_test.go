package escrow_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// model is the platform once more, in the plainest way: whole numbers, loops and
// tables, and nothing of the domain's own code. What the two do is compared after
// every step of a random run.
type model struct {
	templates []modelTemplate
	policies  map[string]modelPolicy
	roles     map[string]modelRole
	keys      []modelKey
	positions []modelPosition
	sequence  int64
	last      time.Time // of the last entry
	acting    modelActor
}

// modelTemplate is a template, with one asset. A rule that is 0 asks nothing.
type modelTemplate struct {
	code, region, currency string
	min, max               int // in minor units
	percentage             int // in ten-thousandths of a percent
	days                   int
	unique                 bool // of references
}

// modelPolicy has its bounds in ten-thousandths of a unit; -1 is none.
type modelPolicy struct {
	min, max   int
	currencies []string
}

type modelPosition struct {
	template                                           int
	holder, reference                                  string
	state                                              string
	amount, funded, released, refunded, held, retained int
	expires                                            time.Time // zero: never
	steps                                              []modelStep
}

type modelStep struct {
	from, to string
	amount   int
}

func (p modelPosition) same(other modelPosition) bool {
	sums := func(p modelPosition) [7]int {
		return [7]int{p.template, p.amount, p.funded, p.released, p.refunded, p.held, p.retained}
	}
	return sums(p) == sums(other) && p.holder == other.holder && p.reference == other.reference && p.state == other.state && p.expires.Equal(other.expires) && slices.Equal(p.steps, other.steps)
}

// copy is the model as it is now, whatever becomes of the model.
func (m *model) copy() model {
	copied := *m
	copied.positions = slices.Clone(m.positions)
	for i := range copied.positions {
		copied.positions[i].steps = slices.Clone(m.positions[i].steps)
	}
	return copied
}

// batch decides on a batch's items one after the other, each at its own moment.
func (m *model) batch(now time.Time, atomic bool, items []func(at time.Time) string) (codes []string, done bool) {
	before, done := m.copy(), true
	for _, decide := range items {
		code := decide(m.moment(now))
		codes = append(codes, code)
		done = done && code == ""
	}
	if atomic && !done {
		*m = before
	}
	return codes, done || !atomic
}

// decimalsOf are the decimals of the currencies that a run uses.
func decimalsOf(currency string) int {
	return map[string]int{"USD": 2, "EUR": 2, "JPY": 0, "KWD": 3}[currency]
}

// units writes an amount of minor units.
func units(amount, decimals int) string {
	if decimals == 0 {
		return strconv.Itoa(amount)
	}
	digits := fmt.Sprintf("%0*d", decimals+1, amount)
	return digits[:len(digits)-decimals] + "." + digits[len(digits)-decimals:]
}

// moment is when the next entry is: now, in whole microseconds, but after the last
// one.
func (m *model) moment(now time.Time) time.Time {
	now = time.UnixMicro(now.UnixMicro())
	if now.After(m.last) {
		return now
	}
	return m.last.Add(time.Microsecond)
}

// accepted counts an entry.
func (m *model) accepted(at time.Time) string {
	m.sequence++
	m.last = at
	return ""
}

// Each command returns the code of its refusal, and nothing when it is accepted.
// A key is named by its place, -1 is one that does not exist, and so are assets
// and positions.

func (m *model) setPolicy(at time.Time, region string, policy modelPolicy) string {
	if m.acting.within.some() {
		return "key_restricted"
	}
	if region != "US" && region != "SG" {
		return "invalid_input"
	}
	m.policies[region] = policy
	return m.accepted(at)
}

func (m *model) createPosition(at time.Time, asset int, holder, currency string, amount int, expires time.Time, reference string) string {
	if refusal := m.acting.within.creation(asset, holder, currency, amount); refusal != "" {
		return refusal
	}
	if !expires.IsZero() && !expires.After(at) {
		return "invalid_input"
	}
	if asset == -1 {
		return "asset_not_found"
	}
	template := m.templates[asset]
	if currency != template.currency {
		return "template_currency"
	}
	if amount < template.min {
		return "template_min_amount"
	}
	if template.max != 0 && amount > template.max {
		return "template_max_amount"
	}
	if template.days != 0 {
		latest := at.Add(time.Duration(template.days) * 24 * time.Hour)
		if expires.After(latest) {
			return "template_max_tenor"
		}
		if expires.IsZero() {
			expires = latest
		}
	}
	if policy, ok := m.policies[template.region]; ok {
		tenThousandths := amount
		for range 4 - decimalsOf(currency) {
			tenThousandths *= 10
		}
		if policy.min != -1 && tenThousandths < policy.min {
			return "policy_min_amount"
		}
		if policy.max != -1 && tenThousandths > policy.max {
			return "policy_max_amount"
		}
		if policy.currencies != nil && !slices.Contains(policy.currencies, currency) {
			return "policy_currency"
		}
	}
	for _, p := range m.positions {
		if template.unique && reference != "" && p.template == asset && p.reference == reference {
			return "external_reference_taken"
		}
	}
	// A percentage in ten-thousandths is of a million; a rest counts as a whole.
	retained := amount * template.percentage / 1_000_000
	if amount*template.percentage%1_000_000 != 0 {
		retained++
	}
	m.positions = append(m.positions, modelPosition{
		template: asset, holder: holder, reference: reference, state: "CREATED", amount: amount, retained: retained, expires: expires,
		steps: []modelStep{{"", "CREATED", amount}},
	})
	return m.accepted(at)
}

// modelTransition is a request to lead a position to a state. Without an amount
// it is -1, without a version 0; due is set for the system's own.
type modelTransition struct {
	position int
	to       string
	amount   int
	version  int
	due      bool
}

func (m *model) transition(at time.Time, r modelTransition) string {
	if r.position == -1 {
		return "position_not_found"
	}
	p := &m.positions[r.position]
	if refusal := m.acting.within.transition(*p, m.templates[p.template].currency, r); refusal != "" {
		return refusal
	}
	if r.version != 0 && r.version != len(p.steps) {
		return "version_mismatch"
	}
	next := map[string]string{
		"CREATED":            "FUNDED CANCELLED EXPIRED",
		"FUNDED":             "PARTIALLY_RELEASED RELEASED CANCELLED EXPIRED",
		"PARTIALLY_RELEASED": "PARTIALLY_RELEASED RELEASED CANCELLED EXPIRED",
	}
	if !slices.Contains(strings.Fields(next[p.state]), r.to) {
		return "invalid_transition"
	}
	overdue := !p.expires.IsZero() && !at.Before(p.expires)
	if r.due && !overdue {
		return "invalid_transition"
	}
	if overdue && (r.to == "FUNDED" || r.to == "PARTIALLY_RELEASED" || r.to == "RELEASED") {
		return "position_expired"
	}
	if r.amount == 0 {
		return "invalid_input"
	}
	moved := r.amount
	switch r.to {
	case "FUNDED":
		moved = p.amount
	case "RELEASED", "CANCELLED", "EXPIRED":
		moved = p.held
	case "PARTIALLY_RELEASED":
		if moved >= p.held {
			return "transition_amount"
		}
		if p.held-moved < p.retained {
			return "template_retainage"
		}
	}
	if r.amount != -1 && r.amount != moved {
		return "transition_amount"
	}
	switch r.to {
	case "FUNDED":
		p.funded, p.held = moved, moved
	case "PARTIALLY_RELEASED", "RELEASED":
		p.held -= moved
		p.released += moved
	case "CANCELLED", "EXPIRED":
		p.held -= moved
		p.refunded += moved
	}
	p.steps = append(p.steps, modelStep{p.state, r.to, moved})
	p.state = r.to
	return m.accepted(at)
}
