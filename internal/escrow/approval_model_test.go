package escrow_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"
)

// fourEyes is the part of the platform that approvals are about once more, in the plainest way: words,
// whole numbers, loops, and nothing of the domain's own code. Amounts are in cents.
type fourEyes struct {
	keys      []eyesKey
	positions []eyesPosition
	roles     map[string]string // of names that commands set, what they were set to
	rules     []eyesRule
	approvals []eyesApproval
	moves     []eyesMove
}

// eyesKey has its maker's place; -1 is the operator. Of keys that were rotated, chain is the place of the
// first, and next that of the key that took its place; 0 is none, as the first key is never that.
type eyesKey struct {
	role, owner        string
	maker, chain, next int
	revoked, expired   bool
}

type eyesPosition struct {
	held   int
	state  string
	closed bool
}

// eyesRule has no amount where from is -1, and no window where hours is 0.
type eyesRule struct {
	on          []string
	from, hours int
	institution bool
	require     map[string]int
	expires     time.Duration
}

type eyesStep struct {
	position int
	to       string
	amount   int // -1: none was given
}

// eyesCommand has steps, of which there is one unless it is a batch; or it sets a role.
type eyesCommand struct {
	steps       []eyesStep
	batch       bool
	role, value string
}

type eyesApproval struct {
	maker   int
	command eyesCommand
	rules   []eyesRule
	subject []eyesStep // of each step, with what it moves
	given   []int
	expires time.Time
	status  string
	erased  bool
}

type eyesMove struct {
	by         string
	hour       int
	permission string
	amount     int
}

var eyesPermissions = map[string]string{
	"PARTIALLY_RELEASED": "positions.release", "RELEASED": "positions.release", "CANCELLED": "positions.cancel",
}

// root is the operator's place among keys.
const eyesRoot = -1

func (m *fourEyes) mayAct(key int) bool {
	return key == eyesRoot || !m.keys[key].revoked && !m.keys[key].expired
}

func (m *fourEyes) mayMove(key int) bool {
	return key == eyesRoot || m.keys[key].role == "admin" || m.keys[key].role == "operator"
}

func (m *fourEyes) mayManage(key int) bool { return key == eyesRoot || m.keys[key].role == "admin" }

func (m *fourEyes) mayDecide(key int) bool { return key == eyesRoot || m.keys[key].role != "operator" }

// names are those of one person.
func (m *fourEyes) names(key int) []string {
	if key == eyesRoot {
		return []string{"root"}
	}
	names := []string{"key " + strconv.Itoa(m.keys[key].chain)}
	if m.keys[key].owner != "" {
		return append(names, m.keys[key].owner)
	}
	if m.keys[key].maker != eyesRoot {
		names = append(names, m.names(m.keys[key].maker)...)
	}
	return names
}

// behind are the names of all who could know a key's secret.
func (m *fourEyes) behind(key int) []string {
	names := m.names(key)
	for direct := true; key != eyesRoot; direct = false {
		if key = m.keys[key].maker; key != eyesRoot || direct {
			names = append(names, m.names(key)...)
		}
	}
	return names
}

func (m *fourEyes) related(a, b int) bool {
	return share(m.names(a), m.behind(b)) || share(m.names(b), m.behind(a))
}

func share(a, b []string) bool {
	for _, one := range a {
		if slices.Contains(b, one) {
			return true
		}
	}
	return false
}

// stands says whether who asked or approved may still act.
func (m *fourEyes) stands(key int) bool {
	if key == eyesRoot {
		return true
	}
	for m.keys[key].next != 0 {
		key = m.keys[key].next
	}
	return !m.keys[key].revoked
}

// seats counts how many of the places that a rule has can be taken by some people, each with the roles that
// they have, trying every way.
func seats(places map[string]int, people [][]string) int {
	if len(people) == 0 {
		return 0
	}
	best := seats(places, people[1:])
	for _, role := range people[0] {
		if places[role] > 0 {
			left := maps.Clone(places)
			left[role]--
			best = max(best, 1+seats(left, people[1:]))
		}
	}
	return best
}

func (m *fourEyes) lacking(rules []eyesRule, given []int) (sum int) {
	var people [][]string
	for _, key := range given {
		people = append(people, []string{m.keys[key].role})
	}
	for _, rule := range rules {
		for _, count := range rule.require {
			sum += count
		}
		sum -= seats(rule.require, people)
	}
	return sum
}

