package engine_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/escrowgrid/escrowgrid/internal/engine"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// office is an institution with people who ask and people who approve.
type office struct {
	servers  [2]*server
	of       escrow.InstitutionID
	asset    escrow.AssetID
	maker    escrow.APIKey
	checkers []escrow.APIKey
}

func newOffice(servers [2]*server, count int64, on ...string) office {
	s := servers[0]
	o := office{servers: servers, of: s.institution()}
	o.asset = s.asset(o.of)
	o.maker, _ = s.keyWith(o.of, escrow.KeyInput{Label: "maker", Role: "maker", Owner: new("maker@example.com")})
	for i := range 3 {
		key, _ := s.keyWith(o.of, escrow.KeyInput{Label: "checker", Role: "approver", Owner: new(fmt.Sprint("checker-", i))})
		o.checkers = append(o.checkers, key)
	}
	o.rule(count, on...)
	return o
}

// rule has so many approve all commands of some permissions; there is no rule where these are none.
func (o office) rule(count int64, on ...string) {
	var rules []escrow.ApprovalRuleInput
	if len(on) > 0 {
		rules = []escrow.ApprovalRuleInput{{ID: "all", On: on, Require: []escrow.RequirementInput{{Role: "approver", Count: count}}}}
	}
	accept[escrow.ApprovalRules](o.servers[0], root(o.of, valid(escrow.NewSetApprovalRules(rules, nil))))
}

// funded makes a position and funds it.
func (o office) funded() escrow.PositionID {
	id := accept[escrow.Position](o.servers[0], by(o.maker, createPosition(o.asset, "h", "10"))).ID
	accept[escrow.Position](o.servers[1], by(o.maker, transition(id, escrow.StateFunded, "")))
	return id
}

// ask asks for the release of a position, on the first server.
func (o office) ask(id escrow.PositionID) escrow.Approval {
	return accept[escrow.Approval](o.servers[0], by(o.maker, transition(id, escrow.StateReleased, "")))
}

// approval is the request with which a checker approves.
func (o office) approval(checker int, a escrow.Approval) escrow.Request {
	return by(o.checkers[checker], valid(escrow.NewApproveApproval(a.ID, must(a.Asked()).Digest.String(), nil)))
}

func (o office) state(id escrow.PositionID) escrow.State {
	return must(o.servers[0].Position(context.Background(), o.of, id)).State
}

func kindsOf(entries []escrow.Entry) (kinds []escrow.Kind) {
	for _, entry := range entries {
		kinds = append(kinds, entry.Kind)
	}
	return kinds
}

// What is asked for on one server is approved on the other, and carried out with the last approval. To ask or to
// approve again under the same idempotency key gives the same answer.
func TestACommandUnderARuleIsCarriedOutOnceItIsApproved(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		o := newOffice(servers, 2, "positions.release")
		id := o.funded()
		asking := under("ask", "release", by(o.maker, transition(id, escrow.StateReleased, "")))
		asked := accept[escrow.Approval](servers[0], asking)
		if asked.Status != escrow.ApprovalPending || o.state(id) != escrow.StateFunded {
			t.Fatalf("the approval is %s, and the position %s", asked.Status, o.state(id))
		}
		pending := must(servers[1].PendingOn(t.Context(), o.of, []string{id.String()}))
		if len(pending) != 1 || pending[0].ApprovalID != asked.ID || pending[0].Amount.Amount != 1000 {
			t.Errorf("on the position there is pending %+v", pending)
		}
		refuse(servers[1], by(o.maker, transition(id, escrow.StateReleased, "")), escrow.CodeApprovalPending)
		refuse(servers[1], by(o.maker, valid(escrow.NewApproveApproval(asked.ID, must(asked.Asked()).Digest.String(), nil))), escrow.CodePermissionMissing)

		if first := accept[escrow.Approval](servers[1], o.approval(0, asked)); first.Status != escrow.ApprovalPending || len(first.Given) != 1 {
			t.Fatalf("after one approval it is %+v", first)
		}
		refuse(servers[0], o.approval(0, asked), escrow.CodeApprovalOwn)
		last := under("last", "approve", o.approval(1, asked))
		done := accept[escrow.Approval](servers[0], last)
		if done.Status != escrow.ApprovalExecuted || o.state(id) != escrow.StateReleased {
			t.Fatalf("the approval is %s, and the position %s", done.Status, o.state(id))
		}
		refuse(servers[1], o.approval(2, asked), escrow.CodeApprovalClosed)

		for _, s := range servers {
			again := must(s.Do(t.Context(), asking))
			if a := resource[escrow.Approval](again); !again.Replayed || a.ID != asked.ID || a.Status != escrow.ApprovalPending {
				t.Errorf("asked again, the answer is %+v", a)
			}
			again = must(s.Do(t.Context(), last))
			if a := resource[escrow.Approval](again); !again.Replayed || a.Status != escrow.ApprovalExecuted || len(a.Given) != 2 {
				t.Errorf("approved again, the answer is %+v", a)
			}
		}
		entries := servers[1].checkJournal(o.of)
		entries = entries[len(entries)-4:]
		want := []escrow.Kind{escrow.KindApprovalRequested, escrow.KindApprovalGiven, escrow.KindApprovalGiven, "POSITION_STATE_CHANGED"}
		carried := entries[3]
		if !slices.Equal(kindsOf(entries), want) || carried.Actor != asking.Actor || carried.Approval == nil || carried.Approval.ID != asked.ID || len(carried.Approval.By) != 2 {
			t.Errorf("the journal ends with %v, the last of %s with %+v", kindsOf(entries), carried.Actor, carried.Approval)
		}
	})
}

