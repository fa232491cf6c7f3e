package escrow

import (
	"cmp"
	"errors"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// MaxSubjectLength bounds what an issuer calls a person, in characters: it is OpenID Connect's own bound.
const MaxSubjectLength = 255

// User is a person of an institution, known by what its identity provider calls them.
type User struct {
	ID            UserID
	InstitutionID InstitutionID
	Identity
	// DisplayName and Email are empty where no token has told them. Neither says who somebody is.
	DisplayName string
	Email       string
	JoinedAt    time.Time
	UpdatedAt   time.Time
	SuspendedAt *time.Time // nil while the user is not suspended
	// Suspensions counts how often the user was suspended: what began before the last of them has
	// ended with it, whatever came after.
	Suspensions int64
	Version     int64 // 1 when joined, one more with each change
}

// Identity is what a person is called: by an issuer, for ever.
type Identity struct {
	Issuer string
	// Subject is empty where it was erased; nobody is found by that.
	Subject string
}

func (i Identity) compare(other Identity) int {
	return cmp.Or(strings.Compare(i.Issuer, other.Issuer), strings.Compare(i.Subject, other.Subject))
}

// UserFilter chooses users.
type UserFilter struct {
	Period
	// IncludeSuspended lists those who are suspended, too.
	IncludeSuspended bool
}

// PersonInput is what a token says of a person.
type PersonInput struct{ Issuer, Subject, Name, Email string }

// JoinUser makes a user at the first login. Its actor is ActorUser of no id, with the Membership that the
// token gives, and its entry has the new user as actor. It takes no permission, but an identity
// provider of the issuer, and is refused with CodeTokenIssuerUnknown without. Where there is a user of
// the identity already, it changes nothing and answers with that one, whatever groups they are in; who
// is new needs a group that has a role, or is refused with NoGroupWithRole.
type JoinUser struct {
	identity    Identity
	name, email string
}

// NewJoinUser checks the input: issuer and subject are required. A name and an e-mail address that cannot
// be shown are left out, as nobody can log in otherwise because of them.
func NewJoinUser(in PersonInput) (JoinUser, Faults) {
	var faults Faults
	faults.check("subject", checkSubject(in.Subject))
	command := JoinUser{
		identity: Identity{Issuer: faults.issuer(in.Issuer), Subject: in.Subject},
		name:     shownText(in.Name),
		email:    shownText(in.Email),
	}
	return command, faults
}

// checkSubject checks a subject, which is taken as it is.
func checkSubject(subject string) error {
	switch {
	case subject == "":
		return errors.New("is required")
	case !utf8.ValidString(subject) || strings.ContainsFunc(subject, unicode.IsControl):
		return errors.New("must be valid UTF-8 without control characters")
	case utf8.RuneCountInString(subject) > MaxSubjectLength:
		return errors.New("is too long")
	}
	return nil
}

// shownText returns a text that a token has, empty where it cannot be shown.
func shownText(text string) string {
	text = strings.TrimSpace(text)
	if checkText(text, MaxPersonLength) != nil {
		return ""
	}
	return text
}

// Needs implements Command.
func (c JoinUser) Needs() Needs { return Needs{Provider: true, Identities: []Identity{c.identity}} }

// permission implements single: who joins has none yet.
func (JoinUser) permission() Permission { return "" }

func (c JoinUser) decide(b *Books, r Request, s stamp) (event, *Error) {
	if r.Actor != ActorUser(UserID{}) || c.identity.Issuer != r.Membership.Issuer {
		return nil, UnknownIssuer()
	}
	for _, user := range b.Users.All() {
		if user.Identity == c.identity {
			return unchanged{name: user.ID.String(), state: user}, nil
		}
	}

	// A provider signs for all of its people, and not all of them are the institution's.
	if provider, _ := b.Providers.Get(b.institutionID); !provider.HasRoleFor(r.Membership.Groups) {
		return nil, NoGroupWithRole(r.Membership.Groups)
	}
	return userJoined{newUserState(User{
		ID:          UserID(s.id),
		Identity:    c.identity,
		DisplayName: c.name,
		Email:       c.email,
		JoinedAt:    s.at,
		Version:     1,
	})}, nil
}

// UpdateUser notes what a later token says of its user, who is the actor; it takes no permission. What
// the token does not say stays as it is.
type UpdateUser struct{ name, email string }

// NewUpdateUser checks the input as NewJoinUser does; of it only name and e-mail address count.
func NewUpdateUser(in PersonInput) UpdateUser {
	return UpdateUser{name: shownText(in.Name), email: shownText(in.Email)}
}

// Changes reports whether the command changes a user.
func (c UpdateUser) Changes(user User) bool { return c.of(user) != user }

// of returns the user with what the token says.
func (c UpdateUser) of(user User) User {
	user.DisplayName = cmp.Or(c.name, user.DisplayName)
	user.Email = cmp.Or(c.email, user.Email)
	return user
}

// Needs implements Command. The user is the actor, whom the request asks for.
func (UpdateUser) Needs() Needs { return Needs{} }

// permission implements single: everybody may say who they are.
func (UpdateUser) permission() Permission { return "" }

func (c UpdateUser) decide(b *Books, r Request, _ stamp) (event, *Error) {
	user, ok := b.Users.Get(r.Actor.User)
	if !r.Actor.IsUser() || !ok {
		return nil, InvalidToken()
	}
	if !c.Changes(user) {
		return unchanged{name: user.ID.String(), state: user}, nil
	}
	user = c.of(user)
	user.Version++
	return userUpdated{newUserState(user)}, nil
}

// SuspendUser keeps a user out at once, until they are restored: they can do nothing, and their sessions
// have ended for good. To suspend one who is suspended changes nothing. The versions are those that the
// user may have; nil is any.
type SuspendUser struct {
	User      UserID
	IfVersion []int64
}

// Needs implements Command.
func (c SuspendUser) Needs() Needs { return Needs{Users: []UserID{c.User}} }

// permission implements single.
func (SuspendUser) permission() Permission { return PermissionUsersManage }

func (c SuspendUser) decide(b *Books, _ Request, s stamp) (event, *Error) {
	user, refusal := b.user(c.User, c.IfVersion)
	if refusal != nil {
		return nil, refusal
	}
	if user.SuspendedAt != nil {
		return unchanged{name: c.User.String(), state: user}, nil
	}
	user.SuspendedAt = &s.at
	user.Suspensions++
	user.Version++
	return userSuspended{newUserState(user)}, nil
}

// RestoreUser lets a user in again who was suspended; nobody restores themselves, as they cannot do
// anything. To restore one who is not suspended changes nothing. The versions are those that the user
// may have; nil is any.
type RestoreUser struct {
	User      UserID
	IfVersion []int64
}

// Needs implements Command.
func (c RestoreUser) Needs() Needs { return Needs{Users: []UserID{c.User}} }

// permission implements single.
func (RestoreUser) permission() Permission { return PermissionUsersManage }

func (c RestoreUser) decide(b *Books, _ Request, _ stamp) (event, *Error) {
	user, refusal := b.user(c.User, c.IfVersion)
	if refusal != nil {
		return nil, refusal
	}
	if user.SuspendedAt == nil {
		return unchanged{name: c.User.String(), state: user}, nil
	}
	user.SuspendedAt = nil
	user.Version++
	return userRestored{newUserState(user)}, nil
}

// user returns a user who is there, in one of some versions.
func (b *Books) user(id UserID, ifVersion []int64) (User, *Error) {
	user, ok := b.Users.Get(id)
	if !ok {
		return User{}, Errorf(CodeUserNotFound, "There is no user %s.", id)
	}
	return user, checkVersion(ifVersion, user.Version, "user")
}
