package escrow

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// Four eyes are those of two persons, and not of two keys. This file says who is who.

// maxKeyLine bounds how far it is looked for who is behind a key: so many makers, each of the one before.
// Whoever has a longer line is taken for anybody's relation.
const maxKeyLine = 4

// maxRotations bounds how far a key is followed along its rotations: more than there are of a key that is rotated
// each week while an approval waits for as long as it can. Each takes another read.
const maxRotations = 16

// ownerName names an owner of keys, however the name was typed.
func ownerName(owner string) string {
	return "owner " + strings.ToLower(strings.Join(strings.Fields(owner), " "))
}

// namesOf lists the names that an actor goes by: two who have one in common are the same person. A key goes
// by its owner, and by the first of the keys that it was rotated from; one that names no owner also goes
// by the names of who made it, if that is a key or a user. A user goes by the id, and is the owner of keys
// who is named with it, or with the e-mail address. The books must have whom keysBehind and usersBehind list.
func (b *Books) namesOf(a Actor) (names []string) {
	for range maxKeyLine + 1 {
		key, isKey := b.Keys.Get(a.Key)
		if !isKey {
			return append(names, b.namesWithoutKey(a)...)
		}

		names = append(names, cmp.Or(key.Origin, key.ID).String())
		if key.Owner != "" {
			return append(names, ownerName(key.Owner))
		}
		if a = key.CreatedBy; !a.isTenants() {
			return names
		}
	}
	return names
}

func (b *Books) namesWithoutKey(a Actor) []string {
	switch {
	case a.IsOperators():
		// Its people can have the root key, too.
		return []string{a.String(), ActorRoot().String()}
	case !a.IsUser():
		return []string{a.String()}
	}
	names := []string{a.String(), ownerName(a.String())}
	if user, ok := b.Users.Get(a.User); ok && user.Email != "" {
		names = append(names, ownerName(user.Email))
	}
	return names
}

// lineOf lists the names of an actor and of those behind it: who made its key, and so knew the secret, who
// made the key with which that was done, and so on. All is false where the line is too long to tell. The
// operator counts where it has made the key itself: it could have made all others.
func (b *Books) lineOf(a Actor) (names []string, all bool) {
	names = b.namesOf(a)
	for makers := range maxKeyLine + 1 {
		if a.Key.IsZero() {
			return names, true
		}
		key, known := b.Keys.Get(a.Key)
		if !known {
			return names, false
		}

		if a = key.CreatedBy; a == (Actor{}) || !a.isTenants() && makers > 0 {
			return names, true
		}
		names = append(names, b.namesOf(a)...)
	}
	return names, false
}

// isSame reports whether two actors are the same person.
func (b *Books) isSame(one, other Actor) bool { return haveCommon(b.namesOf(one), b.namesOf(other)) }

// areRelated reports whether one of two actors could be the other: they are the same person, or one is
// behind the other.
func (b *Books) areRelated(one, other Actor) bool {
	line, all := b.lineOf(one)
	otherLine, otherAll := b.lineOf(other)
	return !all || !otherAll || haveCommon(line, b.namesOf(other)) || haveCommon(otherLine, b.namesOf(one))
}

func haveCommon(some, others []string) bool {
	return slices.ContainsFunc(some, func(name string) bool { return slices.Contains(others, name) })
}

// isTenants reports whether the actor is a key or a user of an institution.
func (a Actor) isTenants() bool { return !a.Key.IsZero() || a.IsUser() }

// keysBehind lists the keys that must be known to tell who some actors are, and whether they may still
// act: theirs, and, as far as the books have these, those that made them and those that they were rotated to.
func (b *Books) keysBehind(actors ...Actor) []KeyID {
	behind := make(map[KeyID]bool)
	for _, actor := range actors {
		for a, makers := actor, 0; !a.Key.IsZero() && makers <= maxKeyLine; makers++ {
			behind[a.Key] = true
			key, _ := b.Keys.Get(a.Key)
			a = key.CreatedBy
		}
		for id, rotations := actor.Key, 0; !id.IsZero() && rotations <= maxRotations; rotations++ {
			behind[id] = true
			key, _ := b.Keys.Get(id)
			id = key.RotatedTo
		}
	}
	return distinctIDs(slices.Collect(maps.Keys(behind)))
}

