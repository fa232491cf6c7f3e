package escrow

import (
	"fmt"
	"strings"
)

// Actor is who did something: an API key, a user, the operator, or the system itself.
type Actor struct {
	// Key is the acting key, and User the acting user; both are zero for the operator and the
	// system.
	Key  KeyID
	User UserID

	word   string
	isUser bool
}

// ActorRoot is the operator, with the root key.
func ActorRoot() Actor { return Actor{word: "root"} }

// ActorSystem is the platform itself, for what it does by the clock.
func ActorSystem() Actor { return Actor{word: "system"} }

// ActorKey is an institution's API key.
func ActorKey(key KeyID) Actor { return Actor{Key: key} }

// ActorUser is a person of an institution. With the zero id it is one who is not known yet, and who
// can join and do nothing else.
func ActorUser(user UserID) Actor { return Actor{User: user, isUser: true} }

// IsUser reports whether the actor is a user.
func (a Actor) IsUser() bool { return a.isUser }

// ParseActor reads what String writes.
func ParseActor(text string) (Actor, error) {
	if text == "root" || text == "system" {
		return Actor{word: text}, nil
	}
	if strings.HasPrefix(text, userKind{}.prefix()+"_") {
		user, err := ParseID[userKind](text)
		return ActorUser(user), err
	}
	key, err := ParseID[keyKind](text)
	if err != nil {
		return Actor{}, fmt.Errorf("must be root, system or the id of an API key or a user: %w", err)
	}
	return ActorKey(key), nil
}

// String returns "root", "system", or the id of the key or the user.
func (a Actor) String() string {
	text, _ := a.AppendText(make([]byte, 0, maxIDLength))
	return string(text)
}

// AppendText implements encoding.TextAppender; see String. It never fails.
func (a Actor) AppendText(text []byte) ([]byte, error) {
	switch {
	case a.word != "":
		return append(text, a.word...), nil
	case a.isUser:
		return a.User.AppendText(text)
	}
	return a.Key.AppendText(text)
}

// MarshalText implements encoding.TextMarshaler; see String.
func (a Actor) MarshalText() ([]byte, error) { return a.AppendText(make([]byte, 0, maxIDLength)) }

// UnmarshalText implements encoding.TextUnmarshaler; see ParseActor.
func (a *Actor) UnmarshalText(text []byte) (err error) {
	*a, err = ParseActor(string(text))
	return err
}
