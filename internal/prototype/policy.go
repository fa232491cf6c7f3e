package prototype

import (
	"context"
	"encoding/json"
	"slices"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// pastPolicies makes positions that are older than the policies: those of an earlier run refuse
// some. The first one that is refused lifts them, for the rest of the transaction.
type pastPolicies struct {
	executor

	policies []escrow.Policy
	lifted   bool
}

func (p *pastPolicies) execute(kind Kind, id string, command escrow.Command) (escrow.Resource, error) {
	resource, err := p.executor(kind, id, command)
	refusal := refusalOf(err)
	if refusal == nil || p.lifted || !slices.Contains(policyRefusals, refusal.Code) {
		return resource, err
	}

	p.lifted = true
	for _, policy := range p.policies {
		if err := p.set("lifted", policy.Region, escrow.RulesInput{}); err != nil {
			return nil, err
		}
	}
	return p.executor(kind, id, command)
}

var policyRefusals = []escrow.Code{escrow.CodePolicyMinAmount, escrow.CodePolicyMaxAmount, escrow.CodePolicyCurrency}

// restore sets policies that were lifted again.
func (p *pastPolicies) restore() error {
	if !p.lifted {
		return nil
	}
	for _, policy := range p.policies {
		var rules escrow.RulesInput
		if policy.MinAmount != nil {
			rules.MinAmount = new(money.Digits(policy.MinAmount.String()))
		}
		if policy.MaxAmount != nil {
			rules.MaxAmount = new(money.Digits(policy.MaxAmount.String()))
		}

		if len(policy.AllowedCurrencies) > 0 {
			var codes []string
			for _, currency := range policy.AllowedCurrencies {
				codes = append(codes, string(currency))
			}
			rules.AllowedCurrencies = &codes
		}
		if err := p.set("restored", policy.Region, rules); err != nil {
			return err
		}
	}
	return nil
}

func (p *pastPolicies) set(why string, region escrow.Region, rules escrow.RulesInput) error {
	command, faults := escrow.NewSetPolicy(string(region), escrow.PolicyInput{Position: rules})
	if err := faults.Err(); err != nil {
		return err
	}
	_, err := p.executor(Policies, why+":"+string(region), command)
	return err
}

func (t *tenant) importPolicies(ctx context.Context, policies []policyRow) error {
	for _, row := range policies {
		if err := t.importPolicy(ctx, row); err != nil {
			return err
		}
	}
	return nil
}

func (t *tenant) importPolicy(ctx context.Context, row policyRow) error {
	if t.isLeftOut() {
		return t.report(missing(Policies, row.ID, Institutions, t.row.ID))
	}
	var config struct {
		Position struct {
			MinAmount, MaxAmount *money.Digits
			AllowedCurrencies    *[]string
		}
	}
	if err := json.Unmarshal(row.Config, &config); err != nil {
		return t.report(leftOut(Policies, row.ID, "policy_unreadable",
			"its config is not one of the prototype's: "+err.Error()))
	}
	rules := config.Position
	if rules.AllowedCurrencies != nil && len(*rules.AllowedCurrencies) == 0 {
		return t.report(leftOut(Policies, row.ID, "policy_allows_nothing",
			"its allowedCurrencies are none, so it let no position pass; no policy here says that"))
	}

	command, faults := escrow.NewSetPolicy(row.Region, escrow.PolicyInput{Position: escrow.RulesInput(rules)})
	return t.makeAll(ctx, t.id, []*wanted{newWanted(Policies, row.ID, command, faults, nil)}, nil)
}
