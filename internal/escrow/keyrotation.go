package escrow

import (
	"cmp"
	"time"
)

// MaxRotationOverlap bounds how long a key that was rotated stays valid beside the new one.
const MaxRotationOverlap = 30 * 24 * time.Hour

// RotateKey makes a new key that is like the old one but for its secret, and lets the old
// one expire after the overlap. Each key is rotated once.
type RotateKey struct {
	old     KeyID
	overlap time.Duration
	hash    SecretHash
}

// RotationInput is what a client gives to rotate a key.
type RotationInput struct {
	OverlapSeconds *int64
}

// NewRotateKey checks the input. Without an overlap the old key ends at once.
func NewRotateKey(key KeyID, in RotationInput, hash SecretHash) (RotateKey, Faults) {
	var faults Faults
	command := RotateKey{old: key, hash: hash}

	if seconds := in.OverlapSeconds; seconds != nil {
		if limit := int64(MaxRotationOverlap / time.Second); *seconds < 0 || *seconds > limit {
			faults.Add("overlapSeconds", "must be from 0 to %d", limit)
		} else {
			command.overlap = time.Duration(*seconds) * time.Second
		}
	}
	return command, faults
}

// Needs implements Command.
func (c RotateKey) Needs() Needs { return Needs{ActiveKeys: true, Roles: true, Keys: []KeyID{c.old}} }

// permission implements single.
func (RotateKey) permission() Permission { return PermissionKeysManage }

// gives implements giving.
func (c RotateKey) gives(b *Books) Rights {
	old, _ := b.Keys.Get(c.old)
	return RightsOfKey(old, b.Roles.Get)
}

func (c RotateKey) decide(b *Books, r Request, s stamp) (event, *Error) {
	old, ok := b.Keys.Get(c.old)
	if !ok {
		return nil, Errorf(CodeKeyNotFound, "There is no API key %s.", c.old)
	}
	if !old.RotatedTo.IsZero() {
		return nil, Errorf(CodeKeyRotated, "The API key %s was rotated to %s; rotate that one.", c.old, old.RotatedTo)
	}
	if !old.Active(s.at) {
		return nil, Errorf(CodeKeyInactive, "The API key %s is revoked or has expired; create a new one.", c.old)
	}

	oldExpiresAt := s.at.Add(c.overlap)
	if old.ExpiresAt != nil && old.ExpiresAt.Before(oldExpiresAt) {
		oldExpiresAt = *old.ExpiresAt
	}
	beside := b.activeKeys(s.at)
	if !oldExpiresAt.After(s.at) {
		beside-- // The old key makes room for the new one.
	}
	if refusal := checkKeyLimit(beside); refusal != nil {
		return nil, refusal
	}

	fresh := old
	fresh.ID, fresh.Hash, fresh.CreatedAt, fresh.Version = KeyID(s.id), c.hash, s.at, 1
	fresh.Origin = cmp.Or(old.Origin, old.ID)
	if r.Actor != ActorKey(old.ID) {
		fresh.CreatedBy = r.Actor
	}
	return keyRotated{
		keyState:          newKeyState(fresh),
		Replaces:          c.old,
		ReplacedExpiresAt: FormatTime(oldExpiresAt),
	}, nil
}
