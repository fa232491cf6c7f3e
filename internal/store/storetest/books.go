package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// Books hold the rows that a transaction's needs name, of their own institution, and
// no others.
func testBooksHoldNeeds(f *fixture) {
	one, other := f.institution(), f.institution()
	ours, theirs := f.samples(one), f.samples(other)
	theirs.institutions = nil
	f.writeSamples(one, ours)
	f.writeSamples(other, theirs)

	for name, asked := range map[string]escrow.Needs{
		"nothing":        {},
		"institution":    {Institution: true},
		"policies":       {Policies: true},
		"roles":          {Roles: true},
		"provider":       {Provider: true},
		"secrets":        {Secrets: true},
		"two users":      {Users: []escrow.UserID{ours.users[1].ID, ours.users[3].ID}},
		"by identity":    {Identities: []escrow.Identity{ours.users[1].Identity, ours.users[4].Identity, {Issuer: "https://id.example", Subject: "missing"}}},
		"both":           {Users: []escrow.UserID{ours.users[2].ID, ours.users[1].ID}, Identities: []escrow.Identity{ours.users[1].Identity}},
		"another issuer": {Identities: []escrow.Identity{{Issuer: ours.users[1].Issuer, Subject: ours.users[2].Subject}}},
		"two keys":       {Keys: []escrow.KeyID{ours.keys[1].ID, ours.keys[3].ID}},
		"a template":     {Templates: []escrow.TemplateID{ours.templates[2].ID}},
		"two assets":     {Assets: []escrow.AssetID{ours.assets[0].ID, ours.assets[4].ID}},
		"a position":     {Positions: []escrow.PositionID{ours.positions[7].ID}},
		"two records":    {Records: []string{ours.records[0].Key, ours.records[9].Key}},
		"rules":          {Rules: true},
		"two approvals":  {Approvals: []escrow.ApprovalID{ours.approvals[0].ID, ours.approvals[7].ID}},
		"on a subject":   {PendingOn: []string{ours.subjects[0].Subject}},
		"on two":         {PendingOn: []string{ours.subjects[0].Subject, ours.subjects[5].Subject, "nothing"}},
		"moves":          {Moves: []string{ours.moves[3].Of, "nobody", ours.moves[1].Of}},
		"of the other":   needsOf(theirs),
		"missing record": {Records: []string{"missing"}},
		"all":            needsOf(ours),
	} {
		want := wanted(ours, asked)
		tx := f.begin(needs{one: asked, other: {}})
		equal(f.t, name+": rows in the books", want, held(tx.Books(one), one, ours, theirs))
		if got := held(tx.Books(other), other, ours, theirs); len(got) != 0 {
			f.t.Errorf("%s: the other books, of which nothing was asked, hold %v", name, got)
		}
		if head := tx.Books(one).Head; head.Sequence != 1 {
			f.t.Errorf("%s: the head is %+v, want that of the first entry", name, head)
		}
		tx.Rollback(f.t.Context())
	}
}

