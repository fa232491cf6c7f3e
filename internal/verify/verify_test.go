package verify_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/journallog"
	"github.com/escrowgrid/escrowgrid/internal/money"
	"github.com/escrowgrid/escrowgrid/internal/pgcluster/pgtest"
	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
	"github.com/escrowgrid/escrowgrid/internal/translog"
	"github.com/escrowgrid/escrowgrid/internal/verify"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(m)) }

// must returns a value that a test cannot do without.
func must[T any](value T, err error) T { return journaltest.Must(value, err) }

// signer is the key of the log in these tests, and a stranger's of the same name.
var (
	_, signer   = newKey()
	_, stranger = newKey()
)

func newKey() (string, translog.Signer) {
	key, signer, err := translog.GenerateKey("escrowgrid.test")
	if err != nil {
		panic(err)
	}
	return key, signer
}

// fixture is a database with one journal of something of everything, of which all but
// the last three entries are signed.
type fixture struct {
	*journaltest.Writer
	journaltest.Example
	t         *testing.T
	log       *journallog.Log
	positions []escrow.PositionID
}

// The journal of a fixture: twelve entries of the institution, then three a position, those
// of a transition together. The first checkpoint is in the second tile of the tree.
const (
	firstPositions = 100
	firstSigned    = 12 + 3*firstPositions
	lastSigned     = firstSigned + 9
	lastEntry      = lastSigned + 3
	anEntry        = 150 // POSITION_STATE_CHANGED to FUNDED
)

// forget starts a log that remembers nothing of what was signed.
func (f *fixture) forget() {
	f.log = journallog.Start(journallog.Config{
		Store: f.Store, Logger: slog.New(slog.DiscardHandler), Now: time.Now, Metrics: prometheus.NewRegistry(),
		Origin: "escrowgrid.test", Signers: []translog.Signer{signer}, Interval: time.Hour,
	})
	f.t.Cleanup(f.log.Close)
}

func (f *fixture) sign() {
	f.t.Helper()
	if err := f.log.Round(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// verify verifies with the key of the log.
func (f *fixture) verify(change func(*verify.Config)) verify.Report {
	f.t.Helper()
	config := verify.Config{Keys: []string{signer.VerifierKey()}}
	if change != nil {
		change(&config)
	}
	return must(verify.Database(f.t.Context(), f.Store, config))
}

// checkpoint returns a checkpoint of the journal as it is kept.
func (f *fixture) checkpoint(size int64) store.Checkpoint {
	f.t.Helper()
	c, found, err := f.LastCheckpoint(f.t.Context(), f.Example.Institution, size)
	if !found || err != nil || c.Size != size {
		f.t.Fatalf("the checkpoint of %d is %+v, %t, %v", size, c, found, err)
	}
	return c
}

func TestWhatIsAsItShouldBePasses(t *testing.T) {
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		f := newFixture(t, kind)
		var done, total atomic.Int64
		report := f.verify(func(c *verify.Config) {
			c.Kept = [][]byte{f.checkpoint(firstSigned).Note}
			c.Progress = func(d, of int64) { done.Store(max(done.Load(), d)); total.Store(max(total.Load(), of)) }
		})
		for _, difference := range report.Differences {
			t.Error(difference)
		}
		if report.Institutions != 2 || report.Entries != lastEntry+1 || report.Checkpoints != 2 || report.Unsigned != 4 || report.KeysBrought {
			t.Errorf("the report is %+v", report)
		}
		// The institution and its neighbour, five keys, a role, a policy, a template, an asset, the positions.
		if want := int64(2 + 5 + 1 + 1 + 1 + 1 + firstPositions + 4); report.Rows != want {
			t.Errorf("%d rows were looked at, want %d", report.Rows, want)
		}
		if done.Load() != 2*report.Entries || total.Load() != done.Load() {
			t.Errorf("%d of %d entries were worked on, want %d", done.Load(), total.Load(), 2*report.Entries)
		}
		brought := f.verify(func(c *verify.Config) { c.Keys, c.Workers, c.Gentle = nil, 1, true })
		if brought.DifferenceCount != 0 || !brought.KeysBrought || len(brought.Keys) != 1 || brought.Keys[0] != signer.VerifierKey() {
			t.Errorf("with the keys that are there, the report is %+v", brought)
		}
	})
}

// tampering is a change that somebody with full access to the database could make.
type tampering struct {
	name string
	do   func(f *fixture)
	// wants are parts of the lines of differences, one of each.
	wants []string
}

func (f *fixture) tamper(statement string, args ...any) { f.t.Helper(); f.Tamper(statement, args...) }

