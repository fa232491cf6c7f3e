package httpapi

import (
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// policyBody replaces the whole policy of a region. Position is a pointer to tell rules
// that were left out from no rules.
type policyBody struct {
	Position *setPolicyRules `json:"position" doc:"What is asked of a new position."`
}

// setPolicyRules are what a new position must keep. Its fields are those of
// escrow.RulesInput.
type setPolicyRules struct {
	MinAmount         *money.Digits `json:"minAmount,omitempty" doc:"The least amount, in units of the position's currency."`
	MaxAmount         *money.Digits `json:"maxAmount,omitempty" doc:"The largest amount, in units of the position's currency."`
	AllowedCurrencies *[]string     `json:"allowedCurrencies,omitempty" doc:"ISO 4217 codes; any currency when left out." minItems:"1" uniqueItems:"true"`
}

// policyView is a policy as the API shows it.
type policyView struct {
	InstitutionID escrow.InstitutionID `json:"institutionId"`
	Region        escrow.Region        `json:"region"`
	Position      policyRulesView      `json:"position"`
	CreatedAt     timestamp            `json:"createdAt"`
	UpdatedAt     timestamp            `json:"updatedAt"`
}

// policyRulesView are the rules as the API shows them: those that there are.
type policyRulesView struct {
	MinAmount         string       `json:"minAmount,omitempty"`
	MaxAmount         string       `json:"maxAmount,omitempty"`
	AllowedCurrencies []money.Code `json:"allowedCurrencies,omitempty"`
}

// viewPolicy shows a policy. Its bounds are for amounts of any currency, and so have no
// fixed number of decimals.
func viewPolicy(p escrow.Policy) policyView {
	view := policyView{
		InstitutionID: p.InstitutionID,
		Region:        p.Region,
		Position:      policyRulesView{AllowedCurrencies: p.AllowedCurrencies},
		CreatedAt:     timestamp(p.CreatedAt),
		UpdatedAt:     timestamp(p.UpdatedAt),
	}

	if p.MinAmount != nil {
		view.Position.MinAmount = p.MinAmount.String()
	}
	if p.MaxAmount != nil {
		view.Position.MaxAmount = p.MaxAmount.String()
	}

	return view
}

var setPolicyOperation = operation{
	Operation: web.Operation{
		ID: "setPolicy", Tag: "Policies", Summary: "Set the policy of a region",
		Body:        policyBody{},
		BodyExample: setPolicyExample, Answer: policyView{},
	},
}

// setPolicy makes or replaces the policy of a region, for the positions that are made
// from then on.
func (s *server) setPolicy(c *call) (reply, error) {
	body := bodyOf[policyBody](c)
	if body.Position == nil {
		// No rules at all are {}: what was forgotten must not take them away.
		c.faults.Add("position", "is required")
		body.Position = &setPolicyRules{}
	}
	command, faults := escrow.NewSetPolicy(c.request.PathValue("region"),
		escrow.PolicyInput{Position: escrow.RulesInput(*body.Position)})

	policy, err := execute[escrow.Policy](c, command, faults)
	if err != nil {
		return reply{}, err
	}
	return ok(viewPolicy(policy)), nil
}

var getPolicyOperation = operation{
	Operation: web.Operation{
		ID: "getPolicy", Tag: "Policies", Summary: "Get the policy of a region",
		Answer: policyView{},
	},
	refusals: codes{escrow.CodePolicyNotFound},
}

// getPolicy answers the policy of a region. A region that is none has no policy, like one
// for which none was set.
func (s *server) getPolicy(c *call) (reply, error) {
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}

	policy, err := s.engine.Policy(c.context(), institution, escrow.Region(c.request.PathValue("region")))
	return ok(viewPolicy(policy)), err
}

var listPoliciesOperation = operation{
	Operation: web.Operation{
		ID: "listPolicies", Tag: "Policies", Summary: "List policies",
		Query: listQuery{}, Answer: listView[policyView]{},
	},
}

// listPolicies answers an institution's policies in the order of creation. It reads all
// of them: there is at most one for each region.
func (s *server) listPolicies(c *call) (reply, error) {
	list := queryOf[listQuery](c).read(&c.faults, "policies")
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}

	policies, err := s.engine.Policies(c.context(), institution)
	page := pageOf(policies, list, func(p escrow.Policy) time.Time { return p.CreatedAt }, policyCursor)
	return listed(list, page, viewPolicy, policyCursor), err
}

// policyCursor is a policy's place in a list: it has no id, but its region.
func policyCursor(p escrow.Policy) (cursor escrow.Cursor) {
	copy(cursor[:], p.Region)
	return cursor
}
