package escrow

import (
	"crypto/hkdf"
	"crypto/sha256"
)

// Operators says who acts for the operator. It is configured, and in no journal.
type Operators struct {
	// RootKey is the operator's key; empty where it is turned off. One that it replaces, and that is still
	// valid beside it, begins no sessions.
	RootKey string
	// Issuer and ClientID are those of the identity provider that the operator's people come from, and
	// RoleByGroup the roles of its groups; empty where they come from none.
	Issuer, ClientID string
	RoleByGroup      map[string]OperatorRole
}

// NewOperatorID returns the id of one of the operator's people, by what an issuer calls them. No table
// has it: it is made of the first 16 bytes of the SHA-256 of issuer, line feed and subject, as a UUIDv8
// (RFC 9562), and so is always the same. Issuers, being URLs, hold no line feed.
func NewOperatorID(issuer, subject string) OperatorID {
	hash := sha256.Sum256([]byte(issuer + "\n" + subject))
	id := OperatorID(hash[:len(OperatorID{})])

	id[6] = 8<<4 | id[6]&0x0f
	id[8] = 0b10<<6 | id[8]&0x3f
	return id
}

// Role returns the role that some groups have together, which is the widest of theirs; empty where none
// of them has any.
func (o Operators) Role(groups []string) (role OperatorRole) {
	for _, group := range groups {
		switch o.RoleByGroup[group] {
		case OperatorRoleRoot:
			return OperatorRoleRoot
		case OperatorRoleReadOnly:
			role = OperatorRoleReadOnly
		}
	}
	return role
}

// Vouch returns what ties a session of the operator's to who vouches for its actor now: the root key, or
// the issuer and the client of the operator's people. It is nil where nobody does. It tells nothing about
// the root key to who cannot guess it, and differs with each session.
func (o Operators) Vouch(s Session) []byte {
	var voucher string
	switch s.Actor.kind {
	case rootActor:
		voucher = o.RootKey
	case operatorActor:
		if o.Issuer != "" {
			voucher = o.Issuer + "\n" + o.ClientID
		}
	case keyActor, userActor, systemActor:
	}
	if voucher == "" {
		return nil
	}

	derived, err := hkdf.Key(sha256.New, []byte(voucher), s.ID[:], "escrowgrid session of the operator", sha256.Size)
	if err != nil {
		panic(err) // only for lengths that HKDF cannot give
	}
	return derived
}
