package escrowgrid_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/escrowgrid/escrowgrid"
)

// under names a request, as a client does that may repeat it.
func under(r escrowgrid.Request, key string, fingerprint byte) escrowgrid.Request {
	r.Idempotency = &escrowgrid.Idempotency{
		Key: key, Fingerprint: escrowgrid.Fingerprint{fingerprint}, Nonce: []byte{fingerprint, 1},
	}
	return r
}

func checkRecord(t *testing.T, got *escrowgrid.Record, want escrowgrid.Record) {
	t.Helper()
	if diff := cmp.Diff(&want, got, cmpopts.IgnoreUnexported(escrowgrid.Error{})); diff != "" {
		t.Errorf("record wanted (-) and given (+):\n%s", diff)
	}
}

func TestARepeatedRequestIsAnsweredWithTheFirstOutcome(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset := d.escrow()
	request := under(d.request(newPosition(asset, "100", "USD", nil)), "order-1", 7)
	first := d.execute(request)
	entries, at := len(d.books.Entries), d.lastEntry().At
	d.now = d.now.Add(time.Minute)
	request.RequestID = "req-2"
	second := d.execute(request)
	if first.Record != nil || first.Refusal != nil || second.Refusal != nil || len(d.books.Entries) != entries {
		t.Fatalf("the first outcome is %+v, the second %+v, with %d entries", first, second, len(d.books.Entries))
	}
	checkRecord(t, second.Record, escrowgrid.Record{
		Key: "order-1", Fingerprint: escrowgrid.Fingerprint{7}, Nonce: []byte{7, 1}, Subject: first.Subject,
		Sequence: first.Sequence, RequestID: "req-1", CreatedAt: at,
	})
	d.checkReplay()
}

func TestARepeatedRequestIsAnsweredAsItWasThoughTheStateMovedOn(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.in(escrowgrid.StateCreated)
	request := under(d.request(transition(id, escrowgrid.StateFunded, "")), "fund-1", 1)
	first := d.execute(request)
	d.accept(transition(id, escrowgrid.StateCancelled, ""))
	second := d.execute(request)
	if second.Record == nil || second.Record.Sequence != first.Sequence || second.Record.Subject != id.String() {
		t.Errorf("the first outcome is %+v, the second %+v", first, second)
	}
}

func TestAnotherRequestUnderAUsedKeyIsRefused(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset := d.escrow()
	d.execute(under(d.request(newPosition(asset, "100", "USD", nil)), "order-1", 1))
	head := d.books.Head
	other := d.execute(under(d.request(newPosition(asset, "200", "USD", nil)), "order-1", 2))
	if other.Refusal == nil || other.Refusal.Code != escrowgrid.CodeIdempotencyKeyReused || d.books.Head != head {
		t.Errorf("the other request's outcome is %+v", other)
	}
	again := d.execute(under(d.request(newPosition(asset, "100", "USD", nil)), "order-1", 1))
	if again.Record == nil || again.Record.Refusal != nil {
		t.Errorf("the first request, repeated after that, is answered with %+v", again)
	}
	different := d.execute(under(d.request(newPosition(asset, "200", "USD", nil)), "order-2", 2))
	if different.Refusal != nil || different.Record != nil {
		t.Errorf("under a key of its own the other request's outcome is %+v", different)
	}
}

func TestARefusalIsRememberedThoughItsCauseIsGone(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset := d.escrow()
	d.policy("US", rules("1000", ""))
	request := under(d.request(newPosition(asset, "100", "USD", nil)), "order-1", 1)
	first := d.execute(request)
	if first.Refusal == nil || first.Refusal.Code != escrowgrid.CodePolicyMinAmount {
		t.Fatalf("the first outcome is %+v", first)
	}
	d.policy("US", rules("", ""))
	second := d.execute(request)
	if second.Refusal != nil {
		t.Errorf("the repetition is refused on its own: %v", second.Refusal)
	}
	checkRecord(t, second.Record, escrowgrid.Record{
		Key: "order-1", Fingerprint: escrowgrid.Fingerprint{1}, Nonce: []byte{1, 1}, Refusal: first.Refusal,
		RequestID: "req-1", CreatedAt: d.books.Records.Created()[0].CreatedAt,
	})
}

