package escrow

import "errors"

// The kinds of entry that record what became of a user.
const (
	KindUserJoined    Kind = "USER_JOINED"
	KindUserUpdated   Kind = "USER_UPDATED"
	KindUserSuspended Kind = "USER_SUSPENDED"
	KindUserRestored  Kind = "USER_RESTORED"
)

var userEventKinds = []eventKind{
	{kind: KindUserJoined, decode: decodeEvent[userJoined]},
	{kind: KindUserUpdated, decode: decodeEvent[userUpdated]},
	{kind: KindUserSuspended, decode: decodeEvent[userSuspended]},
	{kind: KindUserRestored, decode: decodeEvent[userRestored]},
}

// userState is a user as their entries carry them: whole, so that each entry by itself tells what the
// user was after it. Who they are, and what they are called, is private.
type userState struct {
	ID              UserID      `json:"id"`
	Issuer          string      `json:"issuer"`
	IdentitySubject privateText `json:"identitySubject,omitzero"`
	DisplayName     privateText `json:"displayName,omitzero"`
	Email           privateText `json:"email,omitzero"`
	JoinedAt        string      `json:"joinedAt"`
	SuspendedAt     *string     `json:"suspendedAt,omitempty"`
	Suspensions     int64       `json:"suspensions"`
	Version         int64       `json:"version"`
}

type (
	userJoined    struct{ userState }
	userUpdated   struct{ userState }
	userSuspended struct{ userState }
	userRestored  struct{ userState }
)

func newUserState(user User) userState {
	return userState{
		ID:              user.ID,
		Issuer:          user.Issuer,
		IdentitySubject: textMember(user.Subject),
		DisplayName:     textMember(user.DisplayName),
		Email:           textMember(user.Email),
		JoinedAt:        FormatTime(user.JoinedAt),
		SuspendedAt:     formatOptionalTime(user.SuspendedAt),
		Suspensions:     user.Suspensions,
		Version:         user.Version,
	}
}

// each returns the user after a function was called with each private member.
func (e userState) each(do func(string, *private)) userState {
	do("identitySubject", &e.IdentitySubject.private)
	do("displayName", &e.DisplayName.private)
	do("email", &e.Email.private)
	return e
}

func (e userJoined) withPrivate(each func(string, *private)) event { return userJoined{e.each(each)} }

func (e userUpdated) withPrivate(each func(string, *private)) event { return userUpdated{e.each(each)} }

func (e userSuspended) withPrivate(each func(string, *private)) event {
	return userSuspended{e.each(each)}
}

func (e userRestored) withPrivate(each func(string, *private)) event {
	return userRestored{e.each(each)}
}

func (userJoined) kind() Kind       { return KindUserJoined }
func (userUpdated) kind() Kind      { return KindUserUpdated }
func (userSuspended) kind() Kind    { return KindUserSuspended }
func (userRestored) kind() Kind     { return KindUserRestored }
func (e userState) subject() string { return e.ID.String() }

func (e userUpdated) rewrites() Needs   { return Needs{Users: []UserID{e.ID}} }
func (e userSuspended) rewrites() Needs { return Needs{Users: []UserID{e.ID}} }
func (e userRestored) rewrites() Needs  { return Needs{Users: []UserID{e.ID}} }

func (e userState) resource(b *Books, _ Entry) Resource { return b.Users.mustGet(e.ID) }

func (e userJoined) apply(b *Books, entry Entry) error {
	if entry.Actor != ActorUser(e.ID) {
		return errors.New("a user joins by themselves")
	}
	return e.userState.apply(b, entry)
}

func (e userState) apply(b *Books, entry Entry) error {
	var reader storedReader
	user := User{
		ID:            e.ID,
		InstitutionID: entry.InstitutionID,
		Identity:      Identity{Issuer: e.Issuer, Subject: e.IdentitySubject.value},
		DisplayName:   e.DisplayName.value,
		Email:         e.Email.value,
		JoinedAt:      reader.time(e.JoinedAt),
		UpdatedAt:     entry.At,
		SuspendedAt:   reader.optionalTime(e.SuspendedAt),
		Suspensions:   e.Suspensions,
		Version:       e.Version,
	}

	if reader.err == nil {
		b.Users.Put(e.ID, user)
	}
	return reader.err
}
