package escrow_test

import (
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

func TestOperatorsReadAllOrDoAllOrNothing(t *testing.T) {
	may := func(permission escrow.Permission, role escrow.OperatorRole) bool {
		return escrow.RightsOfOperator(role).Permissions.Has(permission)
	}
	for _, known := range escrow.Permissions() {
		permission := known.Permission
		reads := strings.HasSuffix(string(permission), ".read")
		if may(permission, escrow.OperatorRoleReadOnly) != reads {
			t.Errorf("root_read_only with %s: %t", permission, !reads)
		}
		if !may(permission, escrow.OperatorRoleRoot) {
			t.Errorf("root does not have %s", permission)
		}
		if may(permission, "") || may(permission, "admin") {
			t.Errorf("without a role of the operator's somebody has %s", permission)
		}
	}
}
