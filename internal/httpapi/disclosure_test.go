package httpapi_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/disclosure"
	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// sequences are those of a position's entries.
func (b bank) sequences(t *testing.T, position string) (sequences []int64) {
	t.Helper()
	var p struct{ Events []struct{ Sequence int64 } }
	b.Admin.Get(t, "/positions/"+position).Want(t, 200).Decode(t, &p)
	for _, event := range p.Events {
		sequences = append(sequences, event.Sequence)
	}
	return sequences
}

// proven is what a disclosure that was answered shows.
func (s *service) proven(t *testing.T, answer apitest.Answer) disclosure.Proven {
	t.Helper()
	read, err := disclosure.Parse(answer.Want(t, 200).Body)
	if err != nil {
		t.Fatal(err)
	}
	trusted, err := translog.NewVerifiers(s.As("").Get(t, "/keys").Want(t, 200).Texts(t, "verifierKey")...)
	if err != nil {
		t.Fatal(err)
	}
	proven, err := read.Verify(trusted)
	if err != nil {
		t.Fatalf("%s: %v", answer, err)
	}
	return proven
}

func TestOneEntryIsDisclosedAndNothingElse(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b, other := s.bank(t), s.bank(t)
		id := b.ofAda(t, "FUNDED", "PARTIALLY_RELEASED", "RELEASED")
		another := b.position(t).Text("id")
		steps := b.sequences(t, id)
		path := func(sequence int64, rest string) string {
			return fmt.Sprintf("/positions/%s/disclosure?sequence=%d%s", id, sequence, rest)
		}

		// What nobody has signed is not shown, by halves neither.
		pending := b.Admin.Get(t, path(steps[1], "")).Refused(t, 409, "checkpoint_pending")
		if detail := pending.Problem(t).Detail; !strings.Contains(detail, "within 1h0m0s") {
			t.Errorf("the refusal says %q", detail)
		}
		s.signCheckpoints()
		first := b.Admin.Get(t, path(steps[2], "&members=reason"))
		later := b.position(t, "FUNDED").Text("id")
		b.Admin.Get(t, fmt.Sprintf("/positions/%s/disclosure?sequence=%d", later, b.sequences(t, later)[0])).Refused(t, 409, "checkpoint_pending")
		s.signCheckpoints()
		if again := b.Admin.Get(t, path(steps[2], "&members=reason")); string(again.Body) != string(first.Body) {
			t.Errorf("after another checkpoint it is %s, and was %s", again, first)
		}
		if name := first.Header.Get("Content-Disposition"); name != fmt.Sprintf(`attachment; filename="disclosure-%s-%d.json"`, id, steps[2]) {
			t.Errorf("the file is named %s", name)
		}

		for place, test := range map[int]struct{ members string }{
			0: {"externalReference,holderReference,metadata"}, 1: {"reason"}, 2: {"metadata,reason,metadata"}, 3: {""},
		} {
			query := "&members=" + test.members
			if test.members == "" {
				query = ""
			}
			answer := b.Admin.Get(t, path(steps[place], query))
			proven := s.proven(t, answer)
			var members []string
			for member := range proven.Entry.Openings() {
				members = append(members, member)
			}
			slices.Sort(members)
			want := slices.DeleteFunc(slices.Compact(slices.Sorted(strings.SplitSeq(test.members, ","))), func(m string) bool { return m == "" })
			if proven.Entry.Subject != id || proven.Entry.Sequence != steps[place] || !slices.Equal(members, want) {
				t.Errorf("of entry %d it shows %q of %s", steps[place], members, proven.Entry.Subject)
			}
			if strings.Contains(string(answer.Body), ada) != (len(want) > 0) || strings.Contains(string(answer.Body), another) {
				t.Errorf("of entry %d it shows too much, or too little: %s", steps[place], answer)
			}
			if root := s.Get(t, path(steps[place], query)+"&institutionId="+b.ID).Want(t, 200); string(root.Body) != string(answer.Body) {
				t.Errorf("root is shown another: %s", root)
			}
		}

		for query, want := range map[string]struct {
			status int
			code   string
			field  []string
		}{
			path(steps[0], "&members=reason"):    {422, "invalid_input", []string{"members"}},
			path(steps[0], "&members=label"):     {422, "invalid_input", []string{"members"}},
			path(steps[0], "&members=amount"):    {422, "invalid_input", []string{"members"}},
			path(steps[0], "&members="):          {422, "invalid_input", []string{"members"}},
			path(steps[0], "&members=metadata,"): {422, "invalid_input", []string{"members"}},
			path(0, ""):                          {422, "invalid_input", []string{"sequence"}},
			path(1, ""):                          {404, "entry_not_found", nil},
			path(steps[3]+1, ""):                 {404, "entry_not_found", nil},
			path(9223372036854775807, ""):        {404, "entry_not_found", nil},
			"/positions/" + id + "/disclosure":   {422, "invalid_input", []string{"sequence"}},
			"/positions/x/disclosure?sequence=1": {404, "position_not_found", nil},
			fmt.Sprintf("/positions/%s/disclosure?sequence=%d", another, steps[0]): {404, "entry_not_found", nil},
		} {
			b.Admin.Get(t, query).Refused(t, want.status, want.code, want.field...)
		}
		b.ReadOnly.Get(t, path(steps[0], "")).Refused(t, 403, "permission_missing")
		other.Admin.Get(t, path(steps[0], "")).Refused(t, 404, "position_not_found")
	})
}

// What was erased cannot be disclosed, and what happened still can.
func TestWhatIsErasedIsDisclosedWithoutIt(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		id := b.ofAda(t, "FUNDED", "RELEASED")
		steps := b.sequences(t, id)
		s.signCheckpoints()
		path := fmt.Sprintf("/positions/%s/disclosure?sequence=%d", id, steps[2])
		before := b.Admin.Get(t, path+"&members=reason")
		b.Admin.Post(t, "/positions/"+id+"/erase", `{"reason": "article 17"}`).Want(t, 200)
		s.signCheckpoints()

		refusal := b.Admin.Get(t, path+"&members=metadata,reason").Refused(t, 409, "data_erased")
		if detail := refusal.Problem(t).Detail; !strings.Contains(detail, "reason, metadata") {
			t.Errorf("the refusal says %q", detail)
		}
		after := b.Admin.Get(t, path)
		if proven := s.proven(t, after); len(proven.Entry.Unknown()) != 2 || strings.Contains(string(after.Body), ada) {
			t.Errorf("it shows %s", after)
		}
		// Who was shown it before still has it, and it still holds.
		s.proven(t, before)

		var erasure struct {
			Data []struct{ Sequence json.Number }
		}
		b.Admin.Get(t, "/audit-events?kind=POSITION_DATA_ERASED").Want(t, 200).Decode(t, &erasure)
		why := b.Admin.Get(t, fmt.Sprintf("/positions/%s/disclosure?sequence=%s&members=reason", id, erasure.Data[0].Sequence))
		if proven := s.proven(t, why); proven.Entry.Openings()["reason"].Value != "article 17" {
			t.Errorf("of the erasure it shows %s", why)
		}
	})
}
