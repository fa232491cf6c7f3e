package escrow

import (
	"fmt"
	"strings"
)

// Actor is who did something: an API key, a user, one of the operator's people, the root key, or the
// system itself. The zero value is nobody.
type Actor struct {
	// Key is the acting key, User the acting user, and Operator the acting person of the operator's; at
	// most one of them is not zero, and none is for the root key and the system.
	Key      KeyID
	User     UserID
	Operator OperatorID

	kind actorKind
}

// actorKind tells actors apart whose ids are zero.
type actorKind uint8

const (
	keyActor actorKind = iota
	userActor
	operatorActor
	rootActor
	systemActor
)

// The texts of the actors without an id.
const (
	rootText   = "root"
	systemText = "system"
)

// ActorRoot is the operator, with the root key.
func ActorRoot() Actor { return Actor{kind: rootActor} }

// ActorOperator is one of the operator's people.
func ActorOperator(operator OperatorID) Actor { return Actor{Operator: operator, kind: operatorActor} }

// ActorSystem is the platform itself, for what it does by the clock.
func ActorSystem() Actor { return Actor{kind: systemActor} }

// ActorKey is an institution's API key.
func ActorKey(key KeyID) Actor { return Actor{Key: key} }

// ActorUser is a person of an institution. With the zero id it is one who is not known yet, and who
// can join and do nothing else.
func ActorUser(user UserID) Actor { return Actor{User: user, kind: userActor} }

// IsUser reports whether the actor is a user.
func (a Actor) IsUser() bool { return a.kind == userActor }

// IsOperators reports whether the actor acts for the operator: with the root key, or as one of the
// operator's people.
func (a Actor) IsOperators() bool { return a.kind == rootActor || a.kind == operatorActor }

// ParseActor reads what String writes.
func ParseActor(text string) (Actor, error) {
	switch text {
	case rootText:
		return ActorRoot(), nil
	case systemText:
		return ActorSystem(), nil
	}

	prefix, _, _ := strings.Cut(text, "_")
	switch prefix {
	case userKind{}.prefix():
		user, err := ParseID[userKind](text)
		return ActorUser(user), err
	case operatorKind{}.prefix():
		operator, err := ParseID[operatorKind](text)
		return ActorOperator(operator), err
	}

	key, err := ParseID[keyKind](text)
	if err != nil {
		return Actor{}, fmt.Errorf(
			"must be root, system or the id of an API key, a user or one of the operator's people: %w", err)
	}
	return ActorKey(key), nil
}

// String returns "root", "system", or the id of who it is.
func (a Actor) String() string {
	text, _ := a.AppendText(make([]byte, 0, maxIDLength))
	return string(text)
}

// AppendText implements encoding.TextAppender; see String. It never fails.
func (a Actor) AppendText(text []byte) ([]byte, error) {
	switch a.kind {
	case rootActor:
		return append(text, rootText...), nil
	case systemActor:
		return append(text, systemText...), nil
	case operatorActor:
		return a.Operator.AppendText(text)
	case userActor:
		return a.User.AppendText(text)
	case keyActor:
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