// What is read of a maker's rotations grows by one key each time that the books lack it.
func TestAMakerWhoWasRotatedOftenIsFollowed(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		o := newOffice(servers, 1, "positions.release")
		id := o.funded()
		asked, key := o.ask(id), o.maker.ID
		for i := range 16 {
			rotation := valid(escrow.NewRotateKey(key, escrow.RotationInput{}, escrow.HashSecret(fmt.Sprint(o.of, i))))
			key = accept[escrow.APIKey](servers[0], root(o.of, rotation)).ID
		}
		if done := accept[escrow.Approval](servers[1], o.approval(0, asked)); done.Status != escrow.ApprovalExecuted || o.state(id) != escrow.StateReleased {
			t.Errorf("the approval is %s: %+v", done.Status, done.Refusal)
		}
	})
}

// Two things that happen to an approval at once: one comes first, and the other is told why it comes too late.
func TestRacesOfApprovals(t *testing.T) {
	withdrawal := func(o office, a escrow.Approval, _ escrow.PositionID) escrow.Request {
		return by(o.maker, escrow.WithdrawApproval{Approval: a.ID})
	}
	for name, race := range map[string]struct {
		// against is what meets the last approval, whose codes it can end with, and expected the statuses of
		// the approval after it.
		against  func(o office, a escrow.Approval, id escrow.PositionID) escrow.Request
		codes    []escrow.Code
		approval []escrow.Code
		statuses []escrow.ApprovalStatus
		// until, where it is set, is when the clock strikes that it waits for.
		until func(escrow.Approval, escrow.Position) time.Time
	}{
		"another last approval": {
			against:  func(o office, a escrow.Approval, _ escrow.PositionID) escrow.Request { return o.approval(2, a) },
			codes:    []escrow.Code{"", escrow.CodeApprovalClosed},
			approval: []escrow.Code{"", escrow.CodeApprovalClosed},
			statuses: []escrow.ApprovalStatus{escrow.ApprovalExecuted},
		},
		"a withdrawal": {
			against:  withdrawal,
			codes:    []escrow.Code{"", escrow.CodeApprovalClosed},
			approval: []escrow.Code{"", escrow.CodeApprovalClosed},
			statuses: []escrow.ApprovalStatus{escrow.ApprovalExecuted, escrow.ApprovalWithdrawn},
		},
		"its expiry": {
			against: func(o office, a escrow.Approval, _ escrow.PositionID) escrow.Request {
				r := root(o.of, escrow.ExpireApproval{Approval: a.ID})
				r.Actor = escrow.ActorSystem()
				return r
			},
			codes:    []escrow.Code{"", escrow.CodeApprovalClosed},
			approval: []escrow.Code{"", escrow.CodeApprovalClosed},
			statuses: []escrow.ApprovalStatus{escrow.ApprovalExecuted, escrow.ApprovalExpired},
			until:    func(a escrow.Approval, _ escrow.Position) time.Time { return a.ExpiresAt },
		},
		"other rules": {
			against: func(o office, _ escrow.Approval, _ escrow.PositionID) escrow.Request {
				return root(o.of, valid(escrow.NewSetApprovalRules(nil, nil)))
			},
			codes: []escrow.Code{""}, approval: []escrow.Code{""},
			statuses: []escrow.ApprovalStatus{escrow.ApprovalExecuted},
		},
		"the revocation of the checker's key": {
			against: func(o office, _ escrow.Approval, _ escrow.PositionID) escrow.Request {
				return root(o.of, escrow.RevokeKey{Key: o.checkers[1].ID})
			},
			codes:    []escrow.Code{""},
			approval: []escrow.Code{"", escrow.CodeInvalidKey},
			statuses: []escrow.ApprovalStatus{escrow.ApprovalExecuted, escrow.ApprovalPending},
		},
		"the expiry of the position": {
			against: func(o office, _ escrow.Approval, id escrow.PositionID) escrow.Request {
				r := root(o.of, escrow.ExpirePosition(id))
				r.Actor = escrow.ActorSystem()
				return r
			},
			codes:    []escrow.Code{"", escrow.CodeInvalidTransition},
			approval: []escrow.Code{""},
			statuses: []escrow.ApprovalStatus{escrow.ApprovalExecuted, escrow.ApprovalFailed},
			until:    func(_ escrow.Approval, p escrow.Position) time.Time { return *p.ExpiresAt },
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachPair(t, func(t *testing.T, servers [2]*server) {
				for range 4 {
					o := newOffice(servers, 2, "positions.release")
					due := must(servers[0].Asset(t.Context(), o.of, o.asset)).CreatedAt.Add(time.Hour)
					in := escrow.PositionInput{AssetID: o.asset.String(), HolderReference: "h", Currency: "USD", Amount: "10", ExpiresAt: new(escrow.FormatTime(due))}
					position := accept[escrow.Position](servers[0], by(o.maker, valid(escrow.NewCreatePosition(in))))
					id := position.ID
					accept[escrow.Position](servers[1], by(o.maker, transition(id, escrow.StateFunded, "")))
					a := o.ask(id)
					accept[escrow.Approval](servers[1], o.approval(0, a))

					var both sync.WaitGroup
					var approved, other error
					both.Go(func() { _, approved = servers[0].Do(t.Context(), o.approval(1, a)) })
					both.Go(func() {
						if race.until != nil {
							servers[0].clock.advance(race.until(a, position).Sub(servers[0].clock.now()))
						}
						_, other = servers[1].Do(t.Context(), race.against(o, a, id))
					})
					both.Wait()
					after := must(servers[1].Approval(t.Context(), o.of, a.ID))
					if !slices.Contains(race.approval, codeOf(approved)) || !slices.Contains(race.codes, codeOf(other)) || !slices.Contains(race.statuses, after.Status) {
						t.Errorf("the approval ends with %v, what meets it with %v, and it is %s", approved, other, after.Status)
					}
					if executed := after.Status == escrow.ApprovalExecuted; executed != (o.state(id) == escrow.StateReleased) {
						t.Errorf("the approval is %s, and the position %s", after.Status, o.state(id))
					}
					releases := 0
					for _, entry := range servers[0].checkJournal(o.of) {
						if entry.Approval != nil {
							releases++
						}
					}
					if want := map[bool]int{true: 1}[after.Status == escrow.ApprovalExecuted]; releases != want {
						t.Errorf("%d entries are of the approval, which is %s", releases, after.Status)
					}
				}
			})
		})
	}
}