const ofPosition = " WHERE institution_id = $1 AND id = $2"

func tamperings() []tampering {
	entry := fmt.Sprintf("entry %d: ", anEntry)
	return []tampering{
		{"an entry altered", func(f *fixture) { f.Rewrite(f.Example.Institution, anEntry, `"900000.00"`, `"800000.00"`) }, []string{entry + "there is the hash "}},
		{"an entry altered within the same meaning", func(f *fixture) { f.Rewrite(f.Example.Institution, anEntry, `"v":2,`, `"v":2, `) }, []string{entry + "there is {", entry + "there is the hash "}},
		{"an entry altered that no checkpoint covers, within the same meaning", func(f *fixture) {
			f.Rewrite(f.Example.Institution, lastEntry, `"v":2,`, `"v":2, `)
		}, []string{fmt.Sprintf("entry %d: there is {", lastEntry)}},
		{"an entry altered that no checkpoint covers", func(f *fixture) {
			f.Rewrite(f.Example.Institution, lastEntry, `"125.50"`, `"125.60"`)
		}, []string{"positions pos_"}},
		{"an entry altered, and the tree with it", func(f *fixture) {
			f.Rewrite(f.Example.Institution, anEntry, `"requestId":"test"`, `"requestId":"best"`)
			leaf := translog.LeafHash(f.Entry(f.Example.Institution, anEntry).Body)
			hashes, _, err := f.Tile(f.t.Context(), f.Example.Institution, translog.TileID{})
			if err != nil {
				f.t.Fatal(err)
			}
			copy(hashes[(anEntry-1)*len(leaf):], leaf[:])
			f.tamper("UPDATE journal_tiles SET hashes = $1 WHERE institution_id = $2 AND level = 0 AND number = 0", hashes, f.Example.Institution)
		}, []string{"entries 1 to 256: there is the hash "}},
		{"an entry altered, and the tree removed", func(f *fixture) {
			f.Rewrite(f.Example.Institution, lastSigned, `"requestId":"test"`, `"requestId":"best"`)
			f.tamper("DELETE FROM journal_tiles WHERE institution_id = $1", f.Example.Institution)
		}, []string{"tile 0 of level 0: there is 0 hashes"}},
		{"an entry removed", func(f *fixture) {
			f.tamper("DELETE FROM journal_entries WHERE institution_id = $1 AND sequence = $2", f.Example.Institution, anEntry)
		}, []string{entry + "there is nothing"}},
		{"an entry removed and the gap closed", func(f *fixture) {
			f.tamper("DELETE FROM journal_entries WHERE institution_id = $1 AND sequence = $2", f.Example.Institution, anEntry)
			for sequence := int64(anEntry + 1); sequence <= lastEntry; sequence++ {
				f.Move(f.Example.Institution, sequence, sequence-1)
			}
			f.tamper("UPDATE journal_heads SET sequence = sequence - 1 WHERE institution_id = $1", f.Example.Institution)
		}, []string{entry + "there is the hash "}},
		{"an entry inserted", func(f *fixture) {
			for sequence := int64(lastEntry); sequence >= anEntry; sequence-- {
				f.Move(f.Example.Institution, sequence, sequence+1)
			}
			f.tamper(`INSERT INTO journal_entries (institution_id, sequence, at, actor, kind, subject, body)
				SELECT institution_id, sequence - 1, at, actor, kind, subject, body FROM journal_entries WHERE institution_id = $1 AND sequence = $2`,
				f.Example.Institution, int64(anEntry+1))
			f.Rewrite(f.Example.Institution, anEntry, fmt.Sprintf(`"sequence":%d,`, anEntry+1), fmt.Sprintf(`"sequence":%d,`, anEntry))
			f.Rewrite(f.Example.Institution, anEntry, `"requestId":"test"`, `"requestId":"best"`)
			f.tamper("UPDATE journal_heads SET sequence = sequence + 1 WHERE institution_id = $1", f.Example.Institution)
		}, []string{entry + "there is the hash "}},
		{"an entry far away", func(f *fixture) {
			f.Move(f.Example.Institution, lastEntry, math.MaxInt64)
			f.tamper("UPDATE journal_heads SET sequence = $1 WHERE institution_id = $2", int64(math.MaxInt64), f.Example.Institution)
		}, []string{fmt.Sprintf("entry %d: there is nothing", lastEntry)}},
		{"a journal that says it is longer", func(f *fixture) {
			f.tamper("UPDATE journal_heads SET sequence = $1 WHERE institution_id = $2", int64(math.MaxInt64), f.Example.Institution)
		}, []string{fmt.Sprintf("entry %d: there is nothing", lastEntry+1)}},
		{"a position's holder that acts on a terminal", func(f *fixture) {
			f.tamper("UPDATE positions SET holder_reference = $3"+ofPosition, f.Example.Institution, f.positions[7], "me\x1b[2K\nNothing differs.")
		}, []string{` holder_reference me\x1b[2K\nNothing differs., and should be holder-7`}},
		{"an entry added at the end", func(f *fixture) {
			f.tamper(`INSERT INTO journal_entries (institution_id, sequence, at, actor, kind, subject, body)
				SELECT institution_id, sequence + 1, at, actor, kind, subject, body FROM journal_entries WHERE institution_id = $1 AND sequence = $2`,
				f.Example.Institution, int64(lastEntry))
		}, []string{fmt.Sprintf("entry %d: there is more entries, up to %d, and should be nothing", lastEntry+1, lastEntry+1)}},
		{"entries reordered", func(f *fixture) {
			f.Move(f.Example.Institution, anEntry, 1_000_000)
			f.Move(f.Example.Institution, anEntry+1, anEntry)
			f.Move(f.Example.Institution, 1_000_000, anEntry+1)
		}, []string{entry + "there is the hash "}},
		{"entries reordered by their numbers alone", func(f *fixture) {
			for _, move := range [][2]int64{{anEntry, 1_000_000}, {anEntry + 1, anEntry}, {1_000_000, anEntry + 1}} {
				f.tamper("UPDATE journal_entries SET sequence = $1 WHERE institution_id = $2 AND sequence = $3", move[1], f.Example.Institution, move[0])
			}
		}, []string{fmt.Sprintf("%sthere is sequence %d, and should be %d", entry, anEntry+1, anEntry)}},
		{"the end cut off", func(f *fixture) { f.Truncate(f.Example.Institution, lastSigned-1) }, []string{
			fmt.Sprintf("entry %d: there is nothing, and should be an entry, as the tree has %d", lastSigned, lastSigned),
			fmt.Sprintf("checkpoint of %d entries: there is a journal of %d entries", lastSigned, lastSigned-1),
		}},
		{"the end cut off, and the checkpoint and the tree with it", func(f *fixture) {
			f.Truncate(f.Example.Institution, firstSigned)
			f.tamper("DELETE FROM journal_checkpoints WHERE institution_id = $1 AND size > $2", f.Example.Institution, firstSigned)
			f.tamper("DELETE FROM journal_tiles WHERE institution_id = $1 AND level = 0 AND number = 1", f.Example.Institution)
		}, []string{"tile 1 of level 0: there is 0 hashes", "positions pos_"}},
		{"the end cut off that no checkpoint covers", func(f *fixture) { f.Truncate(f.Example.Institution, lastSigned) }, []string{
			"there is a row, and should be nothing, as no entry made it",
		}},
		{"an entry moved to another time in its column", func(f *fixture) {
			f.tamper("UPDATE journal_entries SET actor = 'system' WHERE institution_id = $1 AND sequence = $2", f.Example.Institution, anEntry)
		}, []string{entry + "there is column actor system, and should be root"}},
		{"a position's amount changed", func(f *fixture) {
			f.tamper("UPDATE positions SET amount = amount - 100, funded = funded - 100, held = held - 100"+ofPosition, f.Example.Institution, f.positions[7])
		}, []string{" amount 89999900, and should be 90000000"}},
		{"a position's holder changed", func(f *fixture) {
			f.tamper("UPDATE positions SET holder_reference = 'me'"+ofPosition, f.Example.Institution, f.positions[7])
		}, []string{" holder_reference me, and should be holder-7"}},
		{"a released amount raised", func(f *fixture) {
			f.tamper("UPDATE positions SET released = released + 100, held = held - 100"+ofPosition, f.Example.Institution, f.positions[7])
		}, []string{" released 12650, and should be 12550"}},
		{"a released amount raised, and the version with it", func(f *fixture) {
			f.tamper("UPDATE positions SET released = released + 100, held = held - 100, version = version + 1"+ofPosition, f.Example.Institution, f.positions[7])
		}, []string{" version 4, and should be 3"}},
		{"a position set back", func(f *fixture) {
			f.tamper("UPDATE positions SET state = 'FUNDED', released = 0, held = amount, version = 2"+ofPosition, f.Example.Institution, f.positions[7])
		}, []string{" version 2, and should be 3"}},
		{"a position removed", func(f *fixture) {
			f.tamper("DELETE FROM positions"+ofPosition, f.Example.Institution, f.positions[7])
		}, []string{": there is nothing, and should be a row, as entry 20 tells of it"}},
		{"a position added", func(f *fixture) {
			f.tamper(`INSERT INTO positions (institution_id, id, asset_id, holder_reference, external_reference, unique_in, currency, decimals, amount, funded, released,
				refunded, held, retained, state, version, history_bytes, expires_at, metadata, created_at, updated_at) SELECT institution_id, $3, asset_id, holder_reference, external_reference, NULL, currency, decimals, amount, funded, released,
				refunded, held, retained, state, version, history_bytes, expires_at, metadata, created_at, updated_at FROM positions`+ofPosition,
				f.Example.Institution, f.positions[7], escrow.PositionID{15: 7})
		}, []string{"positions pos_00000000000000000000000007: there is a row, and should be nothing"}},
		{"a key brought back", func(f *fixture) {
			f.tamper("UPDATE api_keys SET revoked_at = NULL"+ofPosition, f.Example.Institution, f.Keys[2])
		}, []string{"revoked_at NULL, and should be 2"}},
		{"a key that lives on after its rotation", func(f *fixture) {
			f.tamper("UPDATE api_keys SET expires_at = NULL"+ofPosition, f.Example.Institution, f.Keys[0])
		}, []string{"expires_at NULL, and should be 2"}},
		{"a key removed", func(f *fixture) { f.tamper("DELETE FROM api_keys"+ofPosition, f.Example.Institution, f.Keys[0]) }, []string{
			"there is nothing, and should be a row, as entry 2 tells of it",
		}},
		{"a key's restriction lifted", func(f *fixture) {
			f.tamper("UPDATE api_keys SET restriction = NULL WHERE institution_id = $1 AND role = 'clerk'", f.Example.Institution)
		}, []string{`restriction NULL, and should be {"assetIds":["ast_`}},
		{"a key's holders changed", func(f *fixture) {
			f.tamper(`UPDATE api_keys SET restriction = '{"holderReferences":["holder-7","holder-9"]}' WHERE institution_id = $1 AND role = ''`, f.Example.Institution)
		}, []string{`restriction {"holderReferences":["holder-7","holder-9"]}, and should be {"holderReferences":["holder-7","holder-8"]}`}},
		{"a key let in from everywhere", func(f *fixture) {
			f.tamper("UPDATE api_keys SET allowed_networks = '[]' WHERE institution_id = $1 AND role = ''", f.Example.Institution)
		}, []string{`allowed_networks [], and should be ["192.0.2.0/24","2001:db8::1/128"]`}},
		{"a key with more permissions", func(f *fixture) {
			f.tamper(`UPDATE api_keys SET permissions = '["assets.read","keys.manage","positions.read"]' WHERE institution_id = $1 AND role = ''`, f.Example.Institution)
		}, []string{`permissions ["assets.read","keys.manage","positions.read"], and should be ["assets.read","positions.read"]`}},
		{"a key of another role", func(f *fixture) {
			f.tamper("UPDATE api_keys SET role = 'admin' WHERE institution_id = $1 AND role = 'clerk'", f.Example.Institution)
		}, []string{"role admin, and should be clerk"}},
		{"a key with another owner", func(f *fixture) {
			f.tamper("UPDATE api_keys SET owner = 'me' WHERE institution_id = $1 AND role = 'clerk'", f.Example.Institution)
		}, []string{"owner me, and should be Branch 7"}},
		{"a role with more permissions", func(f *fixture) {
			f.tamper(`UPDATE roles SET permissions = '["assets.read","keys.manage"]' WHERE institution_id = $1`, f.Example.Institution)
		}, []string{`roles role/clerk: there is permissions ["assets.read","keys.manage"], and should be ["assets.read","positions.create","positions.read"]`}},
		{"a role removed", func(f *fixture) { f.tamper("DELETE FROM roles WHERE institution_id = $1", f.Example.Institution) }, []string{
			"the row of role/clerk: there is nothing",
		}},
		{"a role added", func(f *fixture) {
			f.tamper("INSERT INTO roles SELECT institution_id, 'teller', permissions, 1, created_at, updated_at FROM roles WHERE institution_id = $1", f.Example.Institution)
		}, []string{"roles role/teller: there is a row, and should be nothing"}},
		{"a policy changed", func(f *fixture) {
			f.tamper("UPDATE policies SET min_amount = '7' WHERE institution_id = $1", f.Example.Institution)
		}, []string{"policies policy/US: there is min_amount 7, and should be "}},
		{"a policy removed", func(f *fixture) { f.tamper("DELETE FROM policies WHERE institution_id = $1", f.Example.Institution) }, []string{
			"the row of policy/US: there is nothing",
		}},
		{"a template changed", func(f *fixture) {
			f.tamper(`UPDATE asset_templates SET config = '{"currency":"JPY"}' WHERE institution_id = $1`, f.Example.Institution)
		}, []string{`config {"currency":"JPY"}, and should be {"currency":"USD","uniqueExternalReference":true}`}},
		{"an asset changed", func(f *fixture) {
			f.tamper("UPDATE assets SET label = 'Pier 8' WHERE institution_id = $1", f.Example.Institution)
		}, []string{
			"label Pier 8, and should be Pier 7",
		}},
		{"an institution renamed", func(f *fixture) { f.tamper("UPDATE institutions SET name = 'N' WHERE id = $1", f.Example.Institution) }, []string{
			"name N, and should be Meridian Bank",
		}},
		{"words of a list run together", func(f *fixture) {
			f.tamper(`UPDATE institutions SET regions = '["US,SG"]' WHERE id = $1`, f.Example.Institution)
		}, []string{`regions ["US,SG"], and should be ["US","SG"]`}},
		{"the end of a journal removed", func(f *fixture) {
			f.tamper("DELETE FROM journal_heads WHERE institution_id = $1", f.Example.Institution)
		}, []string{
			"journal_heads: there is nothing, and should be a row",
		}},
		{"the end of a journal set back in time", func(f *fixture) {
			f.tamper(`UPDATE journal_heads SET last_at = (SELECT at FROM journal_entries WHERE institution_id = $1 AND sequence = 1)
				WHERE institution_id = $1`, f.Example.Institution)
		}, []string{"journal_heads, column last_at: there is "}},
		{"the end of a journal set forward in time", func(f *fixture) {
			second := map[string]string{"sqlite": "1000000", "postgres": "interval '1 second'"}[f.Store.Name()]
			f.tamper("UPDATE journal_heads SET last_at = last_at + "+second+" WHERE institution_id = $1", f.Example.Institution)
		}, []string{"journal_heads, column last_at: there is "}},
		{"an entry of the operator's", func(f *fixture) {
			f.tamper(`INSERT INTO journal_entries (institution_id, sequence, at, actor, kind, subject, body)
				SELECT $1, sequence, at, actor, kind, subject, body FROM journal_entries WHERE institution_id = $2 AND sequence = 1`,
				escrow.InstitutionID{}, f.Example.Institution)
		}, []string{"inst_00000000000000000000000000: journal_entries: there is a row of no institution, and should be nothing"}},
		{"a checkpoint signed by somebody else", func(f *fixture) {
			f.forge(lastSigned, f.opened(lastSigned), stranger)
		}, []string{fmt.Sprintf("checkpoint of %d entries: there is checkpoint: note has no verifiable signatures", lastSigned)}},
		{"a checkpoint with another root", func(f *fixture) {
			forged := f.opened(lastSigned)
			forged.Root = translog.EmptyRoot()
			f.forge(lastSigned, forged, signer)
		}, []string{fmt.Sprintf("entries %d to %d: there is the root ", firstSigned+1, lastSigned)}},
		{"a checkpoint of another journal", func(f *fixture) {
			forged := f.opened(lastSigned)
			forged.Origin = "escrowgrid.test/" + escrow.InstitutionID{15: 1}.String()
			f.forge(lastSigned, forged, signer)
		}, []string{fmt.Sprintf("checkpoint of %d entries: there is one of %d entries of escrowgrid.test/inst_00", lastSigned, lastSigned)}},
		{"a checkpoint with a letter changed", func(f *fixture) {
			note := bytes.Replace(f.checkpoint(lastSigned).Note, []byte("\ntime 2"), []byte("\ntime 3"), 1)
			f.tamper("UPDATE journal_checkpoints SET note = $1 WHERE institution_id = $2 AND size = $3", note, f.Example.Institution, int64(lastSigned))
		}, []string{fmt.Sprintf("checkpoint of %d entries: there is checkpoint: invalid signature for key escrowgrid.test", lastSigned)}},
		{"the balances of a checkpoint changed", func(f *fixture) {
			f.tamper("UPDATE journal_checkpoints SET balances = '{}' WHERE institution_id = $1 AND size = $2", f.Example.Institution, int64(lastSigned))
		}, []string{fmt.Sprintf(`checkpoint of %d entries, column balances: there is {}, and should be {"USD":`, lastSigned)}},
		{"a journal without an institution", func(f *fixture) {
			f.tamper(`INSERT INTO journal_entries (institution_id, sequence, at, actor, kind, subject, body)
				SELECT $1, sequence, at, actor, kind, subject, body FROM journal_entries WHERE institution_id = $2 AND sequence = 1`,
				escrow.InstitutionID{15: 1}, f.Example.Institution)
		}, []string{"inst_00000000000000000000000001: journal_heads: there is nothing", "inst_00000000000000000000000001: entry 1: there is institution inst_"}},
	}
}

