package httpapi_test

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// listedApproval is what the filters of a list ask of an approval.
type listedApproval struct {
	id, status, subject string
	// broken says that the operator did not wait, mine that Ana has asked for it, approved that she has approved it.
	broken, mine, approved bool
}

// approvalsOfAll asks for what ends in every way, or not, on four positions.
func approvalsOfAll(t *testing.T, s *service, b bank) (ana apitest.Client, all []listedApproval) {
	t.Helper()
	mia, ben := b.member(t, "operator", "Mia"), b.member(t, "approver", "Ben")
	b.Admin.Put(t, "/institutions/"+b.ID+"/roles/clerk", `{"permissions": ["positions.release", "positions.read", "approvals.decide", "approvals.read"]}`).Want(t, 200)
	ana = b.member(t, "clerk", "Ana")
	b.setRules(t, rule("releases", "positions.release", "approver", "clerk"))
	var positions []string
	for range 4 {
		positions = append(positions, b.position(t, "FUNDED").Text("id"))
	}

	for i := range 13 { // The last four wait.
		one := listedApproval{subject: positions[i%4], mine: i%4 == 1, status: "PENDING", approved: i == 11}
		maker := mia
		if one.mine {
			maker = ana
		}
		path, body := "/positions/"+one.subject+"/transition", step("PARTIALLY_RELEASED").with("amount", "1")
		if one.broken = i == 4; one.broken {
			s.Post(t, path+"?institutionId="+b.ID, body.with("breakGlass", fields{"reason": "all are away"}).String()).Want(t, 200)
			one.id, one.status = b.Admin.Get(t, "/approvals?limit=1&order=desc").Want(t, 200).Text("data.0.id"), "EXECUTED"
			all = append(all, one)
			continue
		}
		asked := maker.Post(t, path, body.String()).Want(t, 202)
		one.id = asked.Text("id")
		if one.approved {
			ana.Post(t, "/approvals/"+one.id+"/approve", fields{"digest": asked.Text("digest")}.String()).Want(t, 200)
		}
		switch {
		case i >= 9:
		case i%2 == 0:
			ben.Post(t, "/approvals/"+one.id+"/reject", `{"comment": "no"}`).Want(t, 200)
			one.status = "REJECTED"
		default:
			maker.Post(t, "/approvals/"+one.id+"/withdraw", "").Want(t, 200)
			one.status = "WITHDRAWN"
		}
		all = append(all, one)
	}
	return ana, all
}

// Whatever filters are put together, a list has what passes all of them, page by page, and of its institution alone.
func TestListsOfApprovalsFilterPageByPage(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b, other := s.bank(t), s.bank(t)
		ana, all := approvalsOfAll(t, s, b)
		_, others := approvalsOfAll(t, s, other)

		for _, statuses := range []string{"", "PENDING", "REJECTED", "EXECUTED,WITHDRAWN", "FAILED"} {
			for _, subject := range []string{"", all[2].subject, all[1].subject, others[0].subject, "role/clerk"} {
				for _, further := range []string{"", "breakGlass=true", "for=me"} {
					if further == "for=me" && statuses != "" {
						continue // It is for what waits.
					}
					query, want := url.Values{}, []string(nil)
					if statuses != "" {
						query.Set("status", statuses)
					}
					if subject != "" {
						query.Set("subject", subject)
					}
					for _, one := range all {
						if one.passes(statuses, subject, further) {
							want = append(want, one.id)
						}
					}
					checkApprovals(t, ana, query.Encode()+"&"+further, want)
				}
			}
		}

		between := "createdFrom=" + ana.Get(t, "/approvals/"+all[3].id).Text("createdAt") + "&createdTo=" + ana.Get(t, "/approvals/"+all[8].id).Text("createdAt")
		checkApprovals(t, ana, between+"&status=REJECTED&subject="+all[6].subject, []string{all[6].id})
		ana.Get(t, "/approvals?institutionId="+other.ID).Refused(t, 403, "forbidden")
		ana.Get(t, "/approvals/"+others[0].id).Refused(t, 404, "approval_not_found")
		ana.Get(t, "/me/inbox?institutionId="+other.ID).Refused(t, 403, "forbidden")
		checkApprovals(t, s.Client, "institutionId="+other.ID+"&breakGlass=true", []string{others[4].id})
	})
}

// passes reports whether a list with some filters has the approval.
func (a listedApproval) passes(statuses, subject, further string) bool {
	switch {
	case statuses != "" && !slices.Contains(strings.Split(statuses, ","), a.status), subject != "" && subject != a.subject:
		return false
	case further == "breakGlass=true":
		return a.broken
	case further == "for=me":
		return a.status == "PENDING" && !a.mine && !a.approved
	}
	return true
}

// checkApprovals walks a list in both orders, in pages of some sizes.
func checkApprovals(t *testing.T, c apitest.Client, query string, want []string) {
	t.Helper()
	for _, limit := range []int{1, 3, 1000} {
		for _, order := range []string{"asc", "desc"} {
			wanted := slices.Clone(want)
			if order == "desc" {
				slices.Reverse(wanted)
			}
			if got := c.Walk(t, fmt.Sprintf("/approvals?%s&limit=%d&order=%s", query, limit, order), "id"); !slices.Equal(got, wanted) {
				t.Errorf("%s in pages of %d, %s, has %v, want %v", query, limit, order, got, wanted)
			}
		}
	}
}
