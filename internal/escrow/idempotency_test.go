package escrow_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// under names a request, as a client does that may repeat it.
func under(r escrow.Request, key string, fingerprint byte) escrow.Request {
	r.Idempotency = &escrow.Idempotency{
		Key: key, Fingerprint: escrow.Fingerprint{fingerprint}, Nonce: []byte{fingerprint, 1},
	}
	return r
}

func checkRecord(t *testing.T, got *escrow.Record, want escrow.Record) {
	t.Helper()
	if diff := cmp.Diff(&want, got, cmpopts.IgnoreUnexported(escrow.Error{})); diff != "" {
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
	checkRecord(t, second.Record, escrow.Record{
		Key: "order-1", Fingerprint: escrow.Fingerprint{7}, Nonce: []byte{7, 1}, Subject: first.Subject,
		Sequence: first.Sequence, RequestID: "req-1", CreatedAt: at,
	})
	d.checkReplay()
}

func TestARepeatedRequestIsAnsweredAsItWasThoughTheStateMovedOn(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	id := d.in(escrow.StateCreated)
	request := under(d.request(transition(id, escrow.StateFunded, "")), "fund-1", 1)
	first := d.execute(request)
	d.accept(transition(id, escrow.StateCancelled, ""))
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
	if other.Refusal == nil || other.Refusal.Code != escrow.CodeIdempotencyKeyReused || d.books.Head != head {
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
	if first.Refusal == nil || first.Refusal.Code != escrow.CodePolicyMinAmount {
		t.Fatalf("the first outcome is %+v", first)
	}
	d.policy("US", rules("", ""))
	second := d.execute(request)
	if second.Refusal != nil {
		t.Errorf("the repetition is refused on its own: %v", second.Refusal)
	}
	checkRecord(t, second.Record, escrow.Record{
		Key: "order-1", Fingerprint: escrow.Fingerprint{1}, Nonce: []byte{1, 1}, Refusal: first.Refusal,
		RequestID: "req-1", CreatedAt: d.books.Records.Created()[0].CreatedAt,
	})
}

func TestACommandThatChangedNothingIsRememberedToo(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	key := d.key(escrow.RoleAdmin, nil)
	d.accept(escrow.RevokeKey{Key: key})
	request := under(d.request(escrow.RevokeKey{Key: key}), "revoke-1", 1)
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
	reader, admin := d.key(escrow.RoleReadOnly, nil), d.key(escrow.RoleAdmin, nil)
	request := under(d.request(newPosition(asset, "100", "USD", nil)), "order-1", 1)
	refuse := func(actor escrow.Actor, want escrow.Code) {
		t.Helper()
		request.Actor = actor
		if outcome := d.execute(request); outcome.Refusal == nil || outcome.Refusal.Code != want || outcome.Record != nil {
			t.Errorf("as %s the outcome is %+v, want the refusal %s", actor, outcome, want)
		}
	}
	refuse(escrow.ActorKey(escrow.KeyID{1}), escrow.CodeInvalidKey)
	refuse(escrow.ActorKey(reader), escrow.CodePermissionMissing)
	if records := d.books.Records.Created(); len(records) != 0 {
		t.Errorf("refusals of the actor are remembered: %+v", records)
	}
	request.Actor = escrow.ActorKey(admin)
	if outcome := d.execute(request); outcome.Refusal != nil || outcome.Record != nil {
		t.Errorf("an admin's outcome after them is %+v", outcome)
	}
	d.accept(escrow.RevokeKey{Key: admin})
	refuse(escrow.ActorKey(admin), escrow.CodeInvalidKey)
	refuse(escrow.ActorKey(reader), escrow.CodePermissionMissing)
}

func TestAMissingInstitutionIsNotRemembered(t *testing.T) {
	t.Parallel()
	books := escrow.NewBooks(escrow.InstitutionID{1}, escrow.Head{}, false)
	request := under(escrow.Request{
		Institution: escrow.InstitutionID{1}, Actor: escrow.ActorRoot(), Command: escrow.RevokeKey{},
	}, "revoke-1", 1)
	outcome := must(books.Execute(request, escrow.Stamp{Now: opening(), Secret: escrow.Secret{1}}))
	if outcome.Refusal == nil || outcome.Refusal.Code != escrow.CodeInstitutionNotFound {
		t.Errorf("the outcome is %+v", outcome)
	}
	if records := books.Records.Created(); len(records) != 0 {
		t.Errorf("the refusal is remembered: %+v", records)
	}
}

func TestARecordOfAnEarlierBatchIsFound(t *testing.T) {
	t.Parallel()
	d := openDesk(t)
	record := escrow.Record{
		Key: "order-1", Fingerprint: escrow.Fingerprint{1}, Subject: escrow.AssetID{1}.String(), Sequence: 4,
	}
	d.books.Records.Load("order-1", record)
	outcome := d.execute(under(d.request(escrow.RevokeKey{}), "order-1", 1))
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