// An approval and what it approves are written together or not at all.
func TestAnApprovalWhoseCommandCannotBeWrittenIsNotGiven(t *testing.T) {
	eachOwnDatabase(t, func(t *testing.T, d database) {
		servers := d.pair(t)
		o := newOffice(servers, 1, "positions.create")
		a := accept[escrow.Approval](servers[0], by(o.maker, createPosition(o.asset, "poison", "10")))
		d.poison(t, "positions", "holder_reference")
		refuse(servers[1], o.approval(0, a), escrow.CodeInternal)
		if after := must(servers[0].Approval(t.Context(), o.of, a.ID)); after.Status != escrow.ApprovalPending || len(after.Given) != 0 {
			t.Errorf("the approval is %+v", after)
		}
		if entries := servers[0].checkJournal(o.of); entries[len(entries)-1].Kind != escrow.KindApprovalRequested {
			t.Errorf("the journal ends with %s", entries[len(entries)-1].Kind)
		}
	})
}

// Approvals that have waited too long are expired by the system, once, and the metrics tell what waits.
func TestDueApprovalsExpire(t *testing.T) {
	eachOwnDatabase(t, func(t *testing.T, d database) {
		servers := d.pair(t, watchful)
		var asked []escrow.Approval
		for range 3 {
			o := newOffice(servers, 1, "positions.release")
			for range 2 {
				asked = append(asked, o.ask(o.funded()))
			}
			o.rule(1)
			refuse(servers[0], escrow.Request{
				Institution: o.of, Actor: escrow.ActorSystem(), RequestID: "r", Command: escrow.ExpireApproval{Approval: asked[len(asked)-1].ID},
			}, escrow.CodeApprovalClosed)
		}
		eventually(t, "the servers tell how many wait", func() bool { return servers[0].metric("approvals_pending") == len(asked) })
		if left := servers[0].measure("approvals_next_expiry_seconds"); left < escrow.DefaultApprovalTerm.Seconds() || left > escrow.DefaultApprovalTerm.Seconds()+1 {
			t.Errorf("the next expires in %f seconds", left)
		}
		servers[0].clock.advance(escrow.DefaultApprovalTerm + time.Second) // Entries are later than a clock that stands still.
		eventually(t, "they are expired", func() bool { return total(servers, "approvals_expired_total") >= len(asked) })
		for _, s := range servers {
			eventually(t, "none waits", func() bool {
				return s.metric("approvals_pending") == 0 && s.metric("approvals_due") == 0 && math.IsInf(s.measure("approvals_next_expiry_seconds"), 1)
			})
		}
		for _, a := range asked {
			if after := must(servers[1].Approval(t.Context(), a.InstitutionID, a.ID)); after.Status != escrow.ApprovalExpired || after.Version != 2 {
				t.Errorf("the approval is %s after %d entries", after.Status, after.Version)
			}
			servers[1].checkJournal(a.InstitutionID)
		}
		if n := total(servers, "approvals_expired_total"); n != len(asked) {
			t.Errorf("%d approvals were expired, want %d", n, len(asked))
		}
	})
}

