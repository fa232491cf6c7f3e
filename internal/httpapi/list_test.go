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
			"/institutions?":                                                    "id",
			"/institutions/" + b.ID + "/api-keys?":                              "id",
			"/institutions/" + b.ID + "/policies?":                              "region",
			"/asset-templates" + mine:                                           "id",
			"/assets" + mine:                                                    "id",
			"/positions" + mine:                                                 "id",
			"/positions" + mine + "&include=events":                             "id",
			"/ledger-events" + mine:                                             "sequence",
			"/audit-events" + mine:                                              "sequence",
			"/audit-events" + mine + "&kind=POLICY_SET":                         "sequence",
			"/positions" + mine + "&state=FUNDED,CREATED&currency=USD,JPY":      "id",
			"/audit-events" + mine + "&kind=POLICY_SET,POSITION_CREATED":        "sequence",
			"/ledger-events" + mine + "&kind=POSITION_CREATED,POSITION_CREATED": "sequence",
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
				// The count is of all pages, and of the filter.
				middling := list + "&createdFrom=" + times[len(all)/2]
				for path, want := range map[string]int{list: len(all), middling: len(all) - len(all)/2} {
					first := s.Get(t, path+"&limit=1&count=true").Want(t, 200)
					last := s.Get(t, path+"&limit=1&count=true&cursor="+first.Text("pagination.nextCursor")).Want(t, 200)
					if first.Text("pagination.count") != fmt.Sprint(want) || last.Text("pagination.count") != fmt.Sprint(want) {
						t.Errorf("%s has %d items, and counts %s and %s", path, want, first.Text("pagination.count"), last.Text("pagination.count"))
					}
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

// Lists without periods, and those of one table and of none, are counted as well.
func TestEveryListIsCounted(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		s.signCheckpoints()
		s.As("").Get(t, "/positions").Refused(t, 401, "unauthorized")
		eventually(t, "the refusal is kept", func() bool {
			return len(s.Get(t, "/audit-events?outcome=refused").Want(t, 200).Texts(t, "id")) > 0
		})
		for _, list := range []string{
			"/keys?", "/institutions/" + b.ID + "/journal?", "/institutions/" + b.ID + "/journal/checkpoints?", "/audit-events?outcome=refused&",
		} {
			all := s.Get(t, list+"limit=1000&count=true").Want(t, 200)
			var page struct{ Data []any }
			all.Decode(t, &page)
			if count := all.Text("pagination.count"); count != fmt.Sprint(len(page.Data)) || len(page.Data) == 0 {
				t.Errorf("%s has %d items, and counts %q", list, len(page.Data), count)
			}
		}
		if own := b.Admin.Get(t, "/institutions?count=true").Want(t, 200).Text("pagination.count"); own != "1" {
			t.Errorf("a tenant's institutions are counted as %q", own)
		}
		s.Get(t, "/institutions?count=yes").Refused(t, 422, "invalid_input", "count")
	})
}

// What is larger than anybody reads is not counted to its end, nor read to it for a page.
func TestACountHasAnEnd(t *testing.T) { eachStore(t, testEndOfCount) }

func testEndOfCount(t *testing.T, s *service) {
	b := s.bank(t)
	b.Admin.Check = nil // It would look at ten thousand items.
	create := func(positions int) {
		item := b.claim().String()
		body := `{"items":[` + strings.Repeat(item+",", positions-1) + item + `]}`
		b.Admin.Post(t, "/positions/batch", body).Want(t, 200)
	}
	for range 10 {
		create(1000)
	}
	for _, want := range []string{"10000", "10000+"} {
		for _, list := range []string{"/positions?", "/positions?state=CREATED,FUNDED&", "/positions?updatedFrom=2020-01-01T00:00:00Z&", "/ledger-events?"} {
			if got := b.Admin.Get(t, list+"limit=1&count=true").Want(t, 200).Text("pagination.count"); got != want {
				t.Errorf("%s counts %q, want %q", list, got, want)
			}
		}
		create(1)
	}

	// A page ends where it has looked at as many steps as it may, though nothing was found.
	const nobody = "/positions?updatedFrom=2020-01-01T00:00:00Z&holderReference=nobody"
	for _, order := range []string{"", "&order=desc"} {
		page := b.Admin.Get(t, nobody+order+"&count=true").Want(t, 200)
		if len(page.Texts(t, "id")) != 0 || page.Text("pagination.hasMore") != "true" || page.Text("pagination.count") != "0+" {
			t.Errorf("the page is %s", page)
		}
		rest := b.Admin.Get(t, nobody+order+"&cursor="+page.Text("pagination.nextCursor")).Want(t, 200)
		if len(rest.Texts(t, "id")) != 0 || rest.Text("pagination.hasMore") != "false" {
			t.Errorf("the last page is %s", rest)
		}
	}
	table := b.Admin.Get(t, nobody, "Accept: text/csv").Want(t, 200)
	next, ok := strings.CutSuffix(strings.TrimPrefix(table.Header.Get("Link"), "<"), `>; rel="next"`)
	if !ok || b.Admin.Get(t, next).Want(t, 200).Header.Get("Link") != "" {
		t.Errorf("as CSV the page after %q does not end the list", table.Header.Get("Link"))
	}

	// Of what is found among others, nothing is left out.
	late := b.Admin.Post(t, "/positions", b.claim().with("holderReference", "somebody").String()).Want(t, 201).Text("id")
	found := b.Admin.Walk(t, "/positions?updatedFrom=2020-01-01T00:00:00Z&holderReference=somebody", "id")
	if !slices.Equal(found, []string{late}) {
		t.Errorf("somebody's positions are %v, not %s", found, late)
	}
}