// setRules says whether there are people enough for them.
func (m *fourEyes) setRules(rules []eyesRule) string {
	var persons [][]string // the names of each, merged
	var roles [][]string
	for i, key := range m.keys {
		if key.revoked || key.expired {
			continue
		}
		names, has := m.names(i), []string{key.role}
		for j, other := range slices.Backward(persons) {
			if share(names, other) {
				names, has = append(names, persons[j]...), append(has, roles[j]...)
				persons, roles = slices.Delete(persons, j, j+1), slices.Delete(roles, j, j+1)
			}
		}
		persons, roles = append(persons, names), append(roles, has)
	}
	for _, rule := range rules {
		wanted := 0
		for _, count := range rule.require {
			wanted += count
		}
		if seats(rule.require, roles) < wanted {
			return "approvers_too_few"
		}
	}
	m.rules = rules
	return ""
}

// step does one step, or says why not; amount is what it moves.
func (m *fourEyes) step(s eyesStep) (amount int, code string) {
	p := &m.positions[s.position]
	amount = m.amount(s)
	switch {
	case p.closed:
		return amount, "invalid_transition"
	case s.to == "PARTIALLY_RELEASED" && s.amount >= p.held:
		return 0, "transition_amount"
	case s.to != "PARTIALLY_RELEASED" && s.amount != -1 && s.amount != p.held:
		return 0, "transition_amount"
	}
	p.held -= amount
	p.state, p.closed = s.to, s.to != "PARTIALLY_RELEASED"
	return amount, ""
}

// isPossible says whether a step's amount can be moved.
func (m *fourEyes) isPossible(s eyesStep) bool {
	p := m.positions[s.position]
	return s.to == "PARTIALLY_RELEASED" && s.amount < p.held || s.to != "PARTIALLY_RELEASED" && (s.amount == -1 || s.amount == p.held)
}

// amount is what a step would move, and nothing where the amount is not possible.
func (m *fourEyes) amount(s eyesStep) int {
	switch {
	case !m.isPossible(s):
		return 0
	case s.to == "PARTIALLY_RELEASED":
		return s.amount
	}
	return m.positions[s.position].held
}

// facts are the steps of a command with what each moves where the ones before were done.
func (m *fourEyes) facts(c eyesCommand) (facts []eyesStep) {
	before := slices.Clone(m.positions)
	for _, s := range c.steps {
		facts = append(facts, eyesStep{s.position, s.to, m.amount(s)})
		if !m.isPossible(s) {
			facts[len(facts)-1].amount = -1
		}
		m.step(s)
	}
	m.positions = before
	return facts
}

// request says what becomes of a command: the code of its refusal, or that it waits.
func (m *fourEyes) request(now time.Time, key int, c eyesCommand, glass bool) (code string, waits bool) {
	switch {
	case !m.mayAct(key):
		return "invalid_api_key", false
	case c.role == "" && !m.mayMove(key), c.role != "" && !m.mayManage(key):
		return "permission_missing", false
	}

	facts := m.facts(c)
	if m.takesReserved(facts) {
		return "approval_pending", false
	}
	met := m.met(now, key, c, facts)
	if len(met) == 0 {
		return m.carryOut(now, key, c, c.batch), false
	}
	for _, f := range facts {
		if m.isPending(f, c) {
			return "approval_pending", false
		}
	}
	if c.role != "" && m.isPending(eyesStep{}, c) {
		return "approval_pending", false
	}
	if glass && key != eyesRoot {
		return "break_glass_forbidden", false
	}

	before := slices.Clone(m.positions)
	moved, roles := slices.Clone(m.moves), maps.Clone(m.roles)
	if c.role != "" && m.roles[c.role] == c.value {
		return "", false
	}
	code = m.carryOut(now, key, c, false)
	if code != "" || glass {
		return code, false
	}
	m.positions, m.moves, m.roles = before, moved, roles
	expires := met[0].expires
	for _, rule := range met {
		expires = min(expires, rule.expires)
	}
	m.approvals = append(m.approvals, eyesApproval{
		maker: key, command: c, rules: met, subject: facts, expires: now.Add(expires), status: "PENDING",
	})
	return "", true
}

func (m *fourEyes) takesReserved(facts []eyesStep) bool {
	asked := map[int]int{}
	for _, f := range facts {
		reserved := 0
		for _, a := range m.approvals {
			for _, s := range a.subject {
				if a.status == "PENDING" && s.position == f.position {
					reserved += s.amount
				}
			}
		}
		asked[f.position] += max(0, f.amount)
		if f.amount > 0 && reserved > 0 && asked[f.position]+reserved > m.positions[f.position].held {
			return true
		}
	}
	return false
}

func (m *fourEyes) isPending(f eyesStep, c eyesCommand) bool {
	for _, a := range m.approvals {
		if a.status != "PENDING" {
			continue
		}
		if c.role != "" && a.command.role == c.role {
			return true
		}
		for _, s := range a.subject {
			if c.role == "" && s.position == f.position && eyesPermissions[s.to] == eyesPermissions[f.to] {
				return true
			}
		}
	}
	return false
}