func (f *fixture) opened(size int64) translog.Checkpoint {
	f.t.Helper()
	return must(translog.Unverified(f.checkpoint(size).Note))
}

// forge puts a checkpoint in the place of one.
func (f *fixture) forge(size int64, forged translog.Checkpoint, by translog.Signer) {
	f.t.Helper()
	f.tamper("UPDATE journal_checkpoints SET note = $1 WHERE institution_id = $2 AND size = $3", must(forged.Sign(by)), f.Example.Institution, size)
}

func TestTamperingIsFound(t *testing.T) {
	for _, test := range tamperings() {
		t.Run(test.name, func(t *testing.T) {
			journaltest.EachKind(t, func(t *testing.T, kind string) {
				t.Parallel()
				f := newFixture(t, kind)
				test.do(f)
				report := f.verify(nil)
				for _, want := range test.wants {
					found := false
					for _, difference := range report.Differences {
						found = found || strings.Contains(difference.String(), want)
					}
					if !found {
						t.Errorf("no difference has %q", want)
					}
				}
				if t.Failed() || report.DifferenceCount > 6 {
					t.Errorf("there are %d differences", report.DifferenceCount)
					for _, difference := range report.Differences {
						t.Log(difference)
					}
				}
			})
		})
	}
}

// A row that cannot be read is a difference like any other, and hides none.
func TestWhatCannotBeReadIsFound(t *testing.T) {
	const another = " holder_reference me, and should be holder-9"
	unreadable := func(what string) string { return what + ": there is what cannot be read (" }
	for _, test := range []struct {
		name  string
		store string // "" for each
		do    func(f *fixture)
		want  string
	}{
		{"text where a number belongs", "", func(f *fixture) {
			f.tamper("UPDATE policies SET min_amount = 'abc' WHERE institution_id = $1", f.Example.Institution)
		}, unreadable("policies")},
		{"text where a list belongs", "", func(f *fixture) {
			f.tamper("UPDATE institutions SET regions = 'abc' WHERE id = $1", f.Example.Institution)
		}, unreadable("institutions")},
		{"balances that are none", "", func(f *fixture) {
			f.tamper("UPDATE journal_checkpoints SET balances = 'abc' WHERE institution_id = $1 AND size = $2", f.Example.Institution, int64(firstSigned))
		}, unreadable(fmt.Sprintf("checkpoint of %d entries", firstSigned))},
		{"a key that is none", "", func(f *fixture) {
			f.tamper("UPDATE checkpoint_keys SET verifier_key = 'abc'")
		}, "a key that signs checkpoints: there is abc"},
		{"an entry of no time", "postgres", func(f *fixture) {
			f.tamper("UPDATE journal_entries SET at = 'infinity' WHERE institution_id = $1 AND sequence = $2", f.Example.Institution, anEntry)
		}, unreadable(fmt.Sprintf("entry %d", anEntry))},
		{"a position of no time", "postgres", func(f *fixture) {
			f.tamper("UPDATE positions SET updated_at = '-infinity'"+ofPosition, f.Example.Institution, f.positions[7])
		}, "there is what cannot be read ("},
		{"a journal that ends at no time", "postgres", func(f *fixture) {
			f.tamper("UPDATE journal_heads SET last_at = 'infinity' WHERE institution_id = $1", f.Example.Institution)
		}, unreadable("journal_heads")},
		{"a position of an asset that is none", "sqlite", func(f *fixture) {
			f.tamper("UPDATE positions SET asset_id = x'07'"+ofPosition, f.Example.Institution, f.positions[7])
		}, "there is what cannot be read ("},
		{"a position whose id is longer", "sqlite", func(f *fixture) {
			f.tamper("UPDATE positions SET id = CAST(id || x'00' AS blob)"+ofPosition, f.Example.Institution, f.positions[7])
		}, "there is what cannot be read ("},
		{"a position whose id is shorter", "sqlite", func(f *fixture) {
			f.tamper("UPDATE positions SET id = substr(id, 1, 15)"+ofPosition, f.Example.Institution, f.positions[7])
		}, "there is what cannot be read ("},
		{"a journal of an institution whose id is longer", "sqlite", func(f *fixture) {
			f.tamper("INSERT INTO journal_heads (institution_id, sequence, last_at, lost_sequence, closed_sequence) SELECT CAST(institution_id || x'00' AS blob), 1, last_at, 0, 0 FROM journal_heads WHERE institution_id = $1", f.Example.Institution)
		}, unreadable("an institution")},
		{"a journal of an institution whose id is shorter", "sqlite", func(f *fixture) {
			f.tamper("INSERT INTO journal_heads (institution_id, sequence, last_at, lost_sequence, closed_sequence) SELECT x'07', 1, last_at, 0, 0 FROM journal_heads LIMIT 1")
		}, unreadable("an institution")},
	} {
		t.Run(test.name, func(t *testing.T) {
			journaltest.EachKind(t, func(t *testing.T, kind string) {
				t.Parallel()
				if !strings.HasPrefix(kind, test.store) {
					return // The other store cannot have such a row.
				}
				f := newFixture(t, kind)
				test.do(f)
				f.tamper("UPDATE positions SET holder_reference = 'me'"+ofPosition, f.Example.Institution, f.positions[9])
				report := must(verify.Database(t.Context(), f.Store, verify.Config{}))
				found := fmt.Sprint(report.Differences)
				if !strings.Contains(found, test.want) || !strings.Contains(found, another) || report.DifferenceCount > 6 {
					t.Errorf("the %d differences have not %q and %q: %s", report.DifferenceCount, test.want, another, found)
				}
			})
		})
	}
}

