package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// Every list gives every item once, in the order of creation or against it, by
// pages of any size.
func TestLists(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		for i := range 7 {
			s.Post(t, "/institutions", newInstitution(b).String()).Want(t, 201)
			b.template(t, templateOf("CONSTR_ESCROW"))
			b.asset(t, b.Template)
			b.position(t, "FUNDED")
			aKey(t, b)
			region := []string{"UAE", "SG", "US", "EU_UK"}[i%4]
			b.Admin.Put(t, "/institutions/"+b.ID+"/policies/"+region, newPolicy(b).String()).Want(t, 200)
		}
		mine := "?institutionId=" + b.ID
		for list, value := range map[string]string{
			"/institutions?":                            "id",
			"/institutions/" + b.ID + "/api-keys?":      "id",
			"/institutions/" + b.ID + "/policies?":      "region",
			"/asset-templates" + mine:                   "id",
			"/assets" + mine:                            "id",
			"/positions" + mine:                         "id",
			"/positions" + mine + "&include=events":     "id",
			"/ledger-events" + mine:                     "sequence",
			"/audit-events" + mine:                      "sequence",
			"/audit-events" + mine + "&kind=POLICY_SET": "sequence",
		} {
			t.Run(list, func(t *testing.T) {
				whole := s.Get(t, list+"&limit=100").Want(t, 200)
				all := whole.Texts(t, value)
				times := whole.Texts(t, "createdAt")
				if strings.Contains(list, "-events") {
					times = whole.Texts(t, "at")
				}
				if len(all) < 4 || !slices.IsSorted(times) {
					t.Fatalf("the list has %d items of %v", len(all), times)
				}
				if whole.Text("pagination") != `{"hasMore":false,"limit":100,"nextCursor":null}` {
					t.Errorf("pagination is %s", whole.Text("pagination"))
				}
				backwards := slices.Clone(all)
				slices.Reverse(backwards)
				for _, size := range []int{1, 3, len(all) - 1, len(all), len(all) + 1, 100} {
					sized := fmt.Sprintf("%s&limit=%d", list, size)
					if got := s.Walk(t, sized, value); !slices.Equal(got, all) {
						t.Errorf("pages of %d are %v, want %v", size, got, all)
					}
					if got := s.Walk(t, sized+"&order=desc", value); !slices.Equal(got, backwards) {
						t.Errorf("pages of %d, newest first, are %v, want %v", size, got, backwards)
					}
				}
				// A period begins at its first moment and ends before its last.
				middle := len(all) / 2
				for period, want := range map[string][]string{
					"createdFrom=" + times[middle]:                                 all[middle:],
					"createdTo=" + times[middle]:                                   all[:middle],
					"createdFrom=" + times[1] + "&createdTo=" + times[middle]:      all[1:middle],
					"createdFrom=" + times[middle] + "&createdTo=" + times[middle]: {},
					"createdFrom=" + s.clock.at(0):                                 {},
					"createdFrom=2020-01-01T00:00:00-11:00":                        all,
				} {
					if got := s.Walk(t, list+"&limit=2&"+period, value); !slices.Equal(got, want) && len(got)+len(want) > 0 {
						t.Errorf("%s lists %v, want %v of %v", period, got, want, all)
					}
				}
			})
		}
		if limit := s.Get(t, "/positions"+mine).Text("pagination.limit"); limit != "100" {
			t.Errorf("without a limit it is %s", limit)
		}
		s.Get(t, "/positions"+mine+"&limit=1000").Want(t, 200)
	})
}

