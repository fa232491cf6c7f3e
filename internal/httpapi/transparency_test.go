package httpapi_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// auditor is a reader of an institution's journal who trusts nothing but the key that
// it read once.
type auditor struct {
	apitest.Client
	path      string
	verifiers translog.Verifiers
	origin    string
}

func (s *service) auditor(t *testing.T, b bank) auditor {
	t.Helper()
	// The key is public.
	keys := s.As("").Get(t, "/keys").Want(t, 200).Texts(t, "verifierKey")
	verifiers, err := translog.NewVerifiers(keys...)
	if err != nil || len(keys) != 1 {
		t.Fatalf("the keys are %q, %v", keys, err)
	}
	return auditor{b.Admin, "/institutions/" + b.ID + "/journal", verifiers, "escrowgrid.test/" + b.ID}
}

// checkpoint reads a checkpoint and opens it with the key.
func (a auditor) checkpoint(t *testing.T, query string) translog.Checkpoint {
	t.Helper()
	answer := a.Get(t, a.path+"/checkpoint"+query).Want(t, 200)
	checkpoint, err := a.verifiers.Open([]byte(answer.Text("note")))
	if err != nil || checkpoint.Origin != a.origin {
		t.Fatalf("the checkpoint is of %q, %v", checkpoint.Origin, err)
	}
	shown := fmt.Sprintln(answer.Text("origin"), answer.Text("size"), answer.Text("rootHash"), answer.Text("at"))
	if want := fmt.Sprintln(checkpoint.Origin, checkpoint.Size, checkpoint.Root, checkpoint.At.Format("2006-01-02T15:04:05.000000Z")); shown != want {
		t.Errorf("the checkpoint is shown as %s, and signed as %s", shown, want)
	}
	return checkpoint
}

// leaves reads the whole journal and returns the hashes of its entries.
func (a auditor) leaves(t *testing.T) (leaves []translog.Hash) {
	t.Helper()
	for i, body := range a.Walk(t, a.path+"?limit=3", "body") {
		leaves = append(leaves, translog.LeafHash([]byte(body)))
		told := a.Get(t, a.path+"?limit=1000").Texts(t, "leafHash")[i]
		if leaves[i].String() != told {
			t.Errorf("entry %d is said to hash to %s, and does to %s", i+1, told, leaves[i])
		}
	}
	return leaves
}

// proof reads a proof.
func (a auditor) proof(t *testing.T, query string) []translog.Hash {
	t.Helper()
	var answer struct{ Proof []translog.Hash }
	a.Get(t, a.path+"/proofs/"+query).Want(t, 200).Decode(t, &answer)
	return answer.Proof
}

func TestAJournalProvesItself(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		b.position(t, "FUNDED", "RELEASED")
		s.signCheckpoints()
		a := s.auditor(t, b)
		earlier := a.checkpoint(t, "")
		b.position(t, "FUNDED", "PARTIALLY_RELEASED", "CANCELLED")
		b.position(t)
		s.signCheckpoints()
		s.signCheckpoints() // There is nothing new: no checkpoint.
		later := a.checkpoint(t, "")

		leaves := a.leaves(t)
		var roots translog.Roots
		for i, leaf := range leaves {
			roots.Add(leaf)
			if int64(i+1) == earlier.Size && roots.Root() != earlier.Root {
				t.Errorf("the first %d entries are not those of the checkpoint", earlier.Size)
			}
		}
		if roots.Size() != later.Size || roots.Root() != later.Root {
			t.Errorf("the %d entries are not those of the checkpoint of %d", roots.Size(), later.Size)
		}
		for _, checkpoint := range []translog.Checkpoint{earlier, later} {
			for i := range checkpoint.Size {
				query := fmt.Sprintf("inclusion?sequence=%d&size=%d", i+1, checkpoint.Size)
				if err := translog.CheckInclusion(a.proof(t, query), checkpoint.Size, checkpoint.Root, i+1, leaves[i]); err != nil {
					t.Errorf("%s: %v", query, err)
				}
			}
		}
		query := fmt.Sprintf("consistency?from=%d", earlier.Size)
		if err := translog.CheckConsistency(a.proof(t, query), earlier.Size, earlier.Root, later.Size, later.Root); err != nil {
			t.Errorf("%s: %v", query, err)
		}
		if again := a.checkpoint(t, fmt.Sprintf("?size=%d", earlier.Size)); again != earlier {
			t.Errorf("the checkpoint %+v is later shown as %+v", earlier, again)
		}
		if sizes := a.Walk(t, a.path+"/checkpoints?limit=1", "size"); !cmp.Equal(sizes, []string{fmt.Sprint(earlier.Size), fmt.Sprint(later.Size)}) {
			t.Errorf("the checkpoints have the sizes %v", sizes)
		}
	})
}

