package escrow

import "slices"

// OperatorRole is what one of the operator's people may do, in all institutions. Where the operator's
// people come from and who of them has which role is configured, and in no journal: there they all act
// as ActorRoot.
type OperatorRole string

// The roles of the operator's people: one that may do everything, and one that reads.
const (
	OperatorRoleRoot     OperatorRole = "root"
	OperatorRoleReadOnly OperatorRole = "root_read_only"
)

// OperatorRoles lists the roles of the operator's people.
func OperatorRoles() []OperatorRole { return []OperatorRole{OperatorRoleRoot, OperatorRoleReadOnly} }

// RightsOfOperator returns what somebody of the operator may do who has some roles: nothing, without
// any.
//
// A command of ActorRoot is allowed everything under the lock of the journal. Who has the reading role
// alone must therefore be refused by the permission of the route, before there is a command.
func RightsOfOperator(roles ...OperatorRole) (rights Rights) {
	if slices.Contains(roles, OperatorRoleRoot) {
		return AllRights()
	}
	if slices.Contains(roles, OperatorRoleReadOnly) {
		rights.Permissions = readings | inspections |
			permissionSet(PermissionMetricsRead, PermissionSecurityEventsRead)
	}
	return rights
}