func TestACommandThatChangedNothingIsRememberedToo(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	key := d.key(escrowgrid.RoleAdmin, nil)
	d.accept(escrowgrid.RevokeKey{Key: key})
	request := under(d.request(escrowgrid.RevokeKey{Key: key}), "revoke-1", 1)
	d.execute(request)
	second := d.execute(request)
	if second.Record == nil || second.Record.Subject != key.String() || second.Record.Sequence != d.books.Head.Sequence {
		t.Errorf("the repetition is answered with %+v", second)
	}
}

// Who may not write is told so without regard to the key: nobody learns what an
// answer was who could not have asked for it.
func TestRefusalsOfTheActorAreNeitherRememberedNorAnsweredFromARecord(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	asset := d.escrow()
	reader, admin := d.key(escrowgrid.RoleReadOnly, nil), d.key(escrowgrid.RoleAdmin, nil)
	request := under(d.request(newPosition(asset, "100", "USD", nil)), "order-1", 1)
	refuse := func(actor escrowgrid.Actor, want escrowgrid.Code) {
		t.Helper()
		request.Actor = actor
		if outcome := d.execute(request); outcome.Refusal == nil || outcome.Refusal.Code != want || outcome.Record != nil {
			t.Errorf("as %s the outcome is %+v, want the refusal %s", actor, outcome, want)
		}
	}
	refuse(escrowgrid.ActorKey(escrowgrid.KeyID{1}), escrowgrid.CodeInvalidKey)
	refuse(escrowgrid.ActorKey(reader), escrowgrid.CodeForbidden)
	if records := d.books.Records.Created(); len(records) != 0 {
		t.Errorf("refusals of the actor are remembered: %+v", records)
	}
	request.Actor = escrowgrid.ActorKey(admin)
	if outcome := d.execute(request); outcome.Refusal != nil || outcome.Record != nil {
		t.Errorf("an admin's outcome after them is %+v", outcome)
	}
	d.accept(escrowgrid.RevokeKey{Key: admin})
	refuse(escrowgrid.ActorKey(admin), escrowgrid.CodeInvalidKey)
	refuse(escrowgrid.ActorKey(reader), escrowgrid.CodeForbidden)
}

func TestAMissingInstitutionIsNotRemembered(t *testing.T) {
	t.Parallel()
	books := escrowgrid.NewBooks(escrowgrid.InstitutionID{1}, escrowgrid.Head{}, false)
	request := under(escrowgrid.Request{
		Institution: escrowgrid.InstitutionID{1}, Actor: escrowgrid.ActorRoot(), Command: escrowgrid.RevokeKey{},
	}, "revoke-1", 1)
	outcome := must(books.Execute(request, escrowgrid.Stamp{Now: opening()}))
	if outcome.Refusal == nil || outcome.Refusal.Code != escrowgrid.CodeInstitutionNotFound {
		t.Errorf("the outcome is %+v", outcome)
	}
	if records := books.Records.Created(); len(records) != 0 {
		t.Errorf("the refusal is remembered: %+v", records)
	}
}

func TestARecordOfAnEarlierBatchIsFound(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	record := escrowgrid.Record{
		Key: "order-1", Fingerprint: escrowgrid.Fingerprint{1}, Subject: escrowgrid.AssetID{1}.String(), Sequence: 4,
	}
	d.books.Records.Load("order-1", record)
	outcome := d.execute(under(d.request(escrowgrid.RevokeKey{}), "order-1", 1))
	checkRecord(t, outcome.Record, record)
	if len(d.books.Records.Created())+len(d.books.Records.Updated()) != 0 {
		t.Error("a repetition writes a record")
	}
}

func TestARequestWithoutAKeyIsNotRemembered(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	d.escrow()
	if records := d.books.Records.Created(); len(records) != 0 {
		t.Errorf("records are kept: %+v", records)
	}
}
