package escrow

import (
	"regexp"
	"slices"
	"time"
)

// RoleName names a set of permissions: a built-in one, or an institution's own.
type RoleName string

// The built-in roles. BuiltInRoles explains each.
const (
	RoleAdmin      RoleName = "admin"
	RoleOperator   RoleName = "operator"
	RoleMaker      RoleName = "maker"
	RoleApprover   RoleName = "approver"
	RoleCompliance RoleName = "compliance"
	RoleAuditor    RoleName = "auditor"
	RoleReadOnly   RoleName = "read_only"
	RoleHolder     RoleName = "holder"
)

// MaxRoles bounds the roles that an institution can set for itself: a person can tell so many
// apart, and all of them are read together.
const MaxRoles = 100

// BuiltInRole is a role that each institution has.
type BuiltInRole struct {
	Name RoleName
	// Is says in a sentence whom the role is for.
	Is          string
	Permissions PermissionSet
}

// readings is what everybody may who works for an institution.
var readings = permissionSet(
	PermissionInstitutionsRead, PermissionPoliciesRead, PermissionTemplatesRead, PermissionAssetsRead,
	PermissionPositionsRead, PermissionHoldsRead, PermissionReportsRead, PermissionProofsRead,
	PermissionApprovalsRead,
)

// movings is what creates positions and moves them.
var movings = permissionSet(
	PermissionPositionsCreate, PermissionPositionsFund, PermissionPositionsRelease, PermissionPositionsCancel,
)

// inspections is what looks behind the business.
var inspections = permissionSet(
	PermissionKeysRead, PermissionUsersRead, PermissionRolesRead, PermissionPersonalDataRead, PermissionAuditRead,
	PermissionJournalRead,
)

var builtInRoles = []BuiltInRole{
	{RoleAdmin, "Does all that there is to do in its institution.", permissionSet(TenantPermissions()...)},
	{
		RoleOperator, "Creates and moves positions, and places holds on them.",
		readings | movings | permissionSet(PermissionHoldsPlace),
	},
	{
		RoleMaker, "Prepares business: creates assets and positions, and moves positions.",
		readings | movings | permissionSet(PermissionAssetsCreate, PermissionAssetsUpdate),
	},
	{
		RoleApprover, "Approves what others ask for, and asks for nothing itself.",
		readings | permissionSet(PermissionRolesRead, PermissionApprovalsDecide),
	},
	{
		RoleCompliance, "Inspects everything, sets policies, places and lifts holds, approves what others ask for, " +
			"and erases personal data.",
		readings | inspections | permissionSet(
			PermissionPoliciesSet, PermissionPositionsErase, PermissionApprovalsDecide,
			PermissionHoldsPlace, PermissionHoldsLift, PermissionHoldsLegal,
		),
	},
	{RoleAuditor, "Reads everything, and changes nothing.", readings | inspections},
	{RoleReadOnly, "Reads the business, and changes nothing.", readings},
	{
		RoleHolder, "Reads the positions of its own holder references alone.",
		permissionSet(PermissionPositionsRead, PermissionProofsRead),
	},
}

// BuiltInRoles describes the roles that each institution has.
func BuiltInRoles() []BuiltInRole { return slices.Clone(builtInRoles) }

// builtInNames lists the names of the built-in roles.
func builtInNames() []RoleName {
	names := make([]RoleName, len(builtInRoles))
	for i, role := range builtInRoles {
		names[i] = role.Name
	}
	return names
}

// builtIn finds a built-in role.
func (n RoleName) builtIn() (BuiltInRole, bool) {
	at := slices.IndexFunc(builtInRoles, func(role BuiltInRole) bool { return role.Name == n })
	if at < 0 {
		return BuiltInRole{}, false
	}
	return builtInRoles[at], true
}

// IsBuiltIn reports whether the role is one that each institution has.
func (n RoleName) IsBuiltIn() bool {
	_, ok := n.builtIn()
	return ok
}

