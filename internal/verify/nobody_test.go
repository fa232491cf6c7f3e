package verify_test

import (
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
	"github.com/escrowgrid/escrowgrid/internal/translog"
	"github.com/escrowgrid/escrowgrid/internal/verify"
)

// What no institution has is looked at too: a key of the operator would open the server, and a
// tile of entries to come would spoil the tree.
func TestRowsOfNobodyAreFound(t *testing.T) {
	t.Parallel()
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		t.Parallel()
		f := newFixture(t, kind)
		var operator escrow.InstitutionID
		tile, _, err := f.Tile(t.Context(), f.Example.Institution, translog.TileID{})
		if err != nil {
			t.Fatal(err)
		}
		isFile := kind == "sqlite"
		var future any = time.Now().Add(time.Hour).UTC()
		if isFile {
			future = time.Now().Add(time.Hour).UnixMicro()
		}

		f.tamper("INSERT INTO institutions VALUES ($1, 'x', '[]', '[]', (SELECT MAX(last_at) FROM journal_heads), 1, NULL)", operator)
		f.tamper("INSERT INTO api_keys (institution_id, id, label, role, hash, created_at, version) VALUES ($1, $2, 'x', 'admin', $3, (SELECT MAX(last_at) FROM journal_heads), 1)",
			operator, escrow.KeyID{15: 1}, tile[:32])
		f.tamper(`INSERT INTO journal_checkpoints VALUES ($1, 1, (SELECT MAX(last_at) FROM journal_heads),
			(SELECT note FROM journal_checkpoints LIMIT 1), '{}')`, operator)
		f.tamper("UPDATE journal_heads SET sequence = 5, last_at = $2 WHERE institution_id = $1", operator, future)
		f.tamper("INSERT INTO journal_tiles VALUES ($1, 0, 0, $2)", escrow.InstitutionID{15: 7}, tile)
		f.tamper("INSERT INTO journal_tiles VALUES ($1, 0, 9, $2)", f.Example.Institution, tile)
		wants := []string{
			"institutions: there is a row of no institution", "api_keys: there is a row of no institution",
			"journal_checkpoints: there is a row of no institution", "journal_heads: there is the sequence 5",
			"column last_at", escrow.InstitutionID{15: 7}.String() + ": journal_heads: there is nothing", "tile 9 of level 0",
		}
		if isFile {
			f.tamper("INSERT INTO institutions VALUES (x'00', 'x', '[]', '[]', 1, 1, NULL)")
			f.tamper("INSERT INTO api_keys (institution_id, id, label, role, hash, created_at, version) SELECT institution_id, x'', label, 'admin', hash, created_at, 1 FROM api_keys WHERE institution_id = $1 LIMIT 1",
				f.Example.Institution)
			f.tamper("INSERT INTO assets SELECT institution_id, x'ffffffffffffffffffffffffffffffff00', template_id, label, NULL, created_at, 1, NULL FROM assets LIMIT 1")
			f.tamper("INSERT INTO journal_heads (institution_id, sequence, last_at, lost_sequence, closed_sequence) VALUES (x'ffffffffffffffffffffffffffffffff00', 1, 1, 0, 0)")
			wants = append(wants, "api_keys: there is what cannot be read (its id is none)", "assets ast_0000", "an institution: there is what cannot be read (its id is none)")
		}

		for _, gentle := range []bool{false, true} {
			report := f.verify(func(c *verify.Config) { c.Gentle = gentle })
			for _, want := range wants {
				found := false
				for _, difference := range report.Differences {
					found = found || strings.Contains(difference.String(), want)
				}
				if !found {
					t.Errorf("no difference has %q, they are %v", want, report.Differences)
				}
			}
		}
	})
}

// A head that was moved on, so that a lost group is not committed any more, is none.
func TestAHeadThatWasMovedOnIsNoDifference(t *testing.T) {
	t.Parallel()
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		t.Parallel()
		f := newFixture(t, kind)
		for _, kind := range []escrow.Kind{escrow.KindPositionCreated, escrow.KindInstitutionCreated} {
			lost := escrow.Entry{InstitutionID: f.Example.Institution, Sequence: lastEntry + 1, Kind: kind}
			if committed, err := f.Committed(t.Context(), lost); committed || err != nil {
				t.Fatalf("the entry is there: %t, %v", committed, err)
			}
		}
		if report := f.verify(nil); report.DifferenceCount != 0 {
			t.Errorf("the differences are %v", report.Differences)
		}
	})
}