// Everybody finds what they can approve now, and nothing else.
func TestApprovalsForSomebody(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		o := newOffice(servers, 2, "positions.release")
		var asked []escrow.ApprovalID
		for range 5 {
			asked = append(asked, o.ask(o.funded()).ID)
		}
		second, _ := servers[0].keyWith(o.of, escrow.KeyInput{Label: "their second", Role: "approver", Owner: new("maker@example.com")})
		auditor, _ := servers[0].key(o.of, "auditor", nil)
		decided := must(servers[0].Approval(t.Context(), o.of, asked[1]))
		accept[escrow.Approval](servers[1], o.approval(0, decided))
		accept[escrow.Approval](servers[1], by(o.maker, escrow.WithdrawApproval{Approval: asked[3]}))

		others := []escrow.ApprovalID{asked[0], asked[2], asked[4]}
		for name, who := range map[string]struct {
			request escrow.Request
			want    []escrow.ApprovalID
		}{
			"who has approved one":       {by(o.checkers[0], nil), others},
			"who has approved none":      {by(o.checkers[1], nil), []escrow.ApprovalID{asked[0], asked[1], asked[2], asked[4]}},
			"who has asked":              {by(o.maker, nil), nil},
			"who has asked, another key": {by(second, nil), nil},
			"who has no role":            {by(auditor, nil), nil},
			"the operator":               {root(o.of, nil), nil},
		} {
			for _, limit := range []int{1, 2, 100} {
				var got []escrow.ApprovalID
				page := escrow.PageRequest{Limit: limit}
				for more := true; more; {
					found := must(servers[1].SievedApprovals(t.Context(), who.request, escrow.ApprovalFilter{}, engine.ApprovalSieve{ForActor: true}, page))
					for _, a := range found.Items {
						got = append(got, a.ID)
					}
					if more = found.More; more && found.Next != nil {
						page.After = found.Next
					} else if more {
						page.After = new(escrow.IDCursor(got[len(got)-1]))
					}
				}
				if !slices.Equal(got, who.want) {
					t.Errorf("%s can approve %v, want %v", name, got, who.want)
				}
			}
		}
	})
}