// Several values of a filter are one parameter, with commas between them.
func TestFiltersOfSeveralValues(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		made := map[string]string{"CREATED": b.position(t).Text("id"), "FUNDED": b.position(t, "FUNDED").Text("id"), "CANCELLED": b.position(t, "CANCELLED").Text("id")}
		for query, want := range map[string][]string{
			"state=FUNDED":                              {"FUNDED"},
			"state=CANCELLED,CREATED":                   {"CREATED", "CANCELLED"},
			"state=CANCELLED,CREATED,CANCELLED":         {"CREATED", "CANCELLED"},
			"state=CREATED,FUNDED&order=desc":           {"FUNDED", "CREATED"},
			"state=CREATED,FUNDED&currency=eur,USD,usd": {"CREATED", "FUNDED"},
			"currency=EUR,JPY":                          {},
		} {
			ids := []string{}
			for _, state := range want {
				ids = append(ids, made[state])
			}
			if got := b.Admin.Get(t, "/positions?"+query).Want(t, 200).Texts(t, "id"); !slices.Equal(got, ids) && len(got)+len(ids) > 0 {
				t.Errorf("%s lists %v, want %v", query, got, ids)
			}
		}
		kinds := b.Admin.Get(t, "/audit-events?kind=ASSET_CREATED,POSITION_STATE_CHANGED").Want(t, 200).Texts(t, "kind")
		if !slices.Equal(kinds, []string{"ASSET_CREATED", "POSITION_STATE_CHANGED", "POSITION_STATE_CHANGED"}) {
			t.Errorf("two kinds list %v", kinds)
		}

		for query, field := range map[string]string{
			"/positions?state=FUNDED&state=CREATED": "state", "/positions?state=FUNDED,": "state", "/positions?state=,": "state",
			"/positions?state=FUNDED,,CREATED": "state", "/positions?state=FUNDED,%20": "state", "/positions?state=FUNDED,funded": "state",
			"/positions?state=FUNDED,%20CREATED": "state", "/positions?currency=USD,XXXX": "currency",
			"/positions?currency=" + strings.Join(slices.Collect(func(yield func(string) bool) {
				for i := range 31 {
					if !yield(fmt.Sprintf("X%c%c", 'A'+i/26, 'A'+i%26)) {
						return
					}
				}
			}), ","): "currency",
			"/ledger-events?kind=POSITION_CREATED,ASSET_CREATED": "kind", "/audit-events?kind=ASSET_CREATED&kind=API_KEY_CREATED": "kind",
			"/audit-events?kind=ASSET_CREATED,X": "kind",
		} {
			b.Admin.Get(t, query).Refused(t, 422, "invalid_input", field)
		}
	})
}

