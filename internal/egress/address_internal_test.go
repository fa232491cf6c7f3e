package egress

import (
	"net/netip"
	"testing"
)

// No resolver finds it. It is in no network that is refused, and would pass as public.
func TestAnAddressThatIsNoneIsNotAllowed(t *testing.T) {
	if newGuard(nil).isAllowed(netip.Addr{}) {
		t.Error("it is allowed")
	}
}
