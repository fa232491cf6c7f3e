package httpapi

import (
	"net/http"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// ApprovalView is a command that waits for others than who asked for it, or what became of it.
type ApprovalView struct {
	ID            escrow.ApprovalID     `json:"id"`
	InstitutionID escrow.InstitutionID  `json:"institutionId"`
	Status        escrow.ApprovalStatus `json:"status" words:"approvalStatuses"`
	Permissions   []escrow.Permission   `json:"permissions" doc:"What the command takes, each once." nullable:"false"`
	Summary       string                `json:"summary" doc:"What is asked for, in a sentence." example:"Release 60000.00 USD of pos_01jd8m3q5yf7wbt0x4a2k9r6ce (RELEASED)."`
	Command       jsontext.Value        `json:"command" doc:"What is asked for, as it is carried out: of the member type, with what is private in clear, as far as it is known."`
	Digest        string                `json:"digest" doc:"The SHA-256 of the command as the journal has it; an approval names it." pattern:"^[0-9a-f]{64}$"`
	RequestedBy   escrow.Actor          `json:"requestedBy" doc:"The maker: the id of an API key, a user or one of the operator's people, or root."`
	Rules         []appliedRuleView     `json:"rules" doc:"The rules that the command has met, as they were when it was asked for." nullable:"false"`
	Subjects      []subjectView         `json:"subjects" doc:"What the command is about." nullable:"false"`
	Totals        []totalView           `json:"totals" doc:"The amounts of all subjects, by permission and currency." nullable:"false"`
	Approvals     []givenApprovalView   `json:"approvals" doc:"Those that were given, each by another person." nullable:"false"`
	Missing       []requirementView     `json:"missing" doc:"How many more approvals it takes, by role." nullable:"false"`
	BreakGlass    bool                  `json:"breakGlass,omitzero" doc:"Whether the operator did not wait for any."`
	Reason        string                `json:"reason,omitempty" doc:"Why the operator did not wait."`
	Executed      *executedView         `json:"executed,omitempty"`
	Refusal       *approvalRefusalView  `json:"refusal,omitempty"`
	Rejection     *rejectionView        `json:"rejection,omitempty"`
	Erased        bool                  `json:"erased,omitzero" doc:"Whether what was private of it was erased, or a part: of the command, or of what was said about it."`
	ExpiresAt     timestamp             `json:"expiresAt" doc:"Until when it waits."`
	Version       int64                 `json:"version" doc:"One more with each step; also its ETag." minimum:"1"`
	CreatedAt     timestamp             `json:"createdAt"`
	UpdatedAt     timestamp             `json:"updatedAt"`
}

// appliedRuleView is a rule that a command has met.
type appliedRuleView struct {
	ID      escrow.RuleID     `json:"id"`
	Version int64             `json:"version" doc:"That of all rules of the institution together." minimum:"1"`
	Require []requirementView `json:"require" nullable:"false"`
}

// requirementView is how many different persons of a role must approve.
type requirementView struct {
	Role  escrow.RoleName `json:"role"`
	Count int64           `json:"count" minimum:"1"`
}

// subjectView is what an approval is about, one of several.
type subjectView struct {
	Subject    string            `json:"subject,omitempty" doc:"Its id, policy/ and a region, role/ and a name, or approval-rules; left out of what is only made once it is approved."`
	Permission escrow.Permission `json:"permission"`
	Amount     string            `json:"amount,omitempty" doc:"What moves, or of a position that is made what is promised." example:"60000.00"`
	Currency   money.Code        `json:"currency,omitempty"`
}

// totalView is the amount of several subjects together.
type totalView struct {
	Permission escrow.Permission `json:"permission"`
	Currency   money.Code        `json:"currency"`
	Amount     string            `json:"amount" example:"60000.00"`
	Count      int64             `json:"count" doc:"Of how many subjects." minimum:"1"`
}

// givenApprovalView is one approval.
type givenApprovalView struct {
	Actor   escrow.Actor      `json:"actor"`
	Roles   []escrow.RoleName `json:"roles" doc:"Those that count." nullable:"false"`
	At      string            `json:"at" format:"date-time"`
	Comment string            `json:"comment,omitempty" doc:"Left out of lists."`
}

// executedView says where the journal has what was approved.
type executedView struct {
	Sequence int64 `json:"sequence" doc:"The sequence of the command's first entry; 0 where all was so already." minimum:"0"`
	Entries  int64 `json:"entries" doc:"How many entries it has." minimum:"0"`
}

// approvalRefusalView is why a command that had all approvals was refused.
type approvalRefusalView struct {
	Code   escrow.Code `json:"code"`
	Detail string      `json:"detail"`
}

// rejectionView is who has said no, and why.
type rejectionView struct {
	Actor   escrow.Actor `json:"actor"`
	At      timestamp    `json:"at"`
	Comment string       `json:"comment,omitempty"`
}

// awaitedKeyView is the approval that a new key waits for, with the key's secret, which is shown this once.
type awaitedKeyView struct {
	ApprovalView
	APIKey string `json:"apiKey,omitempty" doc:"The secret of the key, this once; left out of a dry run. It opens nothing before the approval is EXECUTED."`
}

// viewApproval shows an approval without what its history alone tells.
func viewApproval(a escrow.Approval) (ApprovalView, error) {
	asked, err := a.Asked()
	if err != nil {
		return ApprovalView{}, err
	}
	missing := []escrow.RuleRequirement{}
	if a.Status == escrow.ApprovalPending {
		if missing, err = a.Missing(); err != nil {
			return ApprovalView{}, err
		}
	}

	view := ApprovalView{
		ID:            a.ID,
		InstitutionID: a.InstitutionID,
		Status:        a.Status,
		Command:       asked.Command,
		Digest:        asked.Digest.String(),
		RequestedBy:   a.Maker,
		Approvals:     viewGiven(a.Given),
		Missing:       viewRequirements(missing),
		BreakGlass:    asked.BreakGlass,
		Reason:        asked.Reason,
		Refusal:       (*approvalRefusalView)(a.Refusal),
		Erased:        asked.Erased || a.ErasedAt != nil,
		ExpiresAt:     timestamp(a.ExpiresAt),
		Version:       a.Version,
		CreatedAt:     timestamp(a.CreatedAt),
		UpdatedAt:     timestamp(a.UpdatedAt),
	}
	for _, rule := range asked.Rules {
		view.Rules = append(view.Rules, appliedRuleView{rule.ID, rule.Version, viewRequirements(rule.Require)})
	}
	if a.Status == escrow.ApprovalExecuted {
		view.Executed = &executedView{Sequence: a.Executed, Entries: a.Entries}
	}
	view.addSubjects(asked.Subjects)
	view.Summary, err = summaryOf(asked.Command, view.Subjects, view.Totals)
	return view, err
}

func viewGiven(given []escrow.GivenApproval) []givenApprovalView {
	views := make([]givenApprovalView, len(given))
	for i, one := range given {
		views[i] = givenApprovalView{Actor: one.Actor, Roles: one.Roles, At: one.At}
	}
	return views
}

func viewRequirements(required []escrow.RuleRequirement) []requirementView {
	views := make([]requirementView, len(required))
	for i, one := range required {
		views[i] = requirementView{Role: one.Role, Count: int64(one.Count)}
	}
	return views
}

// addSubjects adds what the approval is about, and the sums of it.
func (v *ApprovalView) addSubjects(subjects []escrow.ApprovalSubject) {
	v.Subjects, v.Totals, v.Permissions = []subjectView{}, []totalView{}, []escrow.Permission{}
	sums := newTotals()
	for _, s := range subjects {
		shown := subjectView{Subject: s.Subject, Permission: s.Permission}
		if s.Amount.Amount > 0 {
			shown.Amount, shown.Currency = s.Amount.Format(), s.Amount.Currency.Code
			sums.add(s.Permission, s.Amount)
		}
		v.Subjects = append(v.Subjects, shown)
		if !slices.Contains(v.Permissions, s.Permission) {
			v.Permissions = append(v.Permissions, s.Permission)
		}
	}
	v.Totals = sums.views()
}

// awaitedError stands in the place of a command's resource: the command waits.
type awaitedError struct{ approval escrow.Approval }

func (awaitedError) Error() string { return "the command waits for an approval" }

// awaited answers a command that waits for an approval. A new key's secret is shown now, as nobody is asked
// later who could be shown it.
func (c *call) awaited(a escrow.Approval) (reply, error) {
	view, err := viewApproval(a)
	if err != nil {
		return reply{}, err
	}
	answer := reply{status: http.StatusAccepted, body: view, location: "/approvals/" + a.ID.String()}.tagged(a.Version)
	if c.nonce == nil || c.dryRun {
		return answer, nil
	}

	asked, err := a.Asked()
	if err != nil {
		return reply{}, err
	}
	secret, ok := c.secretWith(asked.KeyHash)
	if !ok {
		return reply{}, escrow.Errorf(escrow.CodeKeySecretGone,
			"The request asked for an API key with the approval %s, but its secret can no longer be shown. Withdraw "+
				"the approval, or revoke the key, and ask for another.", a.ID)
	}
	answer.body = awaitedKeyView{ApprovalView: view, APIKey: secret}
	return answer, nil
}