// held lists those of the sample rows that books hold, by a name.
func held(b *escrow.Books, institution escrow.InstitutionID, all ...samples) map[string]any {
	rows := make(map[string]any)
	keep := func(name string, row any, ok bool) {
		if ok {
			rows[name] = row
		}
	}
	i, ok := b.Institutions.Get(institution)
	keep("institution", i.ID, ok)
	for _, s := range all {
		for _, known := range s.providers {
			row, ok := b.Providers.Get(known.InstitutionID)
			keep("provider of "+known.InstitutionID.String(), row, ok)
		}
		for _, known := range s.users {
			row, ok := b.Users.Get(known.ID)
			keep(known.ID.String(), row, ok)
		}
		for _, known := range s.secrets {
			row, ok := b.Secrets.Get(known.SecretName)
			keep(fmt.Sprint(known.SecretName), row, ok)
		}
		for _, known := range s.keys {
			row, ok := b.Keys.Get(known.ID)
			keep(known.ID.String(), row, ok)
		}
		for _, known := range s.roles {
			row, ok := b.Roles.Get(known.Name)
			keep(escrow.RoleSubject(known.Name), row, ok)
		}
		for _, known := range s.policies {
			row, ok := b.Policies.Get(known.Region)
			keep(string(known.Region), row, ok)
		}
		for _, known := range s.templates {
			row, ok := b.Templates.Get(known.ID)
			keep(known.ID.String(), row, ok)
		}
		for _, known := range s.assets {
			row, ok := b.Assets.Get(known.ID)
			keep(known.ID.String(), row, ok)
		}
		for _, known := range s.positions {
			row, ok := b.Positions.Get(known.ID)
			keep(known.ID.String(), row, ok)
		}
		for _, known := range s.records {
			row, ok := b.Records.Get(known.Key)
			keep("record "+known.Key, row.Subject, ok)
		}
		for _, known := range s.holds {
			row, ok := b.Holds.Get(known.ID)
			keep(known.ID.String(), row, ok)
		}
		heldApprovals(b, s, keep)
	}
	return rows
}

// wanted lists the sample rows that needs name, as held does.
func wanted(s samples, n escrow.Needs) map[string]any {
	rows := make(map[string]any)
	templates := make(map[escrow.TemplateID]bool)
	if n.Institution {
		rows["institution"] = s.positions[0].InstitutionID
	}
	for _, row := range s.policies {
		if n.Policies {
			rows[string(row.Region)] = row
		}
	}
	for _, row := range s.providers {
		if n.Provider {
			rows["provider of "+row.InstitutionID.String()] = row
		}
	}
	for _, row := range s.secrets {
		if n.Secrets {
			rows[fmt.Sprint(row.SecretName)] = row
		}
	}
	for _, row := range s.users {
		if slices.Contains(n.Users, row.ID) || slices.Contains(n.Identities, row.Identity) {
			rows[row.ID.String()] = row
		}
	}
	for _, row := range s.roles {
		if n.Roles {
			rows[escrow.RoleSubject(row.Name)] = row
		}
	}
	for _, row := range s.keys {
		keepNamed(rows, n.Keys, row.ID, row)
	}
	for _, row := range s.assets {
		// Assets come with their templates.
		if keepNamed(rows, n.Assets, row.ID, row) {
			templates[row.TemplateID] = true
		}
	}
	for _, row := range s.templates {
		if templates[row.ID] {
			rows[row.ID.String()] = row
		}
		keepNamed(rows, n.Templates, row.ID, row)
	}
	for _, row := range s.positions {
		keepNamed(rows, n.Positions, row.ID, row)
	}
	for _, row := range s.records {
		if slices.Contains(n.Records, row.Key) {
			rows["record "+row.Key] = row.Subject
		}
	}
	for _, row := range s.holds {
		if slices.Contains(n.Holds, row.ID) || slices.Contains(n.HoldsOn, row.PositionID) && row.InForce() {
			rows[row.ID.String()] = row
		}
	}
	wantedApprovals(s, n, rows)
	return rows
}

func keepNamed[K escrow.IDKind](rows map[string]any, named []escrow.ID[K], id escrow.ID[K], row any) bool {
	if !slices.Contains(named, id) {
		return false
	}
	rows[id.String()] = row
	return true
}

