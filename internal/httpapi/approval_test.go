package httpapi_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
)

// require is what a rule asks for: one person of each role.
func require(roles ...string) []fields {
	required := []fields{}
	for _, role := range roles {
		required = append(required, fields{"role": role, "count": 1})
	}
	return required
}

// rule has all commands of a permission approved by one person of each role.
func rule(id, on string, roles ...string) fields {
	return fields{"id": id, "on": []string{on}, "require": require(roles...)}
}

// setRules sets the rules of a bank.
func (b bank) setRules(tb testing.TB, rules ...fields) apitest.Answer {
	tb.Helper()
	if rules == nil {
		rules = []fields{}
	}
	return b.Admin.Put(tb, "/institutions/"+b.ID+"/approval-rules", fields{"rules": rules}.String()).Want(tb, 200)
}

// member makes a key of a role and of a person, and returns its client.
func (b bank) member(tb testing.TB, role, owner string) apitest.Client {
	tb.Helper()
	return b.Admin.As(b.keyOf(tb, fields{"label": role, "role": role, "owner": owner}))
}

// anApproval asks for something that takes an approver, somebody of compliance and an admin. It is on an asset
// of its own, so that nothing else is under the rule.
func anApproval(tb testing.TB, b bank) []string {
	tb.Helper()
	b.member(tb, "approver", "an approver")
	b.member(tb, "compliance", "an officer")
	asset := b.asset(tb, b.Template)
	b.setRules(tb, rule("cancels", "positions.cancel", "approver", "compliance", "admin").with("when", fields{"assetId": asset}))
	position := b.Admin.Post(tb, "/positions", b.claim().with("assetId", asset).String()).Want(tb, 201).Text("id")
	maker := b.member(tb, "operator", "a maker")
	return []string{maker.Post(tb, "/positions/"+position+"/transition", step("CANCELLED").String()).Want(tb, 202).Text("id")}
}

// aWithdrawn is an approval that has come to its end.
func aWithdrawn(tb testing.TB, b bank) []string {
	tb.Helper()
	ids := anApproval(tb, b)
	b.member(tb, "approver", "another approver").Post(tb, "/approvals/"+ids[0]+"/reject", newComment(b).String()).Want(tb, 200)
	return ids
}

