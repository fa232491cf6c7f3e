package storetest

import (
	"reflect"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store"
)

// resources returns all samples that the journals tell of.
func (s samples) resources() (all []escrow.Resource) {
	lists := reflect.ValueOf([]any{s.institutions, s.keys, s.providers, s.users, s.roles, s.policies, s.templates, s.assets, s.positions, s.erasures, s.rules, s.approvals})
	for i := range lists.Len() {
		list := lists.Index(i).Elem()
		for j := range list.Len() {
			all = append(all, list.Index(j).Interface())
		}
	}
	return all
}

// Every table of the books is read, for verification, as it was written, in each of its
// columns. A table that the suite has no rows of is not tested at all.
func testTables(f *fixture) {
	of := f.institution()
	s := f.samples(of)
	f.writeSamples(of, s)
	for _, table := range store.BookTables() {
		written := 0
		for _, resource := range s.resources() {
			want, ok := table.Row(resource)
			if !ok {
				continue
			}
			written++
			owner := of
			if institution, ok := resource.(escrow.Institution); ok {
				owner = institution.ID
			}
			f.compare("row of "+want.Subject, want.Columns, f.row(table, owner, want.Subject).Columns, true, nil)
			if has, err := table.Has(f.t.Context(), f.Store, owner, want.Subject); !has || err != nil {
				f.t.Errorf("%s has a row of %s: %t, %v", table.Name(), want.Subject, has, err)
			}
		}
		if written == 0 {
			f.t.Errorf("the suite has no rows of %s", table.Name())
		}
		for _, subject := range []string{"policy/MARS", "role/b", "role/admin", escrow.UserID{15: 9}.String(), escrow.PositionID{15: 9}.String(), escrow.InstitutionID{15: 9}.String(), "nothing"} {
			if has, err := table.Has(f.t.Context(), f.Store, of, subject); has || err != nil {
				f.t.Errorf("%s has a row of %s: %t, %v", table.Name(), subject, has, err)
			}
		}
	}
}

// row reads a table page by page, and returns the row of a subject.
func (f *fixture) row(table store.BookTable, of escrow.InstitutionID, subject string) (found store.Row) {
	f.t.Helper()
	request := escrow.PageRequest{Limit: 3}
	for range maxPages {
		page, err := table.Rows(f.t.Context(), f.Store, of, request)
		if err != nil {
			f.t.Fatal(err)
		}
		for _, row := range page.Items {
			if row.Subject == subject {
				found = row
			}
			request.After = row.Cursor
		}
		if !page.More {
			return found
		}
	}
	f.t.Fatalf("%s has no end", table.Name())
	return found
}