// Role is a set of permissions that an institution has given a name.
type Role struct {
	InstitutionID InstitutionID
	Name          RoleName
	Permissions   PermissionSet
	Version       int64 // 1 when first set, one more with each change
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// roleName is the form of a role's name.
var roleName = regexp.MustCompile(`^[a-z][a-z0-9_]{0,62}$`)

// RoleInput is what a client gives to set a role.
type RoleInput struct {
	Permissions []string
}

// SetRole makes or replaces a role of an institution. Whoever has it has its new permissions at
// once.
type SetRole struct {
	name        RoleName
	permissions PermissionSet
	ifVersion   []int64
}

// NewSetRole checks the input. Without permissions the role allows nothing. The versions are those
// that the role may have; nil is any.
func NewSetRole(name string, in RoleInput, ifVersion []int64) (SetRole, Faults) {
	var faults Faults
	command := SetRole{
		name:        faults.roleName("name", name),
		permissions: faults.permissions("permissions", in.Permissions),
		ifVersion:   ifVersion,
	}
	if command.name.IsBuiltIn() {
		faults.Add("name", "must not be that of a built-in role, which nobody changes")
	}
	return command, faults
}

// roleName reads the name of a role.
func (f *Faults) roleName(field, text string) RoleName {
	if !roleName.MatchString(text) {
		f.Add(field, "must be 1 to 63 small letters, digits and underscores, beginning with a letter")
	}
	return RoleName(text)
}

// Needs implements Command.
func (SetRole) Needs() Needs { return Needs{Roles: true} }

// permission implements single.
func (SetRole) permission() Permission { return PermissionRolesManage }

// gives implements giving.
func (c SetRole) gives(*Books) Rights { return Rights{Permissions: c.permissions} }

func (c SetRole) decide(b *Books, _ Request, s stamp) (event, *Error) {
	role, known := b.Roles.Get(c.name)
	if refusal := checkVersion(c.ifVersion, role.Version, "role"); refusal != nil {
		return nil, refusal
	}
	if known && role.Permissions == c.permissions {
		return unchanged{name: RoleSubject(c.name), state: role}, nil
	}

	createdAt := role.CreatedAt
	if !known {
		if count := b.Roles.Len(); count >= MaxRoles {
			return nil, Errorf(CodeRoleLimit, "The institution has %d roles of its own, which is the most.", count)
		}
		createdAt = s.at
	}
	return roleSet{
		Name:        c.name,
		Permissions: c.permissions,
		Version:     role.Version + 1,
		CreatedAt:   FormatTime(createdAt),
	}, nil
}

// KindRoleSet is the kind of an entry that records a role.
const KindRoleSet Kind = "ROLE_SET"

var roleEventKinds = []eventKind{{kind: KindRoleSet, decode: decodeEvent[roleSet]}}

// roleSet tells the whole role, so that each entry by itself tells what it was.
type roleSet struct {
	Name        RoleName      `json:"name"`
	Permissions PermissionSet `json:"permissions"`
	Version     int64         `json:"version"`
	CreatedAt   string        `json:"createdAt"`
}

// RoleSubject is how a journal names a role.
func RoleSubject(name RoleName) string { return "role/" + string(name) }

func (e roleSet) kind() Kind      { return KindRoleSet }
func (e roleSet) subject() string { return RoleSubject(e.Name) }

func (e roleSet) rewrites() Needs { return Needs{Roles: true} }

func (e roleSet) resource(b *Books, _ Entry) Resource { return b.Roles.mustGet(e.Name) }

func (e roleSet) apply(b *Books, entry Entry) error {
	var reader storedReader
	role := Role{
		InstitutionID: entry.InstitutionID,
		Name:          e.Name,
		Permissions:   e.Permissions,
		Version:       e.Version,
		CreatedAt:     reader.time(e.CreatedAt),
		UpdatedAt:     entry.At,
	}

	if reader.err == nil {
		b.Roles.Put(e.Name, role)
	}
	return reader.err
}
