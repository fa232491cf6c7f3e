package escrow

import (
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/money"
)

// Policy is an institution's rules for the positions of one region. Its bounds
// are in units of whatever currency a position has.
type Policy struct {
	InstitutionID InstitutionID
	Region        Region
	PositionRules
	CreatedAt time.Time
	UpdatedAt time.Time
}

// PositionRules is what a policy asks of a new position. A rule that is nil or
// empty asks nothing.
type PositionRules struct {
	MinAmount         *money.Decimal
	MaxAmount         *money.Decimal
	AllowedCurrencies []money.Code
}

// check refuses a position that breaks a rule, in the documented order.
func (r PositionRules) check(region Region, currency money.Currency, amount money.Amount) *Error {
	switch {
	case r.MinAmount != nil && amount.Compare(currency, *r.MinAmount) < 0:
		return Errorf(CodePolicyMinAmount, "The policy for %s asks for an amount of at least %s.", region, r.MinAmount)
	case r.MaxAmount != nil && amount.Compare(currency, *r.MaxAmount) > 0:
		return Errorf(CodePolicyMaxAmount, "The policy for %s allows an amount of at most %s.", region, r.MaxAmount)
	case len(r.AllowedCurrencies) > 0 && !slices.Contains(r.AllowedCurrencies, currency.Code):
		return Errorf(CodePolicyCurrency, "The policy for %s does not allow the currency %s.", region, currency)
	}
	return nil
}

// PolicyInput is what a client gives to set a policy.
type PolicyInput struct {
	Position RulesInput
}

// RulesInput is PositionRules as a client gives them.
type RulesInput struct {
	MinAmount         *money.Digits
	MaxAmount         *money.Digits
	AllowedCurrencies *[]string
}

// SetPolicy makes or replaces the policy of a region.
type SetPolicy struct {
	region Region
	rules  PositionRules
}

// NewSetPolicy checks the input.
func NewSetPolicy(region string, in PolicyInput) (SetPolicy, Faults) {
	var faults Faults
	command := SetPolicy{
		region: word(&faults, "region", region, Regions()),
		rules: PositionRules{
			MinAmount: faults.bound("position.minAmount", in.Position.MinAmount),
			MaxAmount: faults.bound("position.maxAmount", in.Position.MaxAmount),
		},
	}

	low, high := command.rules.MinAmount, command.rules.MaxAmount
	if low != nil && high != nil && low.Compare(*high) > 0 {
		faults.Add("position.minAmount", "must not be greater than maxAmount")
	}
	if in.Position.AllowedCurrencies != nil {
		currencies := faults.currencies("position.allowedCurrencies", *in.Position.AllowedCurrencies)
		command.rules.AllowedCurrencies = currencies
	}
	return command, faults
}

// Needs implements Command.
func (c SetPolicy) Needs() Needs { return Needs{Institution: true, Policies: true} }

// permission implements single.
func (SetPolicy) permission() Permission { return PermissionPoliciesSet }

func (c SetPolicy) decide(b *Books, _ Request, s stamp) (event, *Error) {
	if !slices.Contains(b.institution().Regions, c.region) {
		return nil, invalid("region", "must be a region of the institution")
	}

	createdAt := s.at
	if earlier, ok := b.Policies.Get(c.region); ok {
		createdAt = earlier.CreatedAt
	}

	return policySet{Region: c.region, Position: c.rules.state(), CreatedAt: FormatTime(createdAt)}, nil
}

// state returns the rules as entries carry them.
func (r PositionRules) state() rulesState {
	state := rulesState{AllowedCurrencies: r.AllowedCurrencies}
	if r.MinAmount != nil {
		state.MinAmount = r.MinAmount.String()
	}
	if r.MaxAmount != nil {
		state.MaxAmount = r.MaxAmount.String()
	}
	return state
}

// KindPolicySet is the kind of an entry that records a policy.
const KindPolicySet Kind = "POLICY_SET"

var policyEventKinds = []eventKind{{kind: KindPolicySet, decode: decodeEvent[policySet]}}

// policySet tells the whole policy, so that each entry by itself tells what it was.
type policySet struct {
	Region    Region     `json:"region"`
	Position  rulesState `json:"position"`
	CreatedAt string     `json:"createdAt"`
}

type rulesState struct {
	MinAmount         string       `json:"minAmount,omitempty"`
	MaxAmount         string       `json:"maxAmount,omitempty"`
	AllowedCurrencies []money.Code `json:"allowedCurrencies,omitempty"`
}

// PolicySubject is how a journal names the policy of a region.
func PolicySubject(region Region) string { return "policy/" + string(region) }

func (e policySet) kind() Kind      { return KindPolicySet }
func (e policySet) subject() string { return PolicySubject(e.Region) }

func (e policySet) rewrites() Needs { return Needs{Policies: true} }

func (e policySet) resource(b *Books, _ Entry) Resource { return b.Policies.mustGet(e.Region) }

func (e policySet) apply(b *Books, entry Entry) error {
	var reader storedReader
	policy := Policy{
		InstitutionID: entry.InstitutionID,
		Region:        e.Region,
		CreatedAt:     reader.time(e.CreatedAt),
		UpdatedAt:     entry.At,
		PositionRules: PositionRules{
			MinAmount:         reader.decimal(e.Position.MinAmount),
			MaxAmount:         reader.decimal(e.Position.MaxAmount),
			AllowedCurrencies: e.Position.AllowedCurrencies,
		},
	}

	if reader.err == nil {
		b.Policies.Put(e.Region, policy)
	}
	return reader.err
}