// An institution that does not exist has books in which every command is
// refused, and leaves nothing behind.
func testBooksOfNobody(f *fixture) {
	f.moment()
	nobody := escrow.InstitutionID(f.uuid())
	tx := f.begin(needs{nobody: {}})
	r := request(nobody, valid(escrow.NewCreateKey(escrow.KeyInput{Label: "k", Role: "admin"}, escrow.SecretHash{})))
	r.Idempotency = &escrow.Idempotency{Key: "k"}
	if outcome := f.executeRequest(tx.Books(nobody), r); escrow.ErrorCode(outcome.Refusal) != escrow.CodeInstitutionNotFound {
		f.t.Errorf("the outcome is %+v, want a refusal with %s", outcome, escrow.CodeInstitutionNotFound)
	}
	f.commit(tx)
	if head, found, err := f.Head(f.t.Context(), nobody); found || err != nil {
		f.t.Errorf("the head is %+v, %t, %v; want none", head, found, err)
	}
	if record, found := f.load(nobody, escrow.Needs{Records: []string{"k"}}).Records.Get("k"); found {
		f.t.Errorf("a record was kept: %+v", record)
	}
}

// transactionOfTwo returns a transaction on two institutions with a new position in each.
func (f *fixture) transactionOfTwo(one, other escrow.InstitutionID) (store.Tx, []escrow.PositionID) {
	f.t.Helper()
	assets := map[escrow.InstitutionID]escrow.AssetID{one: f.asset(one), other: f.asset(other)}
	tx := f.begin(needs{
		one:   {Assets: []escrow.AssetID{assets[one]}, Records: []string{"k"}},
		other: {Assets: []escrow.AssetID{assets[other]}},
	})
	var ids []escrow.PositionID
	for _, of := range []escrow.InstitutionID{one, other} {
		r := request(of, createPosition(assets[of], "holder-1"))
		r.Idempotency = &escrow.Idempotency{Key: "k"}
		outcome := f.executeRequest(tx.Books(of), r)
		position, ok := outcome.Resource.(escrow.Position)
		if !ok {
			f.t.Fatalf("the outcome is %+v, want a position", outcome)
		}
		ids = append(ids, position.ID)
	}
	return tx, ids
}

// checkTwo checks whether the state, the entry and the record of each command in
// a transactionOfTwo are there.
func (f *fixture) checkTwo(one, other escrow.InstitutionID, ids []escrow.PositionID, want bool) {
	f.t.Helper()
	for i, of := range []escrow.InstitutionID{one, other} {
		position, found, err := found(f.Position(f.t.Context(), of, ids[i]))
		if found {
			position, err = f.WithEvents(f.t.Context(), position)
		}
		if found != want || err != nil || found && len(position.Events) != 1 {
			f.t.Errorf("position %d: found is %t (want %t), error %v, events %+v", i, found, want, err, position.Events)
		}
		entries := must(f.Entries(f.t.Context(), of, escrow.EntryFilter{Subject: ids[i].String()}, everything())).Items
		if (len(entries) == 1) != want {
			f.t.Errorf("position %d has the entries %+v", i, entries)
		}
		sequence := int64(3) // institution, template, asset
		if want {
			sequence = 4
		}
		if head, _, err := f.Head(f.t.Context(), of); head.Sequence != sequence || err != nil {
			f.t.Errorf("journal %d stands at %d, %v; want %d", i, head.Sequence, err, sequence)
		}
		record, found := f.load(of, escrow.Needs{Records: []string{"k"}}).Records.Get("k")
		if found != want || found && (record.Subject != ids[i].String() || record.Sequence != 4) {
			f.t.Errorf("record %d: found is %t (want %t), %+v", i, found, want, record)
		}
	}
}

func testTransactionCommits(f *fixture) {
	one, other := f.institution(), f.institution()
	tx, ids := f.transactionOfTwo(one, other)
	f.commit(tx)
	f.checkTwo(one, other, ids, true)
	tx.Rollback(f.t.Context()) // It does nothing any more.
	f.checkTwo(one, other, ids, true)

	// A second transaction goes on where the first ended.
	f.do(other, transition(ids[1], escrow.StateFunded, ""))
	if head, _, err := f.Head(f.t.Context(), other); head.Sequence != 5 || err != nil {
		f.t.Errorf("after another entry the journal stands at %d, %v; want 5", head.Sequence, err)
	}
}