// The whole walk of a release under a rule: asked for, seen, refused to those who may not, approved and carried out.
func TestAReleaseUnderARuleWaitsForOthers(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		maker, ana, ben := b.member(t, "operator", "Mia"), b.member(t, "approver", "Ana"), b.member(t, "approver", "Ben")
		position := b.position(t, "FUNDED").Text("id")
		b.setRules(t, rule("releases", "positions.release", "approver").with("require", []fields{{"role": "approver", "count": 2}}))
		transition := "/positions/" + position + "/transition"
		ask := func() apitest.Answer {
			return maker.Post(t, transition, step("RELEASED").with("reason", "milestone 3").String(), "Idempotency-Key: release-1")
		}

		before := b.Admin.Get(t, "/positions/"+position).Want(t, 200)
		asked := ask().Want(t, 202)
		path, digest := "/approvals/"+asked.Text("id"), asked.Text("digest")
		if got := asked.Header.Get("Location"); got != path {
			t.Errorf("Location is %q, want %q", got, path)
		}
		if got, want := asked.Text("summary"), "Release 1000.00 USD of "+position+" (RELEASED)."; got != want {
			t.Errorf("the summary is %q, want %q", got, want)
		}
		wantMember(t, asked, "status", "PENDING")
		wantMember(t, asked, "command.reason", "milestone 3")
		wantMember(t, asked, "missing.0.count", "2")
		wantMember(t, asked, "totals.0.amount", "1000.00")
		again := ask().Want(t, 202)
		if again.Header.Get("Idempotent-Replayed") != "true" || again.Text("id") != asked.Text("id") {
			t.Errorf("the same request again is answered with %s", again)
		}
		maker.Post(t, transition, step("RELEASED").String()).Refused(t, 409, "approval_pending")

		approval := func(digest string) string { return fields{"digest": digest, "comment": "seen"}.String() }
		maker.Post(t, path+"/approve", approval(digest)).Refused(t, 403, "permission_missing")
		b.Admin.Post(t, path+"/approve", approval(digest)).Refused(t, 403, "approval_own") // It has made the maker's key.
		s.Post(t, path+"/approve?institutionId="+b.ID, approval(digest)).Refused(t, 403, "approval_role")
		ana.Post(t, path+"/approve", wrongDigest(b).String()).Refused(t, 409, "approval_digest")
		// What waits shows on its subject, whatever was remembered of it.
		waiting := b.Admin.Get(t, "/positions/"+position, "If-None-Match: "+before.Header.Get("ETag")).Want(t, 200)
		wantMember(t, waiting, "pendingApprovals.0.id", asked.Text("id"))
		wantMember(t, waiting, "pendingApprovals.0.amount", "1000.00")
		wantMember(t, b.Admin.Get(t, "/positions"), "data.0.pendingApprovals.0.permission", "positions.release")
		tag := waiting.Header.Get("ETag")
		b.Admin.Get(t, "/positions/"+position, "If-None-Match: "+tag).Want(t, 304)
		b.Admin.Get(t, "/positions/"+position, "If-Match: "+tag).Want(t, 200)
		wantInbox(t, ana, asked.Text("id"))
		wantMember(t, ana.Post(t, path+"/approve", approval(digest)).Want(t, 200), "status", "PENDING")
		wantInbox(t, ana)
		ana.Post(t, path+"/approve", approval(digest)).Refused(t, 403, "approval_own")
		b.member(t, "approver", "Ana").Post(t, path+"/approve", approval(digest)).Refused(t, 403, "approval_own")

		wantInbox(t, ben, asked.Text("id"))
		executed := ben.Post(t, path+"/approve", approval(digest)).Want(t, 200)
		wantMember(t, executed, "status", "EXECUTED")
		wantMember(t, executed, "executed.entries", "1")
		ben.Post(t, path+"/approve", approval(digest)).Refused(t, 409, "approval_closed")
		released := b.Admin.Get(t, "/positions/"+position).Want(t, 200)
		wantMember(t, released, "state", "RELEASED")
		wantMember(t, released, "pendingApprovals", "")
		entry := b.Admin.Get(t, "/audit-events?subject="+position+"&order=desc&limit=1").Want(t, 200)
		wantMember(t, entry, "data.0.approval.id", asked.Text("id"))
		wantMember(t, entry, "data.0.approval.by.1", executed.Text("approvals.1.actor"))
		shown := maker.Get(t, path).Want(t, 200)
		wantMember(t, shown, "approvals.1.comment", "seen")
		again = ask().Want(t, 202)
		wantMember(t, again, "status", "PENDING") // The first answer, once and for all.
	})
}

