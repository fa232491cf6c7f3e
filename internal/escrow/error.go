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
	CodeInvalidToken         Code = "invalid_token"
	CodeTokenIssuerUnknown   Code = "token_issuer_unknown" //nolint:gosec // It is a code, and no credential.
	CodeInvalidSession       Code = "invalid_session"
	CodeForbidden            Code = "forbidden"
	CodePermissionMissing    Code = "permission_missing"
	CodeKeyRestricted        Code = "key_restricted"
	CodeIdempotencyKeyReused Code = "idempotency_key_reused"
	CodeInstitutionNotFound  Code = "institution_not_found"
	CodeKeyNotFound          Code = "api_key_not_found"
	CodeKeyInactive          Code = "api_key_inactive"
	CodeKeyRotated           Code = "api_key_rotated"

	CodeInstitutionClosed     Code = "institution_closed"
	CodeInstitutionHoldsMoney Code = "institution_holds_money"
	CodeTemplateClosed        Code = "asset_template_closed"
	CodeAssetClosed           Code = "asset_closed"
	CodeKeyLimit              Code = "api_key_limit"
	CodeRoleLimit             Code = "role_limit"
	CodeRoleNotFound          Code = "role_not_found"
	CodeKeySecretGone         Code = "api_key_secret_gone" //nolint:gosec // It is a code, and no credential.
	CodeUserNotFound          Code = "user_not_found"
	CodeProviderNotFound      Code = "identity_provider_not_found"
	CodeSessionNotFound       Code = "session_not_found"
	CodeEncryptionKeyMissing  Code = "encryption_key_missing"
	CodePolicyNotFound        Code = "policy_not_found"
	CodeTemplateNotFound      Code = "asset_template_not_found"
	CodeAssetNotFound         Code = "asset_not_found"
	CodePositionNotFound      Code = "position_not_found"
	CodeCheckpointNotFound    Code = "checkpoint_not_found"
	CodeEntryNotFound         Code = "entry_not_found"
	CodeTemplateCurrency      Code = "template_currency"
	CodeTemplateMinAmount     Code = "template_min_amount"
	CodeTemplateMaxAmount     Code = "template_max_amount"
	CodeTemplateTenor         Code = "template_max_tenor"
	CodeTemplateRetainage     Code = "template_retainage"
	CodePolicyMinAmount       Code = "policy_min_amount"
	CodePolicyMaxAmount       Code = "policy_max_amount"
	CodePolicyCurrency        Code = "policy_currency"
	CodeExternalReference     Code = "external_reference_taken"
	CodeInvalidTransition     Code = "invalid_transition"
	CodeTransitionAmount      Code = "transition_amount"
	CodePositionExpired       Code = "position_expired"
	CodePositionEventLimit    Code = "position_event_limit"
	CodePositionHistoryLimit  Code = "position_history_limit"
	CodeVersionMismatch       Code = "version_mismatch"
	CodePositionOpen          Code = "position_open"
	CodeRetentionPeriod       Code = "retention_period"
	CodeHoldNotFound          Code = "hold_not_found"
	CodeHoldLifted            Code = "hold_lifted"
	CodeHoldAmount            Code = "hold_amount"
	CodeHoldLimit             Code = "hold_limit"
	CodePositionOnHold        Code = "position_on_hold"
	CodeUnderLegalHold        Code = "under_legal_hold"
	CodeErasureNotFound       Code = "erasure_not_found"
	CodeDataErased            Code = "data_erased"
	CodeCheckpointPending     Code = "checkpoint_pending"
	CodeBatchRefused          Code = "batch_refused"
	CodeNotApplied            Code = "not_applied"
	CodeApprovalNotFound      Code = "approval_not_found"
	CodeApprovalPending       Code = "approval_pending"
	CodeApprovalOwn           Code = "approval_own"
	CodeApprovalRole          Code = "approval_role"
	CodeApprovalDigest        Code = "approval_digest"
	CodeApprovalClosed        Code = "approval_closed"
	CodeApprovalOpen          Code = "approval_open"
	CodeApprovalLimit         Code = "approval_limit"
	CodeApproversTooFew       Code = "approvers_too_few"
	CodeBreakGlassForbidden   Code = "break_glass_forbidden"
	CodeHistoryLost           Code = "history_lost"
	CodeInternal              Code = "internal"
	CodeOverloaded            Code = "overloaded"
	CodeStoreUnavailable      Code = "store_unavailable"
	CodeOutcomeUnknown        Code = "outcome_unknown"
	CodeRequestTimeout        Code = "request_timeout"
	CodeShuttingDown          Code = "shutting_down"
)