// Whoever keeps a copy of positions asks for those that have changed since.
func TestPositionsByTheirLastSteps(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		var ids []string
		for range 4 {
			ids = append(ids, b.position(t).Text("id"))
		}
		stepped := b.transition(t, ids[1], step("FUNDED")).Want(t, 200).Text("updatedAt")
		b.transition(t, ids[0], step("CANCELLED")).Want(t, 200)
		since := "updatedFrom=" + b.Admin.Get(t, "/positions/"+ids[2]).Text("createdAt")
		for query, want := range map[string][]string{
			since:                              {ids[2], ids[3], ids[1], ids[0]},
			since + "&order=desc":              {ids[0], ids[1], ids[3], ids[2]},
			since + "&state=CREATED,CANCELLED": {ids[2], ids[3], ids[0]},
			since + "&updatedTo=" + stepped:    {ids[2], ids[3]},
			"updatedTo=" + stepped:             {ids[2], ids[3]},
			"updatedFrom=" + stepped:           {ids[1], ids[0]},
			since + "&createdTo=" + since[12:]: {ids[1], ids[0]},
			"updatedFrom=" + s.clock.at(0):     {},
			since + "&holderReference=nobody":  {},
			since + "&assetId=" + b.Asset:      {ids[2], ids[3], ids[1], ids[0]},
			since + "&currency=JPY":            {},
		} {
			for _, size := range []string{"1", "2", "100"} {
				if got := b.Admin.Walk(t, "/positions?limit="+size+"&"+query, "id"); !slices.Equal(got, want) && len(got)+len(want) > 0 {
					t.Errorf("%s by %s lists %v, want %v of %v", query, size, got, want, ids)
				}
			}
			if count := b.Admin.Get(t, "/positions?limit=1&count=true&"+query).Text("pagination.count"); count != fmt.Sprint(len(want)) {
				t.Errorf("%s counts %s, want %d", query, count, len(want))
			}
		}

		// What is changed between two pages comes again, as it is then.
		page := b.Admin.Get(t, "/positions?limit=2&include=events&"+since).Want(t, 200)
		b.transition(t, ids[2], step("FUNDED")).Want(t, 200)
		rest := b.Admin.Get(t, "/positions?"+since+"&cursor="+page.Text("pagination.nextCursor")).Want(t, 200).Texts(t, "id")
		if !slices.Equal(rest, []string{ids[1], ids[0], ids[2]}) || page.Text("data.0.events.0.toState") != "CREATED" {
			t.Errorf("after %s comes %v", page, rest)
		}
		other := b.Admin.Get(t, "/positions?limit=1").Text("pagination.nextCursor")
		b.Admin.Get(t, "/positions?"+since+"&cursor="+other).Refused(t, 422, "invalid_input", "cursor")
		b.Admin.Get(t, "/positions?updatedFrom=soon").Refused(t, 422, "invalid_input", "updatedFrom")
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

// A place in one list is none in another.
func TestACursorIsOfItsList(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		b.position(t, "FUNDED")
		b.template(t, templateOf("CONSTR_ESCROW"))
		aKey(t, b)
		s.bank(t)
		s.signCheckpoints()
		lists := []string{
			"/institutions?", "/institutions/" + b.ID + "/api-keys?", "/institutions/" + b.ID + "/journal?",
			"/asset-templates?institutionId=" + b.ID + "&", "/ledger-events?institutionId=" + b.ID + "&",
			"/audit-events?institutionId=" + b.ID + "&", "/audit-events?outcome=refused&",
		}
		others := append(slices.Clone(lists), "/assets?institutionId="+b.ID+"&", "/positions?institutionId="+b.ID+"&", "/keys?", "/institutions/"+b.ID+"/policies?")
		s.As("").Get(t, "/positions").Refused(t, 401, "unauthorized")
		s.As("egk_wrong").Get(t, "/assets").Refused(t, 401, "invalid_api_key")
		eventually(t, "two refusals are kept", func() bool {
			return len(s.Get(t, "/audit-events?outcome=refused").Want(t, 200).Texts(t, "id")) > 1
		})
		for _, list := range lists {
			cursor := s.Get(t, list+"limit=1").Want(t, 200).Text("pagination.nextCursor")
			if cursor == "" {
				t.Errorf("%s has no second page", list)
			}
			for _, other := range others {
				answer := s.Get(t, other+"cursor="+cursor)
				if other == list {
					answer.Want(t, 200)
				} else {
					answer.Refused(t, 422, "invalid_input", "cursor")
				}
			}
		}
	})
}

// A filter finds a text in the form in which it was given.
func TestAFilterFindsWhatWasPadded(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		const padded = "%20ACME%202%09"
		id := b.Admin.Post(t, "/positions", b.claim().with("holderReference", " ACME 2 ").with("externalReference", " X ").String()).Want(t, 201).Text("id")
		for _, query := range []string{"holderReference=" + padded, "holderReference=ACME%202", "externalReference=%20X"} {
			query = strings.TrimSuffix(query, "%09") // A tab is a control character, in a filter as in a body.
			if got := b.Admin.Get(t, "/positions?"+query).Want(t, 200).Texts(t, "id"); !slices.Equal(got, []string{id}) {
				t.Errorf("%s finds %v", query, got)
			}
		}
	})
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
			"/positions?":                                        "id",
			"/positions?include=events":                          "id",
			"/ledger-events?":                                    "sequence",
			"/audit-events?kind=POSITION_CREATED":                "sequence",
			"/institutions/" + b.ID + "/journal?include=private": "sequence",
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