func TestApprovalsThatEndOtherwise(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	maker, ana := b.member(t, "operator", "Mia"), b.member(t, "approver", "Ana")
	b.setRules(t, rule("cancels", "positions.cancel", "approver"))
	ask := func() (path string) {
		position := b.position(t, "FUNDED").Text("id")
		return "/approvals/" + maker.Post(t, "/positions/"+position+"/transition", step("CANCELLED").String()).Want(t, 202).Text("id")
	}

	rejected := ask()
	ana.Post(t, rejected+"/reject", `{}`).Refused(t, 422, "invalid_input", "comment")
	wantMember(t, ana.Post(t, rejected+"/reject", `{"comment": "paid before"}`).Want(t, 200), "status", "REJECTED")
	wantMember(t, ana.Get(t, rejected).Want(t, 200), "rejection.comment", "paid before")

	withdrawn := ask()
	ana.Post(t, withdrawn+"/withdraw", "").Refused(t, 403, "forbidden")
	wantMember(t, maker.Post(t, withdrawn+"/withdraw", "").Want(t, 200), "status", "WITHDRAWN")

	failed := ask()
	position := b.Admin.Get(t, failed).Want(t, 200).Text("subjects.0.subject")
	digest := b.Admin.Get(t, failed).Text("digest")
	b.transition(t, position, fields{"toState": "PARTIALLY_RELEASED", "amount": "10.00"}).Refused(t, 409, "approval_pending")
	b.setRules(t)
	s.Post(t, "/positions/"+position+"/transition?institutionId="+b.ID, step("CANCELLED").with("breakGlass", fields{"reason": "nobody is there"}).String()).Refused(t, 409, "approval_pending")
	wantMember(t, ana.Post(t, failed+"/approve", fields{"digest": digest}.String()).Want(t, 200), "status", "EXECUTED")

	for filter, want := range map[string]int{
		"": 3, "?status=REJECTED": 1, "?status=REJECTED,WITHDRAWN": 2, "?subject=" + position: 1, "?status=PENDING": 0, "?breakGlass=true": 0, "?for=me": 0,
	} {
		if ids := ana.Walk(t, "/approvals"+filter, "id"); len(ids) != want {
			t.Errorf("the list %q has %d approvals, want %d", filter, len(ids), want)
		}
	}
	ana.Get(t, "/approvals?status=NOTHING").Refused(t, 422, "invalid_input", "status")
	ana.Get(t, "/approvals?for=you").Refused(t, 422, "invalid_input", "for")
	ana.Get(t, "/approvals?for=me&status=PENDING").Refused(t, 422, "invalid_input", "for")
}

// Who asks for a key has its secret at once, and once; it opens nothing before it is approved.
func TestAKeyThatWaitsForAnApproval(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	ana := s.As(s.key(t, b.ID, "approver")) // No key that the maker has made.
	b.setRules(t, rule("keys", "keys.manage", "approver"))
	ask := func() apitest.Answer {
		return b.Admin.Post(t, "/institutions/"+b.ID+"/api-keys", fields{"label": "new", "role": "operator"}.String(), "Idempotency-Key: a-key").Want(t, 202)
	}

	asked := ask()
	key := b.Admin.As(asked.Text("apiKey"))
	key.Get(t, "/positions").Refused(t, 401, "invalid_api_key")
	if again := ask(); again.Text("apiKey") != asked.Text("apiKey") {
		t.Error("the same request again has another secret")
	}
	path := "/approvals/" + asked.Text("id")
	if shown := ana.Get(t, path).Want(t, 200); shown.Text("command.hash") != "" || shown.Text("apiKey") != "" {
		t.Errorf("the approval shows what is secret: %s", shown)
	}
	ana.Post(t, path+"/approve", fields{"digest": asked.Text("digest")}.String()).Want(t, 200)
	key.Get(t, "/positions").Want(t, 200)
}

// A restricted key sees and withdraws what it has asked for, and nothing of what others ask for.
func TestApprovalsOfRestrictedKeys(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	b.member(t, "approver", "Ana")
	b.setRules(t, rule("releases", "positions.release", "approver"))
	narrow := func() apitest.Client {
		return b.Admin.As(b.keyOf(t, fields{"label": "narrow", "role": "operator", "restrict": fields{"assetIds": []string{b.Asset}}}))
	}
	mine, other := narrow(), narrow()
	position := b.position(t, "FUNDED").Text("id")
	path := "/approvals/" + mine.Post(t, "/positions/"+position+"/transition", step("RELEASED").String()).Want(t, 202).Text("id")

	mine.Get(t, path).Want(t, 200)
	other.Get(t, path).Refused(t, 404, "approval_not_found")
	other.Post(t, path+"/withdraw", "").Refused(t, 404, "approval_not_found")
	mine.Get(t, "/approvals").Refused(t, 403, "key_restricted")
	wantMember(t, mine.Post(t, path+"/withdraw", "").Want(t, 200), "status", "WITHDRAWN")
}