// The items of a position batch are written as if each had come by itself, with one
// record for all; of one that was refused as a whole the record is all there is.
func testPositionBatch(f *fixture) {
	of := f.institution()
	asset := f.asset(of)
	before, _, err := f.Head(f.t.Context(), of)
	if err != nil {
		f.t.Fatal(err)
	}
	input := escrow.PositionInput{AssetID: asset.String(), HolderReference: "h", Currency: "USD", Amount: "10"}
	wrong := input
	wrong.Currency = "EUR"
	want := make(map[string]escrow.Record)
	for key, atomic := range map[string]bool{"by itself": false, "atomic": true} {
		r := request(of, valid(escrow.NewCreationBatch([]escrow.PositionInput{input, wrong, {}, input}, atomic)))
		r.Idempotency = &escrow.Idempotency{Key: key}
		f.write(of, r.Needs(), func(b *escrow.Books) {
			f.executeRequest(b, r)
			want[key] = b.Records.Created()[0]
		})
	}
	books := f.load(of, escrow.Needs{Records: []string{"by itself", "atomic"}})
	for key, record := range want {
		got, ok := books.Records.Get(key)
		f.compare("record of the batch "+key, record, got, ok, nil)
	}
	if kept := want["by itself"]; kept.Sequence != before.Sequence+2 || len(kept.Items.Accepted()) != 2 || want["atomic"].Refusal == nil {
		f.t.Errorf("the records are %+v", want)
	}
	positions := must(f.Positions(f.t.Context(), of, escrow.PositionFilter{WithEvents: true}, everything())).Items
	for i, position := range positions {
		if sequence := before.Sequence + int64(i) + 1; len(position.Events) != 1 || position.Events[0].Sequence != sequence {
			f.t.Errorf("position %d is %+v, want one event with the sequence %d", i, position, sequence)
		}
	}
	if len(positions) != 2 {
		f.t.Errorf("there are %d positions, want 2", len(positions))
	}
}

// A row that the database refuses takes the whole transaction with it, and leaves the
// store in order.
func testTransactionFails(f *fixture) {
	one, other := f.institution(), f.institution()
	tx, ids := f.transactionOfTwo(one, other)
	f.moment()
	bad := escrow.Position{
		ID: escrow.PositionID(f.uuid()), InstitutionID: other, HolderReference: "h", Currency: currencies()[0], Amount: 5,
		Funded: 5, Held: 4, State: escrow.StateFunded, Version: 1, CreatedAt: f.now, UpdatedAt: f.now,
	}
	tx.Books(other).Positions.Put(bad.ID, bad)
	err := tx.Commit(f.t.Context())
	if err == nil || errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrOutcomeUnknown) {
		f.t.Errorf("commit says %v, want an error of the statement's own", err)
	}
	f.checkTwo(one, other, ids, false)
	if _, used, _ := f.Connections(); used != 0 {
		f.t.Errorf("%d connections are in use by nobody", used)
	}
	f.do(other, valid(escrow.NewCreateKey(escrow.KeyInput{Label: "k", Role: "admin"}, escrow.HashSecret("k"))))
}

// A row that was changed in a table whose rows never change would leave state that the
// journal contradicts if it was dropped.
func testUnchangeable(f *fixture) {
	of := f.institution()
	s := f.samples(of)
	f.writeSamples(of, s)
	n := needsOf(s)
	tx := f.beginLocked(needs{of: n})
	tx.Books(of).Records.Put(s.records[0].Key, s.records[0])
	position := withMoney(s.positions[1], escrow.StateFunded, s.positions[1].Amount)
	tx.Books(of).Positions.Put(position.ID, position)
	err := tx.Commit(f.t.Context())
	if err == nil || errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrOutcomeUnknown) || errors.Is(err, store.ErrStale) {
		f.t.Errorf("a transaction that changes a record ends with %v, want an error of its own", err)
	}
	f.checkSamples(of, s)
}

