package httpapi

import (
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/web"
)

// approvalRulesBody replaces all approval rules. The tag's bound is escrow.MaxApprovalRules.
type approvalRulesBody struct {
	Rules []ruleBody `json:"rules" doc:"The rules in the order in which they are looked through: the first that fits decides. Where none does, nothing is asked." maxItems:"50" nullable:"false"`
}

// ruleBody is one rule. The tag's bound is escrow.MaxRequirements.
type ruleBody struct {
	ID        string            `json:"id" doc:"Names the rule within the institution." pattern:"^[a-z][a-z0-9_-]{0,62}$" example:"large-releases"`
	On        []string          `json:"on" doc:"The permissions of the commands that the rule is about." words:"ruledPermissions" minItems:"1" uniqueItems:"true" nullable:"false"`
	When      *ruleWhenBody     `json:"when,omitempty" doc:"Narrows the rule: each of these must hold."`
	Require   []requirementBody `json:"require" doc:"How many different persons of which roles must approve. Empty, the commands are carried out at once, whatever the rules below ask for." maxItems:"5" nullable:"false"`
	ExpiresIn *string           `json:"expiresIn,omitempty" doc:"How long an approval waits, in hours, up to 2160h; 72h when left out." pattern:"^[1-9][0-9]{0,4}h$" example:"72h"`
}

// ruleWhenBody narrows a rule.
type ruleWhenBody struct {
	TemplateID  *string      `json:"templateId,omitempty" doc:"Only what is of this asset template."`
	AssetID     *string      `json:"assetId,omitempty" doc:"Only positions on this asset."`
	Region      *string      `json:"region,omitempty" doc:"Only what is of this region." words:"regions"`
	AmountFrom  amountBounds `json:"amountFrom,omitempty" doc:"Only from this amount on, by currency. Other currencies are not for the rule."`
	Window      *string      `json:"window,omitempty" doc:"Adds to the amount what was moved in so many hours before, up to 168h." pattern:"^[1-9][0-9]{0,4}h$" example:"24h"`
	WindowScope *string      `json:"windowScope,omitempty" doc:"Whose movements are added up; the actor's when left out." words:"windowScopes"`
}

// requirementBody is how many different persons of a role must approve.
type requirementBody struct {
	Role  string `json:"role" doc:"A built-in role or one of the institution's own." example:"approver"`
	Count int64  `json:"count" minimum:"1" maximum:"10"`
}

// input is what the domain reads.
func (b ruleBody) input() escrow.ApprovalRuleInput {
	in := escrow.ApprovalRuleInput{ID: b.ID, On: b.On, ExpiresIn: b.ExpiresIn}
	if b.Require != nil {
		in.Require = []escrow.RequirementInput{}
	}
	for _, one := range b.Require {
		in.Require = append(in.Require, escrow.RequirementInput(one))
	}
	if w := b.When; w != nil {
		in.When = escrow.RuleConditionsInput{
			TemplateID: w.TemplateID, AssetID: w.AssetID, Region: w.Region, AmountFrom: w.AmountFrom,
			Window: w.Window, WindowScope: w.WindowScope,
		}
	}
	return in
}

// approvalRulesView is an institution's approval rules.
type approvalRulesView struct {
	InstitutionID escrow.InstitutionID `json:"institutionId"`
	Rules         []ruleView           `json:"rules" nullable:"false"`
	Version       int64                `json:"version" doc:"One more with each change; 0 where none were ever set." minimum:"0"`
	CreatedAt     *timestamp           `json:"createdAt,omitempty"`
	UpdatedAt     *timestamp           `json:"updatedAt,omitempty"`
}

// ruleView is one rule.
type ruleView struct {
	ID        escrow.RuleID       `json:"id"`
	On        []escrow.Permission `json:"on" nullable:"false"`
	When      *ruleWhenView       `json:"when,omitempty"`
	Require   []requirementView   `json:"require" nullable:"false"`
	ExpiresIn string              `json:"expiresIn" example:"72h"`
}

