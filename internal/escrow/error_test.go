package escrow_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

func TestErrorTellsCodeDetailFaultsAndCause(t *testing.T) {
	t.Parallel()
	var faults escrow.Faults
	faults.Add("name", "is required")
	faults.Add("regions", "must be one of %s", "US")
	for want, err := range map[string]error{
		"forbidden: The API key may only read.":                      escrow.Errorf(escrow.CodeForbidden, "The API key may only %s.", "read"),
		"store_unavailable: No answer: EOF":                          escrow.Wrap(escrow.CodeStoreUnavailable, io.EOF, "No answer."),
		"store_unavailable: no answer: EOF":                          escrow.Wrap(escrow.CodeStoreUnavailable, fmt.Errorf("no answer: %w", io.EOF), "No answer."),
		"invalid_input: name is required; regions must be one of US": faults.Err(),
	} {
		if got := err.Error(); got != want {
			t.Errorf("the error reads %q, want %q", got, want)
		}
	}
}

// People read the detail first, and many clients show nothing else.
func TestTheDetailOfAnInvalidInputTellsTheFirstFault(t *testing.T) {
	t.Parallel()
	var faults escrow.Faults
	for i, want := range []string{
		"name is required.", "name is required; errors has one more fault.", "name is required; errors has 2 more faults.",
	} {
		faults.Add([]string{"name", "regions", "label"}[i], "is required")
		refusal, ok := errors.AsType[*escrow.Error](faults.Err())
		if !ok || refusal.Detail != want {
			t.Errorf("the detail is %q, want %q", refusal.Detail, want)
		}
	}
}

func TestErrorKeepsItsCause(t *testing.T) {
	t.Parallel()
	if err := escrow.Wrap(escrow.CodeInternal, io.EOF, "Broken."); !errors.Is(err, io.EOF) {
		t.Errorf("%v does not lead to its cause", err)
	}
	if cause := escrow.Errorf(escrow.CodeInternal, "Broken.").Unwrap(); cause != nil {
		t.Errorf("an error without cause has the cause %v", cause)
	}
}

func TestErrorCodeOfWhatIsNoRefusalIsInternal(t *testing.T) {
	t.Parallel()
	refusal := escrow.Errorf(escrow.CodeAssetNotFound, "There is no such asset.")
	for _, test := range []struct {
		err  error
		want escrow.Code
	}{
		{refusal, escrow.CodeAssetNotFound},
		{fmt.Errorf("create position: %w", refusal), escrow.CodeAssetNotFound},
		{io.EOF, escrow.CodeInternal},
		{nil, escrow.CodeInternal},
	} {
		if got := escrow.ErrorCode(test.err); got != test.want {
			t.Errorf("the code of %v is %s, want %s", test.err, got, test.want)
		}
	}
}

func TestFaultsWithoutAFaultAreNoError(t *testing.T) {
	t.Parallel()
	var faults escrow.Faults
	if err := faults.Err(); err != nil {
		t.Errorf("no fault is the error %v", err)
	}
}

func TestFaultsKeepTheFirstOfEachField(t *testing.T) {
	t.Parallel()
	var faults escrow.Faults
	faults.Add("config", "must be an object")
	faults.Add("config.currency", "is required") // follows from the first
	faults.Add("configuration", "is unknown")
	faults.Add("name", "is required")
	faults.Add("name", "is too short")
	faults.Merge([]escrow.Fault{{Field: "name", Message: "is odd"}, {Field: "label", Message: "has 100%"}})
	want := escrow.Faults{
		{Field: "config", Message: "must be an object"},
		{Field: "configuration", Message: "is unknown"},
		{Field: "name", Message: "is required"},
		{Field: "label", Message: "has 100%"},
	}
	refusal, ok := errors.AsType[*escrow.Error](faults.Err())
	if !ok {
		t.Fatal("faults are not an Error")
	}
	if diff := cmp.Diff(want, refusal.Faults); diff != "" {
		t.Errorf("faults wanted (-) and kept (+):\n%s", diff)
	}
	if diff := cmp.Diff(want, faults); diff != "" {
		t.Errorf("faults wanted (-) and listed (+):\n%s", diff)
	}
	if !faults.Has("config.region") || faults.Has("con") || faults.Has("code") {
		t.Error("Has does not tell which fields are faulty")
	}
}

func TestAnUnknownOutcomeSaysWhatToDo(t *testing.T) {
	t.Parallel()
	err := escrow.UnknownOutcome(io.EOF)
	if err.Code != escrow.CodeOutcomeUnknown || !errors.Is(err, io.EOF) {
		t.Errorf("the error is %v", err)
	}
	if want := "Whether the request was carried out is not known; repeat it with the same Idempotency-Key to find out."; err.Detail != want {
		t.Errorf("people read %q, want %q", err.Detail, want)
	}
}
