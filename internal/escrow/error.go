package escrow

import (
	"errors"
	"fmt"
	"strings"
)

// Code names one kind of refusal. Codes are stable: clients branch on them.
type Code string

// The refusals that the domain itself makes. docs/errors.md explains each.
const (
	CodeInvalidInput         Code = "invalid_input"
	CodeInvalidKey           Code = "invalid_api_key"
	CodeForbidden            Code = "forbidden"
	CodeIdempotencyKeyReused Code = "idempotency_key_reused"
	CodeInstitutionNotFound  Code = "institution_not_found"
	CodeKeyNotFound          Code = "api_key_not_found"
	CodeKeyInactive          Code = "api_key_inactive"
	CodePolicyNotFound       Code = "policy_not_found"
	CodeTemplateNotFound     Code = "asset_template_not_found"
	CodeAssetNotFound        Code = "asset_not_found"
	CodePositionNotFound     Code = "position_not_found"
	CodeCheckpointNotFound   Code = "checkpoint_not_found"
	CodeEntryNotFound        Code = "entry_not_found"
	CodeTemplateCurrency     Code = "template_currency"
	CodeTemplateMinAmount    Code = "template_min_amount"
	CodeTemplateMaxAmount    Code = "template_max_amount"
	CodeTemplateTenor        Code = "template_max_tenor"
	CodeTemplateRetainage    Code = "template_retainage"
	CodePolicyMinAmount      Code = "policy_min_amount"
	CodePolicyMaxAmount      Code = "policy_max_amount"
	CodePolicyCurrency       Code = "policy_currency"
	CodeInvalidTransition    Code = "invalid_transition"
	CodeTransitionAmount     Code = "transition_amount"
	CodePositionExpired      Code = "position_expired"
	CodePositionEventLimit   Code = "position_event_limit"
	CodePositionHistoryLimit Code = "position_history_limit"
	CodeVersionMismatch      Code = "version_mismatch"
	CodeBatchRefused         Code = "batch_refused"
	CodeNotApplied           Code = "not_applied"
	CodeHistoryLost          Code = "history_lost"
	CodeInternal             Code = "internal"
	CodeOverloaded           Code = "overloaded"
	CodeStoreUnavailable     Code = "store_unavailable"
	CodeOutcomeUnknown       Code = "outcome_unknown"
	CodeRequestTimeout       Code = "request_timeout"
	CodeShuttingDown         Code = "shutting_down"
)

// CreationRefusals lists the refusals of a new position on an asset that there is, in the
// order in which they are looked for: what the asset's template asks of it, and the policy.
func CreationRefusals() []Code {
	return []Code{
		CodeTemplateCurrency, CodeTemplateMinAmount, CodeTemplateMaxAmount, CodeTemplateTenor,
		CodePolicyMinAmount, CodePolicyMaxAmount, CodePolicyCurrency,
	}
}

// TransitionRefusals lists the refusals of a transition of a position that there is, in the
// order in which they are looked for.
func TransitionRefusals() []Code {
	return []Code{
		CodeVersionMismatch, CodeInvalidTransition, CodePositionExpired, CodePositionEventLimit,
		CodePositionHistoryLimit, CodeTransitionAmount, CodeTemplateRetainage,
	}
}

// Error is a refusal or a failure: a code to branch on, a sentence for people,
// and, for invalid input, each fault. What caused it is for the log alone.
type Error struct {
	Code   Code
	Detail string
	Faults Faults
	// Items are, with CodeBatchRefused, the refusals of the batch's items. An item
	// without one would have been accepted.
	Items ItemRefusals `json:",omitempty"`
	cause error
}

// Errorf makes a refusal without faults.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Detail: fmt.Sprintf(format, args...)}
}

// Wrap makes an error that keeps its cause for the log.
func Wrap(code Code, cause error, detail string) *Error {
	return &Error{Code: code, Detail: detail, cause: cause}
}

// UnknownOutcome makes the error of a request that may or may not have been carried out.
func UnknownOutcome(cause error) *Error {
	return Wrap(CodeOutcomeUnknown, cause,
		"Whether the request was carried out is not known; repeat it with the same Idempotency-Key to find out.")
}

// Error implements error with the code, the detail and the cause.
func (e *Error) Error() string {
	var text strings.Builder
	text.WriteString(string(e.Code) + ": " + e.Detail)

	for _, fault := range e.Faults {
		text.WriteString("; " + fault.Field + " " + fault.Message)
	}
	if e.cause != nil {
		text.WriteString(": " + e.cause.Error())
	}
	return text.String()
}

// Unwrap returns what caused the error, if anything did.
func (e *Error) Unwrap() error { return e.cause }

// ErrorCode returns the code of a refusal, or CodeInternal for any other error.
func ErrorCode(err error) Code {
	if refusal, ok := errors.AsType[*Error](err); ok {
		return refusal.Code
	}
	return CodeInternal
}
