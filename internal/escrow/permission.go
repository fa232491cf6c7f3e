package escrow

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/bits"
	"slices"
)

// Permission is one thing that an actor may do. Each route of the API names those of which it
// takes one, and each command the one that it is checked for under the lock of the journal.
type Permission string

// The permissions, in the order in which they are documented. Permissions explains each.
const (
	PermissionInstitutionsCreate Permission = "institutions.create"
	PermissionInstitutionsUpdate Permission = "institutions.update"
	PermissionMetricsRead        Permission = "metrics.read"
	PermissionSecurityEventsRead Permission = "security_events.read"

	PermissionInstitutionsRead Permission = "institutions.read"
	PermissionKeysRead         Permission = "keys.read"
	PermissionKeysManage       Permission = "keys.manage"
	PermissionUsersRead        Permission = "users.read"
	PermissionUsersManage      Permission = "users.manage"
	PermissionIdentitySet      Permission = "identity_provider.set"
	PermissionRolesRead        Permission = "roles.read"
	PermissionRolesManage      Permission = "roles.manage"
	PermissionPoliciesRead     Permission = "policies.read"
	PermissionPoliciesSet      Permission = "policies.set"
	PermissionTemplatesRead    Permission = "templates.read"
	PermissionTemplatesCreate  Permission = "templates.create"
	PermissionTemplatesUpdate  Permission = "templates.update"
	PermissionAssetsRead       Permission = "assets.read"
	PermissionAssetsCreate     Permission = "assets.create"
	PermissionAssetsUpdate     Permission = "assets.update"
	PermissionPositionsRead    Permission = "positions.read"
	PermissionPositionsCreate  Permission = "positions.create"
	PermissionPositionsFund    Permission = "positions.fund"
	PermissionPositionsRelease Permission = "positions.release"
	PermissionPositionsCancel  Permission = "positions.cancel"
	PermissionPositionsErase   Permission = "positions.erase"
	PermissionHoldsRead        Permission = "holds.read"
	PermissionHoldsPlace       Permission = "holds.place"
	PermissionHoldsLift        Permission = "holds.lift"
	PermissionHoldsLegal       Permission = "holds.legal"
	PermissionPersonalDataRead Permission = "personal_data.read"
	PermissionReportsRead      Permission = "reports.read"
	PermissionAuditRead        Permission = "audit.read"
	PermissionJournalRead      Permission = "journal.read"
	PermissionProofsRead       Permission = "proofs.read"
	PermissionApprovalsRead    Permission = "approvals.read"
	PermissionApprovalsDecide  Permission = "approvals.decide"
	PermissionRulesSet         Permission = "approval_rules.set"
)

// PermissionInfo describes a permission.
type PermissionInfo struct {
	Permission Permission
	// Allows says in a sentence what the permission is for.
	Allows string
	// Operators says that only the operator has it: it concerns the whole installation.
	Operators bool
}

var permissions = []PermissionInfo{
	{PermissionInstitutionsCreate, "Create institutions.", true},
	{PermissionInstitutionsUpdate, "Rename and close institutions, and accept that a journal has lost entries.", true},
	{PermissionMetricsRead, "Read the metrics of the servers.", true},
	{PermissionSecurityEventsRead, "List the attempts that were refused for reasons of security.", true},

	{PermissionInstitutionsRead, "See the institution.", false},
	{PermissionKeysRead, "List API keys and when they were last used, without their secrets.", false},
	{PermissionKeysManage, "Create, rename, rotate and revoke API keys.", false},
	{PermissionUsersRead, "See users, the sessions of others and the identity provider, without its secret.", false},
	{PermissionUsersManage, "Suspend and restore users, and end the sessions of others.", false},
	{PermissionIdentitySet, "Set and remove the identity provider, and which of its groups has which role.", false},
	{PermissionRolesRead, "See roles and their permissions.", false},
	{PermissionRolesManage, "Set the institution's own roles.", false},
	{PermissionPoliciesRead, "See policies.", false},
	{PermissionPoliciesSet, "Set policies.", false},
	{PermissionTemplatesRead, "See asset templates.", false},
	{PermissionTemplatesCreate, "Create asset templates.", false},
	{PermissionTemplatesUpdate, "Rename and close asset templates.", false},
	{PermissionAssetsRead, "See assets.", false},
	{PermissionAssetsCreate, "Create assets.", false},
	{PermissionAssetsUpdate, "Change and close assets.", false},
	{PermissionPositionsRead, "See positions, their events, statements and the ledger.", false},
	{PermissionPositionsCreate, "Create positions.", false},
	{PermissionPositionsFund, "Move positions to FUNDED.", false},
	{PermissionPositionsRelease, "Move positions to PARTIALLY_RELEASED and RELEASED.", false},
	{PermissionPositionsCancel, "Move positions to CANCELLED and EXPIRED, which refunds what they hold.", false},
	{PermissionPositionsErase, "Erase what is private of positions and approvals that have come to their end.", false},
	{PermissionHoldsRead, "See holds, why they were placed and lifted, and by whom.", false},
	{PermissionHoldsPlace, "Place holds on what positions hold.", false},
	{PermissionHoldsLift, "Lift holds.", false},
	{PermissionHoldsLegal, "Place and lift legal holds, beside the permission to place and to lift.", false},
	{
		PermissionPersonalDataRead,
		"Read all that is held about a holder, and disclose private values of single entries.", false,
	},
	{PermissionReportsRead, "Read balances and account statements of the institution.", false},
	{PermissionAuditRead, "Read who did what, and what became of erasures.", false},
	{PermissionJournalRead, "Read the journal as it is stored.", false},
	{PermissionProofsRead, "Read checkpoints and proofs of the journal.", false},
	{PermissionApprovalsRead, "See approval rules, and what waits for approval.", false},
	{PermissionApprovalsDecide, "Approve and reject what others ask for, where a rule names the role.", false},
	{PermissionRulesSet, "Set the rules that say what takes an approval, and whose.", false},
}