// Wherever it is told that money has moved, it is told who has asked for it and who has approved it, or that nobody
// was waited for.
func TestMakersAndCheckersStandBesideWhatMoved(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		maker, ana := b.member(t, "operator", "Mia"), b.member(t, "approver", "Ana")
		actorOf := func(c apitest.Client) string { return c.Get(t, "/me").Want(t, 200).Text("actor") }
		position := b.position(t, "FUNDED").Text("id")
		b.setRules(t, rule("releases", "positions.release", "approver"))
		path := "/positions/" + position
		asked := maker.Post(t, path+"/transition", step("PARTIALLY_RELEASED").with("amount", "10").String()).Want(t, 202)
		approval := asked.Text("id")
		if list := string(b.Admin.Get(t, "/positions?format=csv").Want(t, 200).Body); !strings.HasSuffix(list, ","+approval+"\r\n") {
			t.Errorf("the table of positions does not have the approval %s: %s", approval, list)
		}
		ana.Post(t, "/approvals/"+approval+"/approve", fields{"digest": asked.Text("digest")}.String()).Want(t, 200)
		broken := step("PARTIALLY_RELEASED").with("amount", "20").with("breakGlass", fields{"reason": "all are away"})
		s.Post(t, path+"/transition?institutionId="+b.ID, broken.String()).Want(t, 200)
		glass := b.Admin.Get(t, "/approvals?breakGlass=true").Want(t, 200).Text("data.0.id")

		// Entries are told from the last on in some lists, and from the first on in others.
		of := func(list, members string, approved, forced int) {
			t.Helper()
			answer := b.Admin.Get(t, list).Want(t, 200)
			at := func(place int, member string) string { return fmt.Sprintf("%s.%d.%s", members, place, member) }
			wantMember(t, answer, at(approved, "actor"), actorOf(maker))
			wantMember(t, answer, at(approved, "approval.id"), approval)
			wantMember(t, answer, at(approved, "approval.by.0"), actorOf(ana))
			wantMember(t, answer, at(approved, "approval.breakGlass"), "")
			wantMember(t, answer, at(forced, "actor"), "root")
			wantMember(t, answer, at(forced, "approval.id"), glass)
			wantMember(t, answer, at(forced, "approval.breakGlass"), "true")
			wantMember(t, answer, at(approved-1, "approval"), "")
		}
		statement := "/institutions/" + b.ID + "/statements"
		of(path, "events", 2, 3)
		of("/positions?include=events", "data.0.events", 2, 3)
		of("/ledger-events", "data", 2, 3)
		of(statement, "movements", 1, 2)
		of(path+"/statement", "movements", 1, 2)

		for list, want := range map[string][]string{
			"/ledger-events?format=csv":   {"," + approval + "," + actorOf(ana) + ",\r\n", "," + glass + ",,true\r\n"},
			statement + "?format=csv":     {"," + actorOf(maker) + "," + approval + "," + actorOf(ana) + ",\r\n", ",root," + glass + ",,true\r\n"},
			statement + "?format=camt053": {"by " + actorOf(maker) + ", approved by " + actorOf(ana) + " (" + approval + ")<", "by root, who did not wait for the approval " + glass + "<"},
			statement + "?format=html":    {"approved by " + actorOf(ana) + ", " + approval, "without waiting for an approval, " + glass},
		} {
			text := string(b.Admin.Get(t, list).Want(t, 200).Body)
			for _, part := range want {
				if !strings.Contains(text, part) {
					t.Errorf("%s does not say %q: %s", list, part, text)
				}
			}
		}
	})
}

