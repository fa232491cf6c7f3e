package escrow

// OperatorRole is what one of the operator's people may do, in all institutions. Where the operator's
// people come from and who of them has which role is configured, and in no journal; see Operators.
type OperatorRole string

// The roles of the operator's people: one that may do everything, and one that reads.
const (
	OperatorRoleRoot     OperatorRole = "root"
	OperatorRoleReadOnly OperatorRole = "root_read_only"
)

// OperatorRoles lists the roles of the operator's people.
func OperatorRoles() []OperatorRole { return []OperatorRole{OperatorRoleRoot, OperatorRoleReadOnly} }

// RightsOfOperator returns what one of the operator's people may do who has a role: nothing, without one.
func RightsOfOperator(role OperatorRole) (rights Rights) {
	switch role {
	case OperatorRoleRoot:
		return AllRights()
	case OperatorRoleReadOnly:
		rights.Permissions = readings | inspections |
			permissionSet(PermissionMetricsRead, PermissionSecurityEventsRead)
	}
	return rights
}