func TestWhoMaySeeTheTransparencyLog(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b, other := s.bank(t), s.bank(t)
		path := "/institutions/" + b.ID + "/journal"
		s.As("").Get(t, path+"/checkpoint").Refused(t, 401, "unauthorized")
		b.ReadOnly.Get(t, path+"/checkpoint").Refused(t, 404, "checkpoint_not_found")
		b.ReadOnly.Get(t, path+"/proofs/inclusion?sequence=1").Refused(t, 404, "checkpoint_not_found")
		s.signCheckpoints()
		// Entries hold what only an administrator may see, checkpoints and proofs nothing.
		b.ReadOnly.Get(t, path).Refused(t, 403, "permission_missing")
		for _, query := range []string{"/checkpoint", "/checkpoints", "/proofs/inclusion?sequence=1", "/proofs/consistency?from=1"} {
			b.ReadOnly.Get(t, path+query).Want(t, 200)
			s.Get(t, path+query).Want(t, 200)
			other.Admin.Get(t, path+query).Refused(t, 404, "institution_not_found")
		}
		other.Admin.Get(t, path).Refused(t, 404, "institution_not_found")
		other.Admin.Get(t, "/institutions/"+b.ID+"/balances").Refused(t, 404, "institution_not_found")
	})
}

func TestQueriesOfTheTransparencyLogAreChecked(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	s.signCheckpoints()
	path := "/institutions/" + b.ID + "/journal"
	for query, want := range map[string]struct {
		status int
		code   string
		fields []string
	}{
		"/checkpoint?size=2":                    {404, "checkpoint_not_found", nil},
		"/checkpoint?size=99999":                {404, "checkpoint_not_found", nil},
		"/checkpoint?size=two":                  {422, "invalid_input", []string{"size"}},
		"/checkpoint?size=9223372036854775808":  {422, "invalid_input", []string{"size"}},
		"/checkpoint?of=2":                      {422, "invalid_input", []string{"of"}},
		"/checkpoints?limit=0&order=up":         {422, "invalid_input", []string{"limit", "order"}},
		"/proofs/inclusion":                     {422, "invalid_input", []string{"sequence"}},
		"/proofs/inclusion?sequence=0":          {404, "entry_not_found", nil},
		"/proofs/inclusion?sequence=99999":      {404, "entry_not_found", nil},
		"/proofs/inclusion?sequence=3&size=2":   {404, "entry_not_found", nil},
		"/proofs/inclusion?sequence=1&size=999": {404, "checkpoint_not_found", nil},
		"/proofs/inclusion?sequence=-1&size=x":  {422, "invalid_input", []string{"sequence", "size"}},
		"/proofs/consistency":                   {422, "invalid_input", []string{"from"}},
		"/proofs/consistency?from=0":            {404, "checkpoint_not_found", nil},
		"/proofs/consistency?from=3&to=2":       {404, "checkpoint_not_found", nil},
		"/proofs/consistency?from=1&to=999":     {404, "checkpoint_not_found", nil},
		"?limit=1001":                           {422, "invalid_input", []string{"limit"}},
	} {
		b.Admin.Get(t, path+query).Refused(t, want.status, want.code, want.fields...)
	}
}

func TestBalancesSumToZero(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		balances := func() (lines []string) {
			var answer struct {
				Balances []struct{ Currency, Holder, Escrow, Beneficiary, Refund, Total string }
			}
			b.ReadOnly.Get(t, "/institutions/"+b.ID+"/balances").Want(t, 200).Decode(t, &answer)
			for _, of := range answer.Balances {
				lines = append(lines, strings.Join([]string{of.Currency, of.Holder, of.Escrow, of.Beneficiary, of.Refund, of.Total}, " "))
			}
			return lines
		}
		if got := balances(); len(got) != 0 {
			t.Errorf("before any movement the balances are %q", got)
		}
		b.position(t, "FUNDED")
		b.position(t, "FUNDED", "PARTIALLY_RELEASED")
		b.position(t)
		want := []string{"USD -2000.00 1990.00 10.00 0.00 0.00"}
		for _, when := range []string{"before", "after"} {
			if got := balances(); !cmp.Equal(got, want) {
				t.Errorf("%s the checkpoint the balances are %q, want %q", when, got, want)
			}
			s.signCheckpoints()
		}
		b.position(t, "FUNDED", "RELEASED")
		b.position(t, "FUNDED", "PARTIALLY_RELEASED", "CANCELLED")
		want = []string{"USD -4000.00 1990.00 1020.00 990.00 0.00"}
		if got := balances(); !cmp.Equal(got, want) {
			t.Errorf("between checkpoints the balances are %q, want %q", got, want)
		}
	})
}
