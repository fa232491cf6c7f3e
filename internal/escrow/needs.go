package escrow

import "slices"

// Needs names the rows that a command reads, all of its own institution.
type Needs struct {
	// Institution, Policies and Roles ask for the institution's row, its policies and its own roles,
	// Provider and Secrets for its identity provider and its sealed secrets, Rules for its approval rules.
	Institution, Policies, Roles, Provider, Secrets, Rules bool
	// HoldingPosition asks for one of the positions that hold money, if there are any.
	HoldingPosition bool
	// ActiveKeys asks for all keys that were active at the journal's head, beside those in Keys.
	ActiveKeys bool
	Keys       []KeyID
	Users      []UserID
	// Identities ask for the users who have them, if there are any.
	Identities []Identity
	Templates  []TemplateID
	// Assets come with their templates.
	Assets    []AssetID
	Positions []PositionID
	Erasures  []ErasureID
	Approvals []ApprovalID
	Holds     []HoldID
	// HoldsOn asks for the holds in force on these positions.
	HoldsOn []PositionID
	// PendingOn asks for the subjects of pending approvals that have these names.
	PendingOn []string
	// Moves are named by RecentMoves.Of.
	Moves []string
	// References are the external references of new positions, as far as they must be unique.
	References []AssetReference
	// Records are named by their idempotency keys.
	Records []string
}

// MergeNeeds returns what several requests on the same books read together, each
// row named once.
func MergeNeeds(requests []Request) Needs {
	var merged Needs
	for _, request := range requests {
		merged.add(request.Needs())
	}

	merged.distinct()
	return merged
}

// distinct has each row named once.
func (n *Needs) distinct() {
	n.Keys = distinctIDs(n.Keys)
	n.Users = distinctIDs(n.Users)
	slices.SortFunc(n.Identities, Identity.compare)
	n.Identities = slices.Compact(n.Identities)
	n.Templates = distinctIDs(n.Templates)
	n.Assets = distinctIDs(n.Assets)
	n.Positions = distinctIDs(n.Positions)
	n.Erasures = distinctIDs(n.Erasures)
	n.Approvals = distinctIDs(n.Approvals)
	n.Holds = distinctIDs(n.Holds)
	n.HoldsOn = distinctIDs(n.HoldsOn)
	n.PendingOn = distinctTexts(n.PendingOn)
	n.Moves = distinctTexts(n.Moves)
	n.Records = distinctTexts(n.Records)
}

func (n *Needs) add(other Needs) {
	n.Institution = n.Institution || other.Institution
	n.Policies = n.Policies || other.Policies
	n.Roles = n.Roles || other.Roles
	n.Provider = n.Provider || other.Provider
	n.Secrets = n.Secrets || other.Secrets
	n.Rules = n.Rules || other.Rules
	n.HoldingPosition = n.HoldingPosition || other.HoldingPosition
	n.ActiveKeys = n.ActiveKeys || other.ActiveKeys

	n.Keys = append(n.Keys, other.Keys...)
	n.Users = append(n.Users, other.Users...)
	n.Identities = append(n.Identities, other.Identities...)
	n.Templates = append(n.Templates, other.Templates...)
	n.Assets = append(n.Assets, other.Assets...)
	n.Positions = append(n.Positions, other.Positions...)
	n.Erasures = append(n.Erasures, other.Erasures...)
	n.Approvals = append(n.Approvals, other.Approvals...)
	n.Holds = append(n.Holds, other.Holds...)
	n.HoldsOn = append(n.HoldsOn, other.HoldsOn...)
	n.PendingOn = append(n.PendingOn, other.PendingOn...)
	n.Moves = append(n.Moves, other.Moves...)
	n.References = append(n.References, other.References...)
	n.Records = append(n.Records, other.Records...)
}

func distinctIDs[K IDKind](ids []ID[K]) []ID[K] {
	slices.SortFunc(ids, ID[K].Compare)
	return slices.Compact(ids)
}

func distinctTexts(texts []string) []string {
	slices.Sort(texts)
	return slices.Compact(texts)
}

// remove takes away what others name.
func (n *Needs) remove(others Needs) {
	n.Institution = n.Institution && !others.Institution
	n.Policies = n.Policies && !others.Policies
	n.Roles = n.Roles && !others.Roles
	n.Provider = n.Provider && !others.Provider
	n.Secrets = n.Secrets && !others.Secrets
	n.Rules = n.Rules && !others.Rules
	n.HoldingPosition = n.HoldingPosition && !others.HoldingPosition
	n.ActiveKeys = n.ActiveKeys && !others.ActiveKeys

	n.Keys = missingIn(others.Keys, n.Keys)
	n.Users = missingIn(others.Users, n.Users)
	n.Identities = missingIn(others.Identities, n.Identities)
	n.Templates = missingIn(others.Templates, n.Templates)
	n.Assets = missingIn(others.Assets, n.Assets)
	n.Positions = missingIn(others.Positions, n.Positions)
	n.Erasures = missingIn(others.Erasures, n.Erasures)
	n.Approvals = missingIn(others.Approvals, n.Approvals)
	n.Holds = missingIn(others.Holds, n.Holds)
	n.HoldsOn = missingIn(others.HoldsOn, n.HoldsOn)
	n.PendingOn = missingIn(others.PendingOn, n.PendingOn)
	n.Moves = missingIn(others.Moves, n.Moves)
	n.References = missingIn(others.References, n.References)
	n.Records = missingIn(others.Records, n.Records)
}

// missingIn returns what of a list another one does not have.
func missingIn[T comparable](has, list []T) (missing []T) {
	if len(list) == 0 {
		return nil
	}
	known := make(map[T]bool, len(has))
	for _, one := range has {
		known[one] = true
	}
	for _, one := range list {
		if !known[one] {
			missing = append(missing, one)
		}
	}
	return missing
}

// isEmpty reports whether nothing is needed.
func (n *Needs) isEmpty() bool {
	switches := n.Institution || n.Policies || n.Roles || n.Provider || n.Secrets || n.Rules || n.HoldingPosition ||
		n.ActiveKeys
	rows := len(n.Keys) + len(n.Users) + len(n.Identities) + len(n.Templates) + len(n.Assets) + len(n.Positions) +
		len(n.Erasures) + len(n.Approvals) + len(n.Holds) + len(n.HoldsOn) + len(n.PendingOn) + len(n.Moves) +
		len(n.References) + len(n.Records)
	return !switches && rows == 0
}