// CreationRefusals lists the refusals of a new position on an asset that there is, in the
// order in which they are looked for: what the asset's template asks of it, the policy, and
// what other positions have.
func CreationRefusals() []Code {
	return []Code{
		CodeAssetClosed, CodeTemplateCurrency, CodeTemplateMinAmount, CodeTemplateMaxAmount, CodeTemplateTenor,
		CodePolicyMinAmount, CodePolicyMaxAmount, CodePolicyCurrency, CodeExternalReference,
	}
}

// TransitionRefusals lists the refusals of a transition of a position that there is, in the
// order in which they are looked for.
func TransitionRefusals() []Code {
	return []Code{
		CodeVersionMismatch, CodeInvalidTransition, CodePositionExpired, CodePositionEventLimit,
		CodePositionHistoryLimit, CodeTransitionAmount, CodeTemplateRetainage, CodePositionOnHold,
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

// InvalidKey makes the refusal of a key, which says the same of every key: whoever guesses learns
// nothing of one that there was.
func InvalidKey() *Error {
	return Errorf(CodeInvalidKey,
		"The API key is not valid: it may be mistyped, revoked, expired, or that of another installation.")
}

// InvalidToken makes the refusal of a user who is suspended, or is none.
func InvalidToken() *Error {
	return Errorf(CodeInvalidToken, "The token is not valid: its user may be suspended, or not be known here.")
}

// UnknownIssuer makes the refusal of a user whom the institution's identity provider does not vouch
// for: there is none, or it is another.
func UnknownIssuer() *Error {
	return Errorf(CodeTokenIssuerUnknown, "The token's issuer is not the identity provider of the institution.")
}

// NoGroupWithRole makes the refusal of a person whose provider says who they are, and that they are in
// these groups, none of which has a role.
func NoGroupWithRole(groups []string) *Error {
	if len(groups) == 0 {
		return Errorf(CodePermissionMissing, "The identity provider says who you are, and names no groups, which "+
			"roles come with: it may leave them out of its tokens, or have them in another claim than is set here.")
	}
	return Errorf(CodePermissionMissing, "The identity provider says who you are, and none of the groups that it "+
		"names has a role here: ask for one of those that have.")
}

// InvalidSession makes the refusal of a session, which says the same of every session.
func InvalidSession() *Error {
	return Errorf(CodeInvalidSession, "The session is not valid: it may have ended, or was never begun here.")
}

// UnknownOutcome makes the error of a request that may or may not have been carried out.
func UnknownOutcome(cause error) *Error {
	return Wrap(CodeOutcomeUnknown, cause,
		"Whether the request was carried out is not known; repeat it with the same Idempotency-Key to find out.")
}

// Error implements error with the code, the detail and the cause. A cause that begins with the detail
// tells it by itself.
func (e *Error) Error() string {
	var text strings.Builder
	text.WriteString(string(e.Code) + ": ")

	detail := e.Detail
	if e.cause != nil {
		detail = strings.TrimSuffix(detail, ".")
		if cause := e.cause.Error(); len(cause) >= len(detail) && strings.EqualFold(cause[:len(detail)], detail) {
			return text.String() + cause
		}
	}

	// The detail tells the first of the faults once more.
	if len(e.Faults) == 0 {
		text.WriteString(detail)
	}
	for i, fault := range e.Faults {
		if i > 0 {
			text.WriteString("; ")
		}
		text.WriteString(fault.Field + " " + fault.Message)
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