// usersBehind lists the users among some actors and those who made their keys.
func (b *Books) usersBehind(actors ...Actor) (users []UserID) {
	for _, actor := range actors {
		for a, makers := actor, 0; makers <= maxKeyLine+1; makers++ {
			if !a.User.IsZero() {
				users = append(users, a.User)
			}
			key, _ := b.Keys.Get(a.Key)
			a = key.CreatedBy
		}
	}
	return distinctIDs(users)
}

// hasStanding reports whether who has asked or approved has not lost the right to act since: no key that was
// revoked, or rotated to one that was, no user who was suspended, or whose identity provider was removed. A
// key that has expired has acted in time.
func (b *Books) hasStanding(a Actor) bool {
	stands, followed := b.standing(a)
	return stands && followed
}

// standing is hasStanding, and whether a key could be followed to the last that it was rotated to.
func (b *Books) standing(a Actor) (stands, followed bool) {
	if a.IsUser() {
		user, known := b.Users.Get(a.User)
		provider, _ := b.Providers.Get(b.institutionID)
		return known && user.SuspendedAt == nil && provider.IsSet() && provider.Issuer == user.Issuer, true
	}

	id := a.Key
	for range maxRotations + 1 {
		if id.IsZero() {
			return true, true
		}
		key, known := b.Keys.Get(id)
		if !known || key.RevokedAt != nil && key.RotatedTo.IsZero() {
			return false, true
		}
		id = key.RotatedTo
	}
	return true, id.IsZero()
}

// rolesOf returns the roles of who makes a request, as far as they allow to decide on approvals: that of
// its key, or those of its user's groups.
func (b *Books) rolesOf(r Request) (roles []RoleName) {
	if key, ok := b.Keys.Get(r.Actor.Key); ok && key.Role != "" {
		roles = append(roles, key.Role)
	}
	if r.Actor.IsUser() {
		provider, _ := b.Providers.Get(b.institutionID)
		for _, group := range r.Membership.Groups {
			if role, ok := provider.RoleByGroup[group]; ok {
				roles = append(roles, role)
			}
		}
	}

	slices.Sort(roles)
	return slices.DeleteFunc(slices.Compact(roles), func(role RoleName) bool {
		return !permissionsOf(role, b.Roles.Get).Has(PermissionApprovalsDecide)
	})
}

// missingApprovals returns what some requirements still lack, where each of some approvers, of
// different persons, has some roles and counts for one of them: however they are best shared out.
func missingApprovals(require []RuleRequirement, approvers [][]RoleName) []RuleRequirement {
	// Each place of a requirement is taken by one approver at most: a matching of places and approvers,
	// which grows along augmenting paths (Kuhn's algorithm) until it is the largest.
	var places []RoleName
	for _, r := range require {
		for range r.Count {
			places = append(places, r.Role)
		}
	}
	taken := slices.Repeat([]int{-1}, len(places))

	var seat func(approver int, tried []bool) bool
	seat = func(approver int, tried []bool) bool {
		for i, role := range places {
			if tried[i] || !slices.Contains(approvers[approver], role) {
				continue
			}
			tried[i] = true
			if taken[i] < 0 || seat(taken[i], tried) {
				taken[i] = approver
				return true
			}
		}
		return false
	}
	for approver := range approvers {
		if !slices.Contains(taken, -1) {
			break
		}
		seat(approver, make([]bool, len(places)))
	}

	missing := []RuleRequirement{}
	for _, r := range require {
		left := 0
		for i, role := range places {
			if role == r.Role && taken[i] < 0 {
				left++
			}
		}
		if left > 0 {
			missing = append(missing, RuleRequirement{Role: r.Role, Count: left})
		}
	}
	return missing
}