// Whoever vouches for people is chosen by more than one of them. The client's secret waits with it, and is in no answer.
func TestAnIdentityProviderWaitsWithItsSecret(t *testing.T) {
	eachStore(t, func(t *testing.T, s *service) {
		b := s.bank(t)
		maker := b.Admin.As(b.keyOf(t, fields{"label": "a", "role": "admin", "owner": "Mia"}))
		checker := b.Admin.As(s.Post(t, "/institutions/"+b.ID+"/api-keys", fields{"label": "c", "role": "approver", "owner": "Bea"}.String()).Want(t, 201).Text("apiKey"))
		b.setRules(t, rule("people", "identity_provider.set", "approver"))
		path := "/institutions/" + b.ID + "/identity-provider"
		provider := fields{"issuer": "https://login.example.com", "clientId": "escrowgrid", "roleByGroup": fields{"staff": "operator"}}
		withSecret := provider.with("clientSecret", "hush")

		asked := maker.Put(t, path, withSecret.String()).Want(t, 202)
		if got, want := asked.Text("summary"), `Let people in whom https://login.example.com vouches for, with the client escrowgrid and a new secret of it: "staff" has the role operator.`; got != want {
			t.Errorf("the summary is %q, want %q", got, want)
		}
		maker.Get(t, path).Refused(t, 404, "identity_provider_not_found")
		executed := checker.Post(t, "/approvals/"+asked.Text("id")+"/approve", fields{"digest": asked.Text("digest")}.String()).Want(t, 200)
		wantMember(t, executed, "status", "EXECUTED")
		wantMember(t, maker.Get(t, path).Want(t, 200), "hasSecret", "true")
		maker.Put(t, path, provider.with("clientSecret", "").String()).Want(t, 200) // Of the secret alone there is no rule.
		wantMember(t, maker.Put(t, path, withSecret.String()).Want(t, 200), "hasSecret", "true")

		others := withSecret.with("roleByGroup", fields{"staff": "approver"})
		wantMember(t, maker.Put(t, path, others.String(), "Dry-Run: true").Want(t, 202), "dryRun", "true")
		s.Put(t, path, others.with("breakGlass", fields{"reason": "the old provider is gone"}).String()).Want(t, 200)
		shown := string(asked.Body) + string(executed.Body) + string(b.Admin.Get(t, "/audit-events?limit=1000").Want(t, 200).Body) +
			string(b.Admin.Get(t, "/approvals").Want(t, 200).Body)
		if strings.Contains(shown, "hush") {
			t.Errorf("answers have the secret: %s", shown)
		}
		maker.Send(t, apitest.Request{Method: "DELETE", Path: path}).Want(t, 204)
	})
}

func TestOnlyTheOperatorBreaksTheGlass(t *testing.T) {
	s := serve(t, onSQLite(t), nil)
	b := s.bank(t)
	position := b.position(t, "FUNDED").Text("id")
	glass := fields{"breakGlass": fields{"reason": "nobody can be reached"}}
	path := "/positions/" + position + "/transition"
	b.Admin.Post(t, path, step("CANCELLED").with("breakGlass", glass["breakGlass"]).String()).Refused(t, 403, "break_glass_forbidden")
	b.Admin.Post(t, "/assets/"+b.Asset+"/close", glass.String()).Refused(t, 403, "break_glass_forbidden")
	s.Post(t, "/assets/"+b.Asset+"/close?institutionId="+b.ID, `{"breakGlass": {"reason": ""}}`).Refused(t, 422, "invalid_input", "breakGlass.reason")
	s.Post(t, "/assets/"+b.Asset+"/close?institutionId="+b.ID, `{"surprise": 1}`).Refused(t, 422, "invalid_input", "surprise")

	b.member(t, "approver", "Ana")
	b.setRules(t, rule("cancels", "positions.cancel", "approver"))
	s.Post(t, path+"?institutionId="+b.ID, step("CANCELLED").with("breakGlass", glass["breakGlass"]).String()).Want(t, 200)
	ids := b.Admin.Walk(t, "/approvals?breakGlass=true", "id")
	if len(ids) != 1 {
		t.Fatalf("the list of broken glass has %q", ids)
	}
	shown := b.Admin.Get(t, "/approvals/"+ids[0]).Want(t, 200)
	wantMember(t, shown, "reason", "nobody can be reached")
	wantMember(t, shown, "status", "EXECUTED")
}

func wantMember(t *testing.T, answer apitest.Answer, member, want string) {
	t.Helper()
	if got := answer.Text(member); got != want {
		t.Errorf("%s is %q, want %q, in %s", member, got, want, answer)
	}
}

// wantInbox compares the ids of what somebody can approve.
func wantInbox(t *testing.T, of apitest.Client, want ...string) {
	t.Helper()
	if got := of.Walk(t, "/me/inbox", "id"); !slices.Equal(got, want) {
		t.Errorf("the inbox has %q, want %q", got, want)
	}
}
