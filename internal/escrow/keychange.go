package escrow

// RevokeKey ends a key at once. Revoking a revoked key changes nothing.
type RevokeKey struct{ Key KeyID }

// Needs implements Command.
func (c RevokeKey) Needs() Needs { return Needs{Keys: []KeyID{c.Key}} }

// permission implements single.
func (RevokeKey) permission() Permission { return PermissionKeysManage }

func (c RevokeKey) decide(b *Books, _ Request, s stamp) (event, *Error) {
	key, ok := b.Keys.Get(c.Key)
	if !ok {
		return nil, Errorf(CodeKeyNotFound, "There is no API key %s.", c.Key)
	}
	if key.RevokedAt != nil {
		return unchanged{name: c.Key.String(), state: key}, nil
	}
	key.RevokedAt = &s.at
	key.Version++
	return keyRevoked{newKeyState(key)}, nil
}

// UpdateKey changes what a key is called.
type UpdateKey struct {
	key       KeyID
	label     *string
	ifVersion []int64
}

// NewUpdateKey checks the input: a label, or nil to leave it. The versions are those that the
// key may have; nil is any.
func NewUpdateKey(key KeyID, label *string, ifVersion []int64) (UpdateKey, Faults) {
	var faults Faults
	return UpdateKey{key: key, label: faults.change("label", label), ifVersion: ifVersion}, faults
}

// Needs implements Command.
func (c UpdateKey) Needs() Needs { return Needs{Keys: []KeyID{c.key}} }

// permission implements single.
func (UpdateKey) permission() Permission { return PermissionKeysManage }

func (c UpdateKey) decide(b *Books, _ Request, _ stamp) (event, *Error) {
	before, ok := b.Keys.Get(c.key)
	if !ok {
		return nil, Errorf(CodeKeyNotFound, "There is no API key %s.", c.key)
	}
	if refusal := checkVersion(c.ifVersion, before.Version, "API key"); refusal != nil {
		return nil, refusal
	}

	after := before
	after.Label = changed(before.Label, c.label)
	if after.Label == before.Label {
		return unchanged{name: c.key.String(), state: before}, nil
	}
	after.Version++
	return keyUpdated{newKeyState(after)}, nil
}
