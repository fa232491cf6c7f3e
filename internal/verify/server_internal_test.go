package verify

import (
	"encoding/json"
	"testing"
)

// A member that is null, or not there, is not the zero that a column begins with.
func TestAbsentMembersOfAPositionAreNoZeros(t *testing.T) {
	for _, text := range []string{`{"version": 1, "funded": null}`, `{"version": 1}`} {
		var shown shownPosition
		if err := json.Unmarshal([]byte(text), &shown); err != nil {
			t.Fatal(err)
		}
		for _, column := range shown.columns {
			if column.Name == "funded" && column.Value != "" {
				t.Errorf("%s has funded %q", text, column.Value)
			}
		}
	}
}