func testTransactionRollsBack(f *fixture) {
	one, other := f.institution(), f.institution()
	tx, ids := f.transactionOfTwo(one, other)
	tx.Rollback(f.t.Context())
	tx.Rollback(f.t.Context())
	f.checkTwo(one, other, ids, false)
	if _, used, _ := f.Connections(); used != 0 {
		f.t.Errorf("%d connections are in use by nobody", used)
	}
}

// impatient is a context that ends while a lock is waited for.
func (f *fixture) impatient() context.Context {
	ctx, cancel := context.WithTimeout(f.t.Context(), 50*time.Millisecond)
	f.t.Cleanup(cancel)
	return ctx
}

// While a transaction is open nobody else begins one on the same journals, and who
// waits for it then sees what it did.
func testTransactionLocks(f *fixture) {
	one, other := f.institution(), f.institution()
	asset := f.asset(one)
	tx := f.beginLocked(needs{one: {Assets: []escrow.AssetID{asset}}})
	if second, err := f.tryBegin(f.impatient(), needs{one: {}, other: {}}); !errors.Is(err, store.ErrUnavailable) {
		f.t.Fatalf("a second transaction began with %v while the first was open: %v", second, err)
	}
	if !f.Exclusive() {
		// Other institutions do not wait.
		f.begin(needs{other: {}}).Rollback(f.t.Context())
	}
	heads := make(chan escrow.Head)
	go func() {
		defer close(heads)
		second, err := f.Begin(f.t.Context(), needs{one: {}})
		if err != nil {
			f.t.Errorf("begin after the first transaction: %v", err)
			return
		}
		defer second.Rollback(f.t.Context())
		heads <- second.Books(one).Head
	}()
	f.execute(tx.Books(one), createPosition(asset, "holder-1"))
	want := tx.Books(one).Head
	f.commit(tx)
	if got := <-heads; got != want {
		f.t.Errorf("the transaction after it begins at %+v, want %+v", got, want)
	}
	<-heads // It is closed when the second transaction has ended.
}

func testCommitted(f *fixture) {
	ctx := f.t.Context()
	of := f.institution()
	asset := f.asset(of)
	propose := func() (store.Tx, escrow.Entry) {
		tx := f.beginLocked(needs{of: {Assets: []escrow.AssetID{asset}}})
		f.execute(tx.Books(of), createPosition(asset, "holder-1"))
		return tx, tx.Books(of).Entries[0]
	}
	check := func(what string, entry escrow.Entry, want bool) {
		f.t.Helper()
		if got, err := f.Committed(ctx, entry); got != want || err != nil {
			f.t.Errorf("%s: committed is %t, %v; want %t", what, got, err, want)
		}
	}
	tx, lost := propose()
	if committed, err := f.Committed(f.impatient(), lost); !errors.Is(err, store.ErrUnavailable) {
		f.t.Errorf("before the transaction has ended the answer is %t, %v; want none", committed, err)
	}
	tx.Rollback(ctx)
	check("rolled back", lost, false)

	tx, kept := propose()
	f.commit(tx)
	check("committed", kept, true)
	check("rolled back, and its place taken by another", lost, false)

	// An institution's first entry is made in the operator's books.
	found := func() (store.Tx, escrow.Entry) {
		tx := f.beginLocked(needs{operator(): {}})
		f.execute(tx.Books(operator()), valid(escrow.NewCreateInstitution(
			escrow.InstitutionInput{Name: "Harbour Fund", Regions: []string{"US"}})))
		return tx, tx.Books(operator()).Entries[0]
	}
	tx, lost = found()
	if committed, err := f.Committed(f.impatient(), lost); !errors.Is(err, store.ErrUnavailable) {
		f.t.Errorf("before the transaction of a new institution has ended the answer is %t, %v; want none", committed, err)
	}
	tx.Rollback(ctx)
	check("new institution rolled back", lost, false)
	tx, kept = found()
	f.commit(tx)
	check("new institution committed", kept, true)
}