// An operator who writes history anew, and signs all of it again, has a database without
// a contradiction. Whoever has kept a checkpoint finds out.
func TestAForkedHistoryIsFoundByAKeptCheckpoint(t *testing.T) {
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		f := newFixture(t, kind)
		of := f.Example.Institution
		first, last := f.checkpoint(firstSigned), f.checkpoint(lastSigned)
		f.Rewrite(of, anEntry, `"requestId":"test"`, `"requestId":"best"`)
		f.tamper("DELETE FROM journal_checkpoints WHERE institution_id = $1", of)
		f.tamper("DELETE FROM journal_tiles WHERE institution_id = $1", of)
		f.forget()
		f.sign()
		if report := f.verify(nil); report.DifferenceCount != 0 {
			t.Fatalf("the new history contradicts itself: %v", report.Differences)
		}
		report := f.verify(func(c *verify.Config) { c.Kept = [][]byte{last.Note, first.Note} })
		if report.DifferenceCount != 2 || !strings.Contains(report.Differences[0].String(), fmt.Sprintf("entries 1 to %d: there is the root ", firstSigned)) {
			t.Errorf("the report is %+v", report)
		}

		// A client that has the new checkpoint cannot be given the proof that it follows
		// the old one.
		consistency := must(f.log.Consistency(t.Context(), of, firstSigned, nil))
		kept := must(translog.Unverified(first.Note))
		now := must(f.log.Checkpoint(t.Context(), of, nil))
		if err := translog.CheckConsistency(consistency.Proof, kept.Size, kept.Root, now.Size, now.Root); err == nil {
			t.Error("the old checkpoint is proven to be the beginning of the new history")
		}

		f.Truncate(of, firstSigned+1)
		report = f.verify(func(c *verify.Config) { c.Kept = [][]byte{last.Note} })
		if !strings.Contains(fmt.Sprint(report.Differences), fmt.Sprintf("checkpoint of %d entries that was kept elsewhere: there is a journal of %d", lastSigned, firstSigned+1)) {
			t.Errorf("cut off, the report is %+v", report)
		}
	})
}