// A tenant sees of the institutions its own, by the same parameters.
func TestATenantsListOfInstitutions(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	s.bank(t)
	whole := b.ReadOnly.Get(t, "/institutions").Want(t, 200)
	created := whole.Text("data.0.createdAt")
	if ids := whole.Texts(t, "id"); !slices.Equal(ids, []string{b.ID}) {
		t.Errorf("it sees %v", ids)
	}
	cursor := s.Get(t, "/institutions?limit=1").Text("pagination.nextCursor")
	for query, want := range map[string]int{
		"createdFrom=" + created: 1, "createdTo=" + created: 0, "createdFrom=" + s.clock.at(0): 0, "createdTo=" + s.clock.at(0): 1,
		"cursor=" + cursor: 0, "order=desc&cursor=" + cursor: 0, "order=desc": 1, "limit=1": 1,
	} {
		if got := b.Admin.Get(t, "/institutions?"+query).Want(t, 200).Texts(t, "id"); len(got) != want {
			t.Errorf("%s lists %v", query, got)
		}
	}
}

// A cursor stays good while the list grows.
func TestACursorOutlivesWhatComesAfterIt(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		var made []string
		for range 4 {
			made = append(made, b.position(t).Text("id"))
		}
		page := b.Admin.Get(t, "/positions?limit=2").Want(t, 200)
		newest := b.Admin.Get(t, "/positions?limit=2&order=desc").Want(t, 200)
		made = append(made, b.position(t).Text("id"))
		if rest := b.Admin.Get(t, "/positions?cursor="+page.Text("pagination.nextCursor")).Texts(t, "id"); !slices.Equal(rest, made[2:]) {
			t.Errorf("after the first two come %v of %v", rest, made)
		}
		if rest := b.Admin.Get(t, "/positions?order=desc&cursor="+newest.Text("pagination.nextCursor")).Texts(t, "id"); !slices.Equal(rest, []string{made[1], made[0]}) {
			t.Errorf("before the last two come %v of %v", rest, made)
		}
	})
}

// A page ends where it has 4 MiB, and goes on with its cursor: nothing is lost, and HEAD tells
// the size that GET has.
func TestPagesOfLargeItems(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		// Quotes are escaped once more in the journal.
		padding := strings.Repeat(`"",`, 64<<10/3-4)
		const large = 150
		for range large {
			b.Admin.Post(t, "/positions", b.claim().with("metadata", raw(`{"a":[`+padding+`""]}`)).String()).Want(t, 201)
		}
		for list, value := range map[string]string{
			"/positions?":                         "id",
			"/positions?include=events":           "id",
			"/ledger-events?":                     "sequence",
			"/audit-events?kind=POSITION_CREATED": "sequence",
			"/institutions/" + b.ID + "/journal?": "sequence",
		} {
			limit := "&limit=1000"
			if strings.Contains(list, "events") && strings.Contains(list, "include") {
				limit = "&limit=100"
			}
			seen := make(map[string]bool)
			path, pages := list+limit, 0
			for more := true; more; pages++ {
				page := b.Admin.Get(t, path).Want(t, 200)
				if len(page.Body) > 4<<20+1024 {
					t.Fatalf("a page of %s has %d bytes", list, len(page.Body))
				}
				for _, item := range page.Texts(t, value) {
					seen[item] = true
				}
				var end struct {
					Pagination struct {
						HasMore    bool
						NextCursor string
					}
				}
				if err := json.Unmarshal(page.Body, &end); err != nil {
					t.Fatal(err)
				}
				// The ledger reads what creations have of metadata, and does not show it.
				more = end.Pagination.HasMore
				if more && len(page.Body) < 4<<20-150<<10 && list != "/ledger-events?" {
					t.Errorf("a page of %s ends after %d bytes", list, len(page.Body))
				}
				head := b.Admin.Send(t, apitest.Request{Method: http.MethodHead, Path: path}).Want(t, 200)
				if length := head.Header.Get("Content-Length"); length != fmt.Sprint(len(page.Body)) {
					t.Errorf("HEAD of %s tells %s bytes, not %d", list, length, len(page.Body))
				}
				path = list + limit + "&cursor=" + end.Pagination.NextCursor
			}
			if want := large; len(seen) < want || pages < 3 {
				t.Errorf("%s has %d items on %d pages", list, len(seen), pages)
			}
		}
	})
}