// met are the rules that a command meets.
func (m *fourEyes) met(now time.Time, key int, c eyesCommand, facts []eyesStep) (met []eyesRule) {
	if c.role != "" {
		facts = []eyesStep{{to: "role"}}
	}
	permission := func(f eyesStep) string {
		if f.to == "role" {
			return "roles.manage"
		}
		return eyesPermissions[f.to]
	}
	for _, rule := range m.rules {
		sum, about := 0, 0
		var others []eyesStep
		for _, f := range facts {
			if !slices.Contains(rule.on, permission(f)) {
				others = append(others, f)
				continue
			}
			if f.amount < 0 && rule.from >= 0 {
				others = append(others, f) // It has no amount that a rule could be about.
				continue
			}
			about++
			sum += max(0, f.amount)
		}
		if sum > 0 && rule.hours > 0 {
			for _, move := range m.moves {
				if slices.Contains(rule.on, move.permission) && move.hour >= hour(now)-rule.hours && (rule.institution || move.by == m.chain(key)) {
					sum += move.amount
				}
			}
		}
		if about == 0 || sum < rule.from {
			continue
		}
		if len(rule.require) > 0 {
			met = append(met, rule)
		}
		facts = others
	}
	return met
}

func hour(at time.Time) int { return int(at.Unix() / 3600) }

func (m *fourEyes) chain(key int) string {
	if key == eyesRoot {
		return "root"
	}
	return fmt.Sprint(m.keys[key].chain)
}

// carryOut does a command: in parts where some of a batch may be refused, and otherwise all or nothing.
func (m *fourEyes) carryOut(now time.Time, key int, c eyesCommand, inParts bool) string {
	if c.role != "" {
		m.roles[c.role] = c.value
		return ""
	}
	before, moves := slices.Clone(m.positions), slices.Clone(m.moves)
	windows := slices.ContainsFunc(m.rules, func(r eyesRule) bool { return r.hours > 0 })
	var first string
	for _, s := range c.steps {
		amount, code := m.step(s)
		if code != "" {
			first = code
		} else if windows {
			m.moves = append(m.moves, eyesMove{m.chain(key), hour(now), eyesPermissions[s.to], amount})
		}
	}
	if first == "" || inParts {
		return ""
	}
	m.positions, m.moves = before, moves
	if c.batch {
		return "batch_refused"
	}
	return first
}

// approve says what becomes of an approval.
func (m *fourEyes) approve(now time.Time, key, approval int) string {
	a := &m.approvals[approval]
	switch {
	case !m.mayAct(key):
		return "invalid_api_key"
	case !m.mayDecide(key):
		return "permission_missing"
	case a.status != "PENDING" || !now.Before(a.expires):
		return "approval_closed"
	case m.related(key, a.maker):
		return "approval_own"
	}
	for _, other := range a.given {
		if m.related(key, other) {
			return "approval_own"
		}
	}
	if key == eyesRoot || m.lacking(a.rules, append(slices.Clone(a.given), key)) == m.lacking(a.rules, a.given) {
		return "approval_role"
	}
	a.given = append(slices.Clone(a.given), key)
	if m.lacking(a.rules, a.given) > 0 {
		return ""
	}

	a.status = "FAILED"
	stands := m.stands(a.maker)
	for _, other := range a.given[:len(a.given)-1] {
		stands = stands && m.stands(other)
	}
	if stands && m.carryOut(now, a.maker, a.command, false) == "" {
		a.status = "EXECUTED"
	}
	return ""
}

// end ends an approval in another way.
func (m *fourEyes) end(now time.Time, key, approval int, how string) string {
	a := &m.approvals[approval]
	asked := false
	for _, rule := range a.rules {
		asked = asked || key != eyesRoot && rule.require[m.keys[key].role] > 0
	}
	switch {
	case !m.mayAct(key):
		return "invalid_api_key"
	case how == "REJECTED" && !m.mayDecide(key):
		return "permission_missing"
	case a.status != "PENDING" || !now.Before(a.expires):
		return "approval_closed"
	case how == "REJECTED" && key != eyesRoot && !asked:
		return "approval_role"
	case how == "WITHDRAWN" && !share(m.names(key), m.names(a.maker)):
		return "forbidden"
	}
	a.status = how
	return ""
}

// erase says what becomes of an erasure of an approval.
func (m *fourEyes) erase(key, approval int) string {
	a := &m.approvals[approval]
	switch {
	case !m.mayAct(key):
		return "invalid_api_key"
	case !m.mayManage(key) && m.keys[key].role != "compliance":
		return "permission_missing"
	case a.status == "PENDING":
		return "approval_open"
	}
	a.erased = true
	return ""
}

func (m *fourEyes) expire(now time.Time, approval int) string {
	a := &m.approvals[approval]
	if a.status != "PENDING" || now.Before(a.expires) {
		return "approval_closed"
	}
	a.status = "EXPIRED"
	return ""
}