// Permissions describes all permissions, the operator's first.
func Permissions() []PermissionInfo { return slices.Clone(permissions) }

// TenantPermissions lists the permissions that an institution's keys and users can have.
func TenantPermissions() (all []Permission) {
	for _, known := range permissions {
		if !known.Operators {
			all = append(all, known.Permission)
		}
	}
	return all
}

// PermissionSet is a set of permissions.
type PermissionSet uint64

// allPermissions is what the operator and the system have.
var allPermissions = func() PermissionSet {
	all := make([]Permission, len(permissions))
	for i, known := range permissions {
		all[i] = known.Permission
	}
	return permissionSet(all...)
}()

// permissionSet returns the set of some permissions. One that is not known adds nothing: a stored
// role never gives more than this program knows of.
func permissionSet(of ...Permission) (set PermissionSet) {
	for _, permission := range of {
		set |= permission.bit()
	}
	return set
}

func (p Permission) bit() PermissionSet {
	at := slices.IndexFunc(permissions, func(known PermissionInfo) bool { return known.Permission == p })
	if at < 0 {
		return 0
	}
	return 1 << at
}

// Has reports whether the set has one of some permissions. Of those that are not known it has none.
func (s PermissionSet) Has(oneOf ...Permission) bool { return s&permissionSet(oneOf...) != 0 }

// Without returns what is in this set and not in another.
func (s PermissionSet) Without(other PermissionSet) PermissionSet { return s &^ other }

// List returns the permissions of the set, in the order of Permissions.
func (s PermissionSet) List() []Permission {
	list := make([]Permission, 0, bits.OnesCount64(uint64(s)))
	for i, known := range permissions {
		if s&(1<<i) != 0 {
			list = append(list, known.Permission)
		}
	}
	return list
}

// MarshalJSON implements json.Marshaler with the permissions as an array, in the order of the
// alphabet: whatever permissions there will be, what was written stays as it is.
func (s PermissionSet) MarshalJSON() ([]byte, error) {
	list := s.List()
	slices.Sort(list)
	return json.Marshal(list)
}

// UnmarshalJSON implements json.Unmarshaler. It takes what MarshalJSON writes, and nothing else: no
// permission that is not known, none twice, none in another order, and no other text of the same.
func (s *PermissionSet) UnmarshalJSON(text []byte) error {
	var list []Permission
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}

	*s = permissionSet(list...)
	if written, _ := s.MarshalJSON(); !bytes.Equal(written, text) {
		return fmt.Errorf("%s are not permissions in the order of the alphabet", text)
	}
	return nil
}

// permissions reads a list of different permissions that keys can have.
func (f *Faults) permissions(field string, texts []string) PermissionSet {
	var set PermissionSet
	for _, text := range texts {
		permission := Permission(text)
		if !slices.Contains(TenantPermissions(), permission) {
			f.Add(field, "must be one of %s, and not %.64q", join(TenantPermissions()), text)
			continue
		}
		if set.Has(permission) {
			f.Add(field, "must not name %s twice", text)
		}
		set |= permission.bit()
	}
	return set
}

// missing is the refusal of an actor that has none of some permissions.
func missing(oneOf ...Permission) *Error {
	if len(oneOf) == 1 {
		return Errorf(CodePermissionMissing, "This takes the permission %s.", oneOf[0])
	}
	return Errorf(CodePermissionMissing, "This takes one of the permissions %s.", join(oneOf))
}

// CheckPermission refuses who has none of some permissions.
func (s PermissionSet) CheckPermission(oneOf ...Permission) error {
	if !s.Has(oneOf...) {
		return missing(oneOf...)
	}
	return nil
}
