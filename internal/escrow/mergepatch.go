package escrow

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// member is one member of a JSON object.
type member struct {
	name string
	// written is the name as it stands in the object, in quotes; value is compact JSON.
	written, value jsontext.Value
}

// mergePatch applies an object to a JSON value as RFC 7396 has it: a member that is null
// removes that of its name, an object is merged into it, and any other value takes its place.
// A value that is no object counts as an empty one.
func mergePatch(target, patch []byte) (jsontext.Value, error) {
	changes, err := membersOf(patch)
	if err != nil {
		return nil, err
	}
	members, err := membersOf(target)
	if err != nil {
		return nil, err
	}

	for _, change := range changes {
		at := slices.IndexFunc(members, func(m member) bool { return m.name == change.name })
		if change.value.Kind() == 'n' {
			members = slices.DeleteFunc(members, func(m member) bool { return m.name == change.name })
			continue
		}
		if at < 0 {
			at, members = len(members), append(members, member{name: change.name, written: change.written})
		}
		if change.value.Kind() == '{' {
			if change.value, err = mergePatch(members[at].value, change.value); err != nil {
				return nil, err
			}
		}
		members[at].value = change.value
	}
	return objectOf(members), nil
}

// membersOf returns the members of an object, and none of any other value.
func membersOf(value jsontext.Value) (members []member, err error) {
	if value.Kind() != '{' {
		return nil, nil
	}

	object := jsontext.NewDecoder(bytes.NewReader(value))
	if _, err := object.ReadToken(); err != nil {
		return nil, err
	}
	for object.PeekKind() != '}' {
		written, err := object.ReadValue()
		if err != nil {
			return nil, err
		}
		name, err := jsontext.AppendUnquote(nil, written)
		if err != nil {
			return nil, err
		}
		m := member{name: string(name), written: written.Clone()} // The next read overwrites it.
		value, err := object.ReadValue()
		if err != nil {
			return nil, err
		}
		m.value = value.Clone()
		members = append(members, m)
	}
	return members, nil
}

// objectOf writes an object.
func objectOf(members []member) jsontext.Value {
	object := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			object = append(object, ',')
		}
		object = append(object, m.written...)
		object = append(object, ':')
		object = append(object, m.value...)
	}
	return append(object, '}')
}
