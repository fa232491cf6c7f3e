package escrow

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// This file reads the approval rules that clients give.

// ApprovalRuleInput is what a client gives for one rule.
type ApprovalRuleInput struct {
	ID        string
	On        []string
	When      RuleConditionsInput
	Require   []RequirementInput
	ExpiresIn *string
}

// RuleConditionsInput is what a client gives to narrow a rule; what is nil does not.
type RuleConditionsInput struct {
	TemplateID, AssetID, Region *string
	AmountFrom                  map[string]money.Digits
	Window, WindowScope         *string
}

// RequirementInput is what a client gives of whom a rule asks for.
type RequirementInput struct {
	Role  string
	Count int64
}

var ruleID = regexp.MustCompile(`^[a-z][a-z0-9_-]{0,62}$`)

func (f *Faults) approvalRule(place string, in ApprovalRuleInput) ApprovalRule {
	if !ruleID.MatchString(in.ID) {
		f.Add(place+".id", "must be 1 to 63 small letters, digits, hyphens and underscores, beginning with a letter")
	}
	rule := ApprovalRule{
		ID:        RuleID(in.ID),
		On:        words(f, place+".on", in.On, RuledPermissions()),
		Require:   f.requirements(place+".require", in.Require),
		ExpiresIn: f.hours(place+".expiresIn", in.ExpiresIn, DefaultApprovalTerm, MaxApprovalTerm),
	}
	rule.When = f.ruleConditions(place+".when", in.When, rule.On)
	return rule
}

func (f *Faults) requirements(place string, in []RequirementInput) []RuleRequirement {
	switch {
	case in == nil:
		f.Add(place, "is required; empty, the commands are carried out at once")
	case len(in) > MaxRequirements:
		f.Add(place, "must have at most %d elements", MaxRequirements)
		return nil
	}

	list := []RuleRequirement{}
	for i, given := range in {
		role := f.roleName(fmt.Sprintf("%s[%d].role", place, i), given.Role)
		if slices.ContainsFunc(list, func(other RuleRequirement) bool { return other.Role == role }) {
			f.Add(place, "must not name the role %s twice", role)
		}
		if given.Count < 1 || given.Count > MaxApprovers {
			f.Add(fmt.Sprintf("%s[%d].count", place, i), "must be from 1 to %d", MaxApprovers)
		}
		list = append(list, RuleRequirement{Role: role, Count: int(given.Count)})
	}
	return list
}

// ruleConditions reads the conditions of a rule, each of which all of its commands must have.
func (f *Faults) ruleConditions(place string, in RuleConditionsInput, on []Permission) (when RuleConditions) {
	fits := func(field string, given bool, fits func(ruledPermission) bool) bool {
		if !given {
			return false
		}
		for _, known := range ruled {
			if slices.Contains(on, known.permission) && !fits(known) {
				f.Add(place+"."+field, "is not for %s, which has none", known.permission)
			}
		}
		return true
	}

	ofAsset := func(p ruledPermission) bool { return p.ofAsset }
	if fits("templateId", in.TemplateID != nil, ofAsset) {
		when.TemplateID = requiredID[templateKind](f, place+".templateId", *in.TemplateID)
	}
	if fits("assetId", in.AssetID != nil, ofAsset) {
		when.AssetID = requiredID[assetKind](f, place+".assetId", *in.AssetID)
	}
	if fits("region", in.Region != nil, func(p ruledPermission) bool { return p.ofRegion }) {
		when.Region = word(f, place+".region", *in.Region, Regions())
	}
	if fits("amountFrom", in.AmountFrom != nil, func(p ruledPermission) bool { return p.amounts }) {
		when.AmountFrom = f.amountBounds(place+".amountFrom", in.AmountFrom)
		if len(in.AmountFrom) == 0 {
			f.Add(place+".amountFrom", "must name at least one currency, or be left out")
		}
	}

	if fits("window", in.Window != nil, func(p ruledPermission) bool { return p.moves }) {
		when.Window = f.hours(place+".window", in.Window, 0, MaxWindow)
		when.WindowScope = WindowOfActor
		if len(in.AmountFrom) == 0 {
			f.Add(place+".window", "takes amountFrom: it adds to the amount")
		}
	}
	if in.WindowScope != nil {
		when.WindowScope = word(f, place+".windowScope", *in.WindowScope, WindowScopes())
		if in.Window == nil {
			f.Add(place+".windowScope", "takes a window")
		}
	}
	return when
}

// hours reads a span that may be missing (nil).
func (f *Faults) hours(field string, text *string, otherwise, limit time.Duration) Hours {
	if text == nil {
		return Hours(otherwise)
	}
	var span Hours
	if err := span.UnmarshalText([]byte(*text)); err != nil || time.Duration(span) > limit {
		f.Add(field, "must be a number of hours from 1h to %s", Hours(limit))
	}
	return span
}