// ruleWhenView is what narrows a rule.
type ruleWhenView struct {
	TemplateID  *escrow.TemplateID    `json:"templateId,omitempty"`
	AssetID     *escrow.AssetID       `json:"assetId,omitempty"`
	Region      escrow.Region         `json:"region,omitempty"`
	AmountFrom  map[money.Code]string `json:"amountFrom,omitempty" doc:"Amounts in units of the currency, by ISO 4217 code."`
	Window      string                `json:"window,omitempty" example:"24h"`
	WindowScope string                `json:"windowScope,omitempty" words:"windowScopes"`
}

func viewApprovalRules(r escrow.ApprovalRules) approvalRulesView {
	view := approvalRulesView{InstitutionID: r.InstitutionID, Rules: []ruleView{}, Version: r.Version}
	for _, rule := range r.Rules {
		view.Rules = append(view.Rules, viewRule(rule))
	}
	if r.Version > 0 {
		view.CreatedAt, view.UpdatedAt = (*timestamp)(&r.CreatedAt), (*timestamp)(&r.UpdatedAt)
	}
	return view
}

func viewRule(r escrow.ApprovalRule) ruleView {
	view := ruleView{
		ID: r.ID, On: r.On, Require: viewRequirements(r.Require), ExpiresIn: r.ExpiresIn.String(),
	}

	when, narrows := ruleWhenView{Region: r.When.Region, WindowScope: string(r.When.WindowScope)}, r.When.Region != ""
	if !r.When.TemplateID.IsZero() {
		when.TemplateID, narrows = &r.When.TemplateID, true
	}
	if !r.When.AssetID.IsZero() {
		when.AssetID, narrows = &r.When.AssetID, true
	}
	if len(r.When.AmountFrom) > 0 {
		when.AmountFrom, narrows = make(map[money.Code]string), true
		for code, amount := range r.When.AmountFrom {
			when.AmountFrom[code] = amount.String()
		}
	}
	if r.When.Window > 0 {
		when.Window = r.When.Window.String() // It takes amountFrom.
	}
	if narrows {
		view.When = &when
	}
	return view
}

var setApprovalRulesOperation = operation{
	Operation: web.Operation{
		ID: "setApprovalRules", Tag: "Approvals", Summary: "Set what takes an approval, and whose",
		Body:        approvalRulesBody{},
		BodyExample: setApprovalRulesExample, Answer: approvalRulesView{},
		RequestHeaders: headers{ifMatchHeader}, AnswerHeaders: headers{etagHeader},
	},
	refusals: codes{escrow.CodeVersionMismatch, escrow.CodeApproversTooFew},
}

// setApprovalRules replaces an institution's approval rules, for what is asked for from then on.
func (s *server) setApprovalRules(c *call) (reply, error) {
	body := bodyOf[approvalRulesBody](c)
	if body.Rules == nil {
		// No rules at all are []: what was forgotten must not take them away.
		c.faults.Add("rules", "is required")
	}
	inputs := make([]escrow.ApprovalRuleInput, len(body.Rules))
	for i, rule := range body.Rules {
		inputs[i] = rule.input()
	}
	command, faults := escrow.NewSetApprovalRules(inputs, c.versions)

	rules, err := execute[escrow.ApprovalRules](c, command, faults)
	return ok(viewApprovalRules(rules)).tagged(rules.Version), err
}

var getApprovalRulesOperation = operation{
	Operation: web.Operation{
		ID: "getApprovalRules", Tag: "Approvals", Summary: "Get what takes an approval, and whose",
		Answer: approvalRulesView{}, AnswerHeaders: headers{etagHeader},
	},
}

// getApprovalRules answers an institution's approval rules, which are none where none were set.
func (s *server) getApprovalRules(c *call) (reply, error) {
	institution, err := c.institution()
	if err != nil {
		return reply{}, err
	}
	rules, err := s.engine.ApprovalRules(c.context(), institution)
	if err != nil {
		return reply{}, err
	}
	return c.conditional(rules.Version, func() (reply, error) { return ok(viewApprovalRules(rules)), nil })
}