func TestKeptCheckpointsOfNoJournalAreFound(t *testing.T) {
	f := newFixture(t, "sqlite")
	gone := f.opened(lastSigned)
	gone.Origin = "escrowgrid.test/" + escrow.InstitutionID{15: 1}.String()
	report := f.verify(func(c *verify.Config) { c.Kept = [][]byte{must(gone.Sign(signer))} })
	if report.DifferenceCount != 1 || !strings.Contains(report.Differences[0].String(), "there is no journal") {
		t.Errorf("the report is %+v", report)
	}
	for name, config := range map[string]verify.Config{
		"a key that is none":                  {Keys: []string{"key"}},
		"a checkpoint that a stranger signed": {Keys: []string{signer.VerifierKey()}, Kept: [][]byte{must(gone.Sign(stranger))}},
		"a checkpoint of nobody's journal": {Keys: []string{signer.VerifierKey()}, Kept: [][]byte{must(translog.Checkpoint{
			Origin: "escrowgrid.test", Size: 1, Root: translog.EmptyRoot(), At: time.Now(),
		}.Sign(signer))}},
	} {
		if report, err := verify.Database(t.Context(), f.Store, config); err == nil {
			t.Errorf("%s is taken: %+v", name, report)
		}
	}
}

// While others write, what changes meanwhile is no difference.
func TestAServerMayWriteMeanwhile(t *testing.T) {
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		f := newFixture(t, kind)
		ctx, stop := context.WithCancel(t.Context())
		writing := make(chan int)
		go func() {
			written := 0
			defer func() { writing <- written }() // Also where a write fails, which ends the goroutine.
			for ; ctx.Err() == nil; written++ {
				f.positions = append(f.positions, f.Writer.Positions(f.Example, 2)...)
				for _, state := range []string{"PARTIALLY_RELEASED", "CANCELLED"} {
					step := escrow.TransitionInput{ToState: state}
					if state == "PARTIALLY_RELEASED" {
						step.Amount = new(money.Digits("1"))
					}
					f.Do(f.Example.Institution, valid(escrow.NewTransitionPosition(f.positions[written], step, nil)))
				}
				key := f.Do(f.Example.Institution, valid(escrow.NewCreateKey(escrow.KeyInput{Label: "k", Role: "admin"}, escrow.HashSecret("k"))))
				f.Do(f.Example.Institution, valid(escrow.NewRotateKey(journaltest.Made[escrow.APIKey](key).ID, escrow.RotationInput{}, escrow.HashSecret("l"))))
				f.Policies(f.Example.Institution, 1)
				f.sign()
			}
		}()
		for range 5 {
			if report := f.verify(nil); report.DifferenceCount != 0 {
				t.Errorf("there are differences: %v", report.Differences)
			}
		}
		stop()
		if written := <-writing; written == 0 {
			t.Error("nothing was written meanwhile")
		}
		if report := f.verify(nil); report.DifferenceCount != 0 || report.Entries < lastEntry {
			t.Errorf("afterwards the report is %+v", report)
		}
	})
}

