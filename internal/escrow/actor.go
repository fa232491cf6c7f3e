package escrow

import "fmt"

// Actor is who did something: an API key, the operator, or the system itself.
type Actor struct {
	// Key is the acting key, zero for the operator and the system.
	Key  KeyID
	word string
}

// ActorRoot is the operator, with the root key.
func ActorRoot() Actor { return Actor{word: "root"} }

// ActorSystem is the platform itself, for what it does by the clock.
func ActorSystem() Actor { return Actor{word: "system"} }

// ActorKey is an institution's API key.
func ActorKey(key KeyID) Actor { return Actor{Key: key} }

// ParseActor reads what String writes.
func ParseActor(text string) (Actor, error) {
	if text == "root" || text == "system" {
		return Actor{word: text}, nil
	}
	key, err := ParseID[keyKind](text)
	if err != nil {
		return Actor{}, fmt.Errorf("must be root, system or the id of an API key: %w", err)
	}
	return ActorKey(key), nil
}

// String returns "root", "system", or the key's id.
func (a Actor) String() string {
	if a.word != "" {
		return a.word
	}
	return a.Key.String()
}

// AppendText implements encoding.TextAppender; see String. It never fails.
func (a Actor) AppendText(text []byte) ([]byte, error) {
	if a.word != "" {
		return append(text, a.word...), nil
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