// However much waits that is for others, each page looks at a bounded part of it, and tells where to go on.
func TestAPageOfApprovalsGoesOnBehindThoseForOthers(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		o := newOffice(servers, 1, "positions.create")
		both, _ := servers[0].keyWith(o.of, escrow.KeyInput{Label: "their second", Role: "approver", Owner: new("maker@example.com")})
		var all sync.WaitGroup
		for range 1010 {
			all.Go(func() {
				if _, err := servers[0].Do(t.Context(), by(o.maker, createPosition(o.asset, "h", "1"))); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		other, _ := servers[0].keyWith(o.of, escrow.KeyInput{Label: "another", Role: "maker", Owner: new("other@example.com")})
		last := accept[escrow.Approval](servers[1], by(other, createPosition(o.asset, "h", "1")))

		page, sieve := escrow.PageRequest{Limit: 5}, engine.ApprovalSieve{ForActor: true}
		first := must(servers[1].SievedApprovals(t.Context(), by(both, nil), escrow.ApprovalFilter{}, sieve, page))
		if len(first.Items) != 0 || !first.More || first.Next == nil {
			t.Fatalf("the first page has %d approvals, more: %t, after %v", len(first.Items), first.More, first.Next)
		}
		page.After = first.Next
		second := must(servers[1].SievedApprovals(t.Context(), by(both, nil), escrow.ApprovalFilter{}, sieve, page))
		if len(second.Items) != 1 || second.Items[0].ID != last.ID || second.More {
			t.Errorf("the second page has %d approvals, more: %t", len(second.Items), second.More)
		}
	})
}

// The operator can carry a command out at once, which counts.
func TestBrokenGlassIsCounted(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		o := newOffice(servers, 1, "positions.release")
		id := o.funded()
		r := root(o.of, transition(id, escrow.StateReleased, ""))
		r.BreakGlass = "the bank is on fire"
		rehearsed := r
		rehearsed.DryRun = true
		if p := accept[escrow.Position](servers[0], rehearsed); p.State != escrow.StateReleased || o.state(id) != escrow.StateFunded {
			t.Errorf("a dry run answers with %s, and the position is %s", p.State, o.state(id))
		}
		before := total(servers, "break_glass_total")
		if p := accept[escrow.Position](servers[1], r); p.State != escrow.StateReleased {
			t.Errorf("the position is %s", p.State)
		}
		if n := total(servers, "break_glass_total") - before; before != 0 || n != 1 {
			t.Errorf("%d and %d broken glasses are counted", before, n)
		}
		servers[0].checkJournal(o.of)
	})
}

// Requests that lack rows leave those beside them alone, and each is carried out once.
func TestRequestsOfOneGroupThatLackRows(t *testing.T) {
	eachPair(t, func(t *testing.T, servers [2]*server) {
		o := newOffice(servers, 1, "positions.release")
		plain := newOffice(servers, 1)
		var requests []escrow.Request
		for i := range 20 {
			requests = append(requests, under(fmt.Sprint(i), "create", by(o.maker, createPosition(o.asset, "h", "1"))),
				by(plain.maker, createPosition(plain.asset, "h", "1")))
		}
		fresh, err := engine.New(engine.Config{
			Store: servers[0].store, Logger: slog.New(slog.DiscardHandler), Now: servers[0].clock.now, Random: rand.Reader,
			Metrics: prometheus.NewRegistry(), QueueSize: 1000, GroupSize: 512, ExpiryInterval: time.Hour,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = fresh.Close(context.Background()) }()
		var all sync.WaitGroup
		for _, r := range requests {
			all.Go(func() {
				if _, err := fresh.Do(t.Context(), r); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		for _, of := range []escrow.InstitutionID{o.of, plain.of} {
			if n := len(servers[0].tables(of).Positions); n != 20 {
				t.Errorf("there are %d positions", n)
			}
			servers[0].checkJournal(of)
		}
	})
}