// A key that changes twice while a verification is under way was read between the two.
func TestAKeyMayChangeTwiceMeanwhile(t *testing.T) {
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		f := newFixture(t, kind)
		calls := 0
		report := f.verify(func(c *verify.Config) {
			c.Workers = 1
			c.Progress = func(int64, int64) {
				calls++
				switch calls {
				case 1: // The entries were read.
					f.Do(f.Example.Institution, valid(escrow.NewUpdateKey(f.Keys[1], new("again"), nil)))
				case 3: // The keys were read, after the institution.
					f.Do(f.Example.Institution, valid(escrow.NewRotateKey(
						f.Keys[1], escrow.RotationInput{OverlapSeconds: new(int64(60))}, escrow.HashSecret("twice"))))
				}
			}
		})
		if report.DifferenceCount != 0 || calls < 3 {
			t.Errorf("after %d calls there are differences: %v", calls, report.Differences)
		}
	})
}

// A key that comes while a verification is under way, with what it signs, is one of those
// that come with the journals.
func TestAKeyMayComeMeanwhile(t *testing.T) {
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		f := newFixture(t, kind)
		sign := sync.OnceFunc(func() {
			rotated := journallog.Start(journallog.Config{
				Store: f.Store, Logger: slog.New(slog.DiscardHandler), Now: time.Now, Metrics: prometheus.NewRegistry(),
				Origin: "escrowgrid.test", Signers: []translog.Signer{stranger}, Interval: time.Hour,
			})
			defer rotated.Close()
			if err := rotated.Round(t.Context()); err != nil {
				t.Error(err)
			}
		})
		// Entries are read before checkpoints.
		report := must(verify.Database(t.Context(), f.Store, verify.Config{Progress: func(int64, int64) { sign() }}))
		if report.DifferenceCount != 0 {
			t.Errorf("there are differences: %v", report.Differences)
		}
		if !slices.Contains(report.Keys, stranger.VerifierKey()) {
			t.Errorf("the keys are %v", report.Keys)
		}
	})
}

func TestAVerificationCanBeStopped(t *testing.T) {
	f := newFixture(t, "sqlite")
	ctx, stop := context.WithCancel(t.Context())
	_, err := verify.Database(ctx, f.Store, verify.Config{Progress: func(done, _ int64) {
		if done > math.MinInt64 {
			stop()
		}
	}})
	if err == nil {
		t.Error("it went on")
	}
}

// valid returns a command whose input a test knows to be valid.
func valid[C escrow.Command](command C, faults escrow.Faults) C {
	if err := faults.Err(); err != nil {
		panic(err)
	}
	return command
}
