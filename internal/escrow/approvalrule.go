package escrow

import (
	"bytes"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// The bounds of approval rules.
const (
	// MaxApprovalRules bounds the rules of an institution: a person can tell so many apart, and each
	// command is held against all of them.
	MaxApprovalRules = 50
	// MaxRequirements bounds the roles that one rule asks for, and MaxApprovers the approvals of each.
	MaxRequirements = 5
	MaxApprovers    = 10
	// MaxWindow bounds the time over which a rule adds up what was moved.
	MaxWindow = 7 * 24 * time.Hour
	// MaxApprovalTerm bounds how long an approval can wait, and DefaultApprovalTerm is how long it
	// waits where the rule does not say.
	MaxApprovalTerm     = 90 * 24 * time.Hour
	DefaultApprovalTerm = 72 * time.Hour
)

// ApprovalRules are what an institution asks to be approved, in the order in which they are looked
// through.
type ApprovalRules struct {
	InstitutionID InstitutionID
	Rules         []ApprovalRule
	Version       int64 // 1 when first set, one more with each change
	CreatedAt     time.Time
	UpdatedAt     time.Time
}

// ApprovalRule says which commands take an approval, and of whom.
type ApprovalRule struct {
	ID RuleID `json:"id"`
	// On lists the permissions of the commands that the rule is about.
	On   []Permission   `json:"on"`
	When RuleConditions `json:"when,omitzero"`
	// Require lists who must approve. Empty, the commands are carried out at once, whatever the rules
	// below ask for.
	Require []RuleRequirement `json:"require"`
	// ExpiresIn is how long an approval waits.
	ExpiresIn Hours `json:"expiresIn"`
}

// RuleID names a rule within its institution.
type RuleID string

// RuleConditions narrow a rule: each that is there must hold.
type RuleConditions struct {
	TemplateID TemplateID `json:"templateId,omitzero"`
	AssetID    AssetID    `json:"assetId,omitzero"`
	Region     Region     `json:"region,omitempty"`
	// AmountFrom is the least amount by currency that the rule is about; it is about no others then.
	AmountFrom map[money.Code]money.Decimal `json:"amountFrom,omitempty"`
	// Window adds to the amount what was moved in that time before, by the same actor or, with
	// WindowOfInstitution, by all of the institution together.
	Window      Hours       `json:"window,omitzero"`
	WindowScope WindowScope `json:"windowScope,omitempty"`
}

// RuleRequirement is how many different persons of a role must approve.
type RuleRequirement struct {
	Role  RoleName `json:"role"`
	Count int      `json:"count"`
}

// WindowScope says whose movements a rule adds up.
type WindowScope string

// The scopes of a window.
const (
	WindowOfActor       WindowScope = "actor"
	WindowOfInstitution WindowScope = "institution"
)

// WindowScopes lists the scopes of a window; the first is that of a rule that does not say.
func WindowScopes() []WindowScope { return []WindowScope{WindowOfActor, WindowOfInstitution} }

// Hours is a span of whole hours, written like "72h".
type Hours time.Duration

var hoursText = regexp.MustCompile(`^[1-9]\d{0,4}h$`)

// String writes the span like "72h".
func (h Hours) String() string { return strconv.FormatInt(int64(time.Duration(h)/time.Hour), 10) + "h" }

// MarshalText implements encoding.TextMarshaler; see String.
func (h Hours) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler. It takes what MarshalText writes, and nothing else.
func (h *Hours) UnmarshalText(text []byte) error {
	if !hoursText.Match(text) {
		return fmt.Errorf("%q is no number of hours like 72h", text)
	}
	hours, err := strconv.Atoi(strings.TrimSuffix(string(text), "h"))
	*h = Hours(time.Duration(hours) * time.Hour)
	return err
}

// ruled are the permissions whose commands can be put under a rule, with what the rule can ask of them.
var ruled = []ruledPermission{
	{permission: PermissionPositionsCreate, ofAsset: true, ofRegion: true, amounts: true},
	{permission: PermissionPositionsFund, ofAsset: true, ofRegion: true, amounts: true, moves: true},
	{permission: PermissionPositionsRelease, ofAsset: true, ofRegion: true, amounts: true, moves: true},
	{permission: PermissionPositionsCancel, ofAsset: true, ofRegion: true, amounts: true, moves: true},
	{permission: PermissionHoldsLift, ofAsset: true, ofRegion: true, amounts: true},
	{permission: PermissionPoliciesSet, ofRegion: true},
	{permission: PermissionTemplatesCreate},
	{permission: PermissionTemplatesUpdate},
	{permission: PermissionAssetsCreate},
	{permission: PermissionAssetsUpdate},
	{permission: PermissionKeysManage},
	{permission: PermissionUsersManage},
	{permission: PermissionRolesManage},
	{permission: PermissionIdentitySet},
	{permission: PermissionRulesSet},
}

type ruledPermission struct {
	permission Permission
	// ofAsset and ofRegion say that the commands concern an asset, and so a template, or a region;
	// amounts that they have an amount, and moves that they move it.
	ofAsset, ofRegion, amounts, moves bool
}

// RuledPermissions lists the permissions whose commands can be put under approval rules.
func RuledPermissions() []Permission {
	list := make([]Permission, len(ruled))
	for i, known := range ruled {
		list[i] = known.permission
	}
	return list
}

// SetApprovalRules replaces the approval rules of an institution. They hold for what is asked from then
// on: what is pending stays under the rules that it was asked under.
type SetApprovalRules struct {
	rules     []ApprovalRule
	ifVersion []int64
}

// NewSetApprovalRules checks the input. The versions are those that the rules may have, with 0 for none
// that were ever set; nil is any.
func NewSetApprovalRules(in []ApprovalRuleInput, ifVersion []int64) (SetApprovalRules, Faults) {
	var faults Faults
	if len(in) > MaxApprovalRules {
		faults.Add("rules", "must have at most %d elements", MaxApprovalRules)
		return SetApprovalRules{}, faults
	}

	command := SetApprovalRules{rules: []ApprovalRule{}, ifVersion: ifVersion}
	seen := make(map[RuleID]bool)
	for i, given := range in {
		place := fmt.Sprintf("rules[%d]", i)
		rule := faults.approvalRule(place, given)
		if seen[rule.ID] {
			faults.Add(place+".id", "must not be that of another rule")
		}
		seen[rule.ID] = true
		command.rules = append(command.rules, rule)
	}
	return command, faults
}

// Needs implements Command.
func (c SetApprovalRules) Needs() Needs {
	needs := Needs{Rules: true, Roles: true, Provider: true, ActiveKeys: true}
	for _, rule := range c.rules {
		if !rule.When.TemplateID.IsZero() {
			needs.Templates = append(needs.Templates, rule.When.TemplateID)
		}
		if !rule.When.AssetID.IsZero() {
			needs.Assets = append(needs.Assets, rule.When.AssetID)
		}
	}
	return needs
}

// permission implements single.
func (SetApprovalRules) permission() Permission { return PermissionRulesSet }

func (c SetApprovalRules) decide(b *Books, _ Request, s stamp) (event, *Error) {
	before, known := b.Rules.Get(b.institutionID)
	if refusal := checkVersion(c.ifVersion, before.Version, "approval rules"); refusal != nil {
		return nil, refusal
	}
	if refusal := b.checkPlaces(c.rules); refusal != nil {
		return nil, refusal
	}
	if refusal := b.checkApprovers(c.rules, s.at); refusal != nil {
		return nil, refusal
	}

	createdAt := before.CreatedAt
	if !known {
		createdAt = s.at
	}
	e := approvalRulesSet{Rules: c.rules, Version: before.Version + 1, CreatedAt: FormatTime(createdAt)}
	if known && sameRules(before.Rules, c.rules) {
		return unchanged{name: RulesSubject, state: before}, nil
	}
	return e, nil
}

func sameRules(a, b []ApprovalRule) bool {
	one, _ := marshal(a) // Rules have no faults.
	other, _ := marshal(b)
	return bytes.Equal(one, other)
}

// checkApprovers refuses rules that nobody could fulfil: a role that is nowhere or may not approve, and
// more approvers than there are. How many people are in the groups of an identity provider is not
// known, so those count for as many as are asked for.
func (b *Books) checkApprovers(rules []ApprovalRule, at time.Time) *Error {
	approvers := b.approversOfKeys(at)
	for i, rule := range rules {
		var ofKeys []RuleRequirement
		for j, required := range rule.Require {
			place := fmt.Sprintf("rules[%d].require[%d].role", i, j)
			if _, own := b.Roles.Get(required.Role); !own && !required.Role.IsBuiltIn() {
				return invalid(place, "must be one of %s, or a role of the institution", join(builtInNames()))
			}
			if !permissionsOf(required.Role, b.Roles.Get).Has(PermissionApprovalsDecide) {
				return invalid(place, "must be a role with the permission %s", PermissionApprovalsDecide)
			}
			if !b.isRoleOfGroup(required.Role) {
				ofKeys = append(ofKeys, required)
			}
		}

		if missing := missingApprovals(ofKeys, approvers); len(missing) > 0 {
			return Errorf(CodeApproversTooFew,
				"The rule %s asks for more persons than have active keys that are not restricted. Missing: %s.",
				rule.ID, describe(missing))
		}
	}
	return nil
}

// isRoleOfGroup reports whether people have a role by their group.
func (b *Books) isRoleOfGroup(role RoleName) bool {
	provider, _ := b.Providers.Get(b.institutionID)
	return provider.IsSet() && slices.Contains(slices.Collect(maps.Values(provider.RoleByGroup)), role)
}

// approversOfKeys returns the roles of each person who has active keys that can approve, which a restricted
// one cannot. The books must have all active keys.
func (b *Books) approversOfKeys(at time.Time) (roles [][]RoleName) {
	type person struct {
		names []string
		roles []RoleName
	}
	var persons []person
	for _, id := range slices.SortedFunc(maps.Keys(maps.Collect(b.Keys.All())), KeyID.Compare) {
		key, _ := b.Keys.Get(id)
		if !key.Active(at) || key.Role == "" || !key.Restriction.IsZero() {
			continue
		}

		// Whoever the key shares a name with is the same person, be it that two were told apart before.
		one := person{b.namesOf(ActorKey(id)), []RoleName{key.Role}}
		persons = slices.DeleteFunc(persons, func(other person) bool {
			if !haveCommon(one.names, other.names) {
				return false
			}
			one = person{append(one.names, other.names...), append(one.roles, other.roles...)}
			return true
		})
		persons = append(persons, one)
	}
	for _, one := range persons {
		roles = append(roles, one.roles)
	}
	return roles
}

// KindApprovalRulesSet is the kind of an entry that records an institution's approval rules.
const KindApprovalRulesSet Kind = "APPROVAL_RULES_SET"

// RulesSubject is how a journal names the approval rules.
const RulesSubject = "approval-rules"

var rulesEventKinds = []eventKind{{kind: KindApprovalRulesSet, decode: decodeEvent[approvalRulesSet]}}

// approvalRulesSet tells all rules, so that each entry by itself tells what they were.
type approvalRulesSet struct {
	Rules     []ApprovalRule `json:"rules"`
	Version   int64          `json:"version"`
	CreatedAt string         `json:"createdAt"`
}

func (approvalRulesSet) kind() Kind      { return KindApprovalRulesSet }
func (approvalRulesSet) subject() string { return RulesSubject }

func (approvalRulesSet) rewrites() Needs { return Needs{Rules: true} }

func (approvalRulesSet) resource(b *Books, _ Entry) Resource { return b.Rules.mustGet(b.institutionID) }

func (e approvalRulesSet) apply(b *Books, entry Entry) error {
	var reader storedReader
	rules := ApprovalRules{
		InstitutionID: entry.InstitutionID,
		Rules:         e.Rules,
		Version:       e.Version,
		CreatedAt:     reader.time(e.CreatedAt),
		UpdatedAt:     entry.At,
	}
	if reader.err != nil {
		return reader.err
	}

	b.Rules.Put(b.institutionID, rules)
	b.Head.Rules = 0
	if len(rules.Rules) > 0 {
		b.Head.Rules = entry.Sequence
	}
	return nil
}
