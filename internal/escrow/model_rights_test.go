package escrow_test

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// The part of the model that says who may do what, in words and loops.

// modelActor is who asks, as its key and its role are at the moment.
type modelActor struct {
	permissions []string
	within      modelRestriction
}

// modelRestriction names a template by the place of its one asset. What is nil does not restrict.
type modelRestriction struct {
	assets  []int
	holders []string
	max     map[string]int // in ten-thousandths of a unit
}

type modelRole struct {
	permissions []string
	version     int
}

type modelKey struct {
	role        string
	permissions []string // where it has no role
	within      modelRestriction
	expires     time.Time // zero: never
	revoked     bool
	rotated     bool
}

// builtIn reads the table of built-in roles; ok is false for another one.
func builtIn(role string) (permissions []string, ok bool) {
	lines := strings.Split(strings.TrimSpace(builtInTable), "\n")
	column := slices.Index(strings.Fields(lines[0]), role)
	if column < 0 {
		return nil, false
	}
	for _, line := range lines[1:] {
		if words := strings.Fields(line); words[column+1] == "x" {
			permissions = append(permissions, words[0])
		}
	}
	return permissions, true
}

func (m *model) permissionsOf(key modelKey) []string {
	if key.role == "" {
		return key.permissions
	}
	if permissions, ok := builtIn(key.role); ok {
		return permissions
	}
	return m.roles[key.role].permissions
}

// act notes who asks, and says whether that is anybody who may do what takes some permissions; -2 is the
// operator.
func (m *model) act(at time.Time, key int, takes ...string) string {
	m.acting = modelActor{}
	if key == -2 {
		m.acting.permissions, _ = builtIn("admin")
		return ""
	}
	if key == -1 || !m.active(at, key) {
		return "invalid_api_key"
	}
	m.acting = modelActor{m.permissionsOf(m.keys[key]), m.keys[key].within}
	return m.lacks(takes)
}

func (m *model) lacks(permissions []string) string {
	for _, permission := range permissions {
		if !slices.Contains(m.acting.permissions, permission) {
			return "permission_missing"
		}
	}
	return ""
}

func (r modelRestriction) some() bool { return r.assets != nil || r.holders != nil || r.max != nil }

// creation says whether a position is beyond it.
func (r modelRestriction) creation(asset int, holder, currency string, amount int) string {
	if r.assets != nil && !slices.Contains(r.assets, asset) || asset == -1 && r.some() {
		return "asset_not_found"
	}
	if r.holders != nil && !slices.Contains(r.holders, holder) {
		return "key_restricted"
	}
	return r.amount(currency, amount)
}

// transition says whether a step of a position is beyond it.
func (r modelRestriction) transition(p modelPosition, currency string, step modelTransition) string {
	if r.assets != nil && !slices.Contains(r.assets, p.template) || r.holders != nil && !slices.Contains(r.holders, p.holder) {
		return "position_not_found"
	}
	whole := map[string]int{
		"FUNDED": p.amount - p.funded, "PARTIALLY_RELEASED": p.held, "RELEASED": p.held, "CANCELLED": p.held, "EXPIRED": p.held,
	}[step.to]
	moved := whole
	if step.to == "PARTIALLY_RELEASED" {
		if moved = step.amount; moved >= p.held || p.held-moved < p.retained {
			moved = 0 // It will be refused.
		}
	} else if step.amount != -1 && step.amount != whole {
		moved = 0
	}
	return r.amount(currency, moved)
}

func (r modelRestriction) amount(currency string, amount int) string {
	if r.max == nil {
		return ""
	}
	for range 4 - decimalsOf(currency) {
		amount *= 10
	}
	if most, ok := r.max[currency]; !ok || amount > most {
		return "key_restricted"
	}
	return ""
}

func (m *model) active(at time.Time, key int) bool {
	k := m.keys[key]
	return !k.revoked && (k.expires.IsZero() || k.expires.After(at))
}

func (m *model) createKey(at time.Time, key modelKey) string {
	if m.acting.within.some() {
		return "key_restricted"
	}
	if refusal := m.lacks(m.permissionsOf(key)); refusal != "" {
		return refusal
	}
	if !key.expires.IsZero() && !key.expires.After(at) {
		return "invalid_input"
	}
	_, isBuiltIn := builtIn(key.role)
	if _, ok := m.roles[key.role]; key.role != "" && !isBuiltIn && !ok {
		return "invalid_input"
	}
	m.keys = append(m.keys, key)
	return m.accepted(at)
}

func (m *model) rotateKey(at time.Time, key int, overlap time.Duration) string {
	if m.acting.within.some() {
		return "key_restricted"
	}
	if key == -1 {
		return "api_key_not_found"
	}
	if refusal := m.lacks(m.permissionsOf(m.keys[key])); refusal != "" {
		return refusal
	}
	if m.keys[key].rotated {
		return "api_key_rotated"
	}
	if !m.active(at, key) {
		return "api_key_inactive"
	}
	m.keys[key].rotated = true
	fresh := m.keys[key]
	fresh.rotated = false
	m.keys = append(m.keys, fresh)
	end := at.Add(overlap)
	if old := &m.keys[key]; old.expires.IsZero() || old.expires.After(end) {
		old.expires = end
	}
	return m.accepted(at)
}

func (m *model) revokeKey(at time.Time, key int) string {
	if m.acting.within.some() {
		return "key_restricted"
	}
	if key == -1 {
		return "api_key_not_found"
	}
	if m.keys[key].revoked {
		return "" // and no entry
	}
	m.keys[key].revoked = true
	return m.accepted(at)
}

func (m *model) setRole(at time.Time, name string, permissions []string, version int) string {
	if m.acting.within.some() {
		return "key_restricted"
	}
	if refusal := m.lacks(permissions); refusal != "" {
		return refusal
	}
	role, known := m.roles[name]
	if version != 0 && version != role.version {
		return "version_mismatch"
	}
	if known && slices.Equal(role.permissions, permissions) {
		return "" // and no entry
	}
	m.roles = maps.Clone(m.roles)
	m.roles[name] = modelRole{permissions, role.version + 1}
	return m.accepted(at)
}
