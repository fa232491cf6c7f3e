package loadtest

import (
	"fmt"
	"slices"
	"strings"
)

// Profile is a script with its requirements.
type Profile struct {
	Name, Does string
	// saturates says that the profile drives the server to its limit, so that full use of
	// the machine is not a failure.
	saturates bool
	// asOperator says that the script creates institutions, with the root key of a private
	// server.
	asOperator bool
	// withChecker says that the script takes the key of a checker, for whom releases wait.
	withChecker bool
	// institutions is the number of institutions that share the load; 0 is one.
	institutions int
}

// Profiles lists the load profiles.
func Profiles() []Profile {
	return []Profile{
		{Name: "smoke", Does: "a few seconds, for each commit"},
		{Name: "users", Does: "up to 50 clients that create and fund with a pause, for two minutes"},
		{Name: "load", Does: "the everyday rate, with steady arrivals"},
		{Name: "stress", Does: "above the everyday rate, in steps", saturates: true},
		{Name: "spike", Does: "many times the everyday rate, suddenly and for a short time", saturates: true},
		{Name: "soak", Does: "the everyday rate for hours"},
		{Name: "breakpoint", Does: "a rate that rises until an objective breaks: the knee", saturates: true},
		{Name: "mixed", Does: "creating, funding, reading and listing in the shares of everyday work"},
		{Name: "lifecycle", Does: "every state, partial releases, retainage, expiry, refused transitions"},
		{Name: "approvals", Does: "releases that wait for the approval of a second person", withChecker: true},
		{Name: "templates-and-assets", Does: "new templates and assets"},
		{Name: "institutions", Does: "new institutions and keys, with the root key of the private server", asOperator: true},
		{Name: "hot-institution", Does: "all load on one institution", saturates: true},
		{Name: "many-institutions", Does: "the same load on many institutions", saturates: true, institutions: 20},
	}
}

// profileNamed returns the profile of a name. The error for an unknown name lists the known
// ones.
func profileNamed(name string) (Profile, error) {
	profiles := Profiles()
	if i := slices.IndexFunc(profiles, func(p Profile) bool { return p.Name == name }); i >= 0 {
		return profiles[i], nil
	}

	names := make([]string, len(profiles))
	for i, p := range profiles {
		names[i] = p.Name
	}
	return Profile{}, fmt.Errorf("profile %q is not one of %s", name, strings.Join(names, ", "))
}
