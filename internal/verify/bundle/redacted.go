package bundle

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// parseRedacted reads the names of the members that were left out, as JSON.
func parseRedacted(text string) (members []string, err error) {
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		return nil, err
	}
	return members, CheckRedacted(members)
}

// CheckRedacted returns an error where a name is not that of a private member, or stands twice.
func CheckRedacted(members []string) error {
	for i, member := range members {
		if !slices.Contains(escrow.PrivateMembers(), member) {
			return fmt.Errorf("%q is no private member; these are: %s",
				member, strings.Join(escrow.PrivateMembers(), ", "))
		}
		if slices.Contains(members[:i], member) {
			return fmt.Errorf("%q stands twice", member)
		}
	}
	return nil
}
