package verify_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ncruces/go-sqlite3/driver"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
	"github.com/escrowgrid/escrowgrid/internal/translog"
	"github.com/escrowgrid/escrowgrid/internal/verify"
	"github.com/escrowgrid/escrowgrid/internal/verify/bundle"
)

// export writes the bundle of the fixture's journal.
func (f *fixture) export() (path string) {
	f.t.Helper()
	path = filepath.Join(f.t.TempDir(), "meridian.bundle")
	if err := bundle.FromStore(f.t.Context(), f.Store, f.Example.Institution, path, time.Now(), nil, nil); err != nil {
		f.t.Fatal(err)
	}
	return path
}

func verifyBundle(t *testing.T, path string) verify.Report {
	t.Helper()
	b, err := bundle.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = b.Close() }()
	return must(verify.Bundle(t.Context(), b, verify.Config{Keys: []string{signer.VerifierKey()}}))
}

// independently verifies a bundle with the program that shares no code with this one.
func independently(t *testing.T, path string, keys ...string) (output string, verified bool) {
	t.Helper()
	output, code := independentlyWith(t, fmt.Sprint(lastEntry-lastSigned), path, keys...)
	return output, code == 0
}

// independentlyWith is independently, where so many entries need no signature.
func independentlyWith(t *testing.T, allowUnsigned, path string, keys ...string) (output string, code int) {
	t.Helper()
	args := append([]string{"../../docs/verify_bundle.py", "--allow-unsigned", allowUnsigned, path}, keys...)
	command := exec.CommandContext(t.Context(), "python3", args...)
	text, err := command.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(text), command.ProcessState.ExitCode()
}

func TestBundlesAreVerifiedWithNothingElse(t *testing.T) {
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		f := newFixture(t, kind)
		path := f.export()
		report := verifyBundle(t, path)
		if report.DifferenceCount != 0 || report.Institutions != 1 || report.Entries != lastEntry || report.Checkpoints != 2 || report.Unsigned != 3 || report.Rows != firstPositions+4 {
			t.Errorf("the report is %+v", report)
		}
		output, verified := independently(t, path, signer.VerifierKey())
		if want := fmt.Sprintf("PASSED: nothing differs.\nVerified %d entries of %s and 2 checkpoints, the last of %d entries; %d positions.\nSignatures were checked with the keys that you gave: %s\n",
			lastEntry, f.Example.Institution, lastSigned, firstPositions+4, signer.VerifierKey()); !verified || output != want {
			t.Errorf("independently, it is %t: %s", verified, output)
		}
		// A stranger's key of the same name, and a key that was mistyped.
		mistyped := strings.Replace(signer.VerifierKey(), "+A", "+B", 1)
		for _, key := range []string{stranger.VerifierKey(), mistyped} {
			if output, verified := independently(t, path, key); verified {
				t.Errorf("with the key %s it is verified: %s", key, output)
			}
		}
		if output, verified := independently(t, path); verified || !strings.Contains(output, "python3 verify_bundle.py [--allow-unsigned N] BUNDLE PUBLIC_KEY") {
			t.Errorf("without a key it says %s", output)
		}
	})
}

// change runs statements on a bundle.
func change(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := driver.Open("file:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, statement := range statements {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

func TestTamperingWithABundleIsFound(t *testing.T) {
	f := newFixture(t, "sqlite")
	original := must(os.ReadFile(f.export()))
	body := func(sequence int64) string { return string(f.Entry(f.Example.Institution, sequence).Body) }
	rewrite := func(sequence int64, old, changed string) string {
		return fmt.Sprintf("UPDATE entries SET body = replace(body, '%s', '%s') WHERE sequence = %d", old, changed, sequence)
	}
	move := func(from, to int64) []string {
		return []string{
			rewrite(from, fmt.Sprintf(`"sequence":%d,`, from), fmt.Sprintf(`"sequence":%d,`, to)),
			fmt.Sprintf("UPDATE entries SET sequence = %d WHERE sequence = %d", to, from),
		}
	}
	forged := must(translog.Checkpoint{
		Origin: "escrowgrid.test/" + f.Example.Institution.String(), Size: lastSigned, Root: translog.EmptyRoot(), At: time.Now(),
	}.Sign(stranger))
	foreign := strings.ReplaceAll(body(firstSigned+7), f.positions[firstPositions].String(), escrow.PositionID{15: 1}.String())
	for _, test := range []struct {
		name       string
		statements []string
		want       string // of a difference; the other program stops at the first
		// independently is what that one says of it, as far as it matters.
		independently string
	}{
		{"an entry altered", []string{rewrite(anEntry, `"requestId":"test"`, `"requestId":"best"`)}, fmt.Sprintf("entries 1 to %d: there is the root ", firstSigned), `the first entry that differs is one of 1 to \d+: they are not`},
		{"an amount altered", []string{rewrite(anEntry, "900000.00", "800000.00")}, fmt.Sprintf("entries 1 to %d: there is the root ", firstSigned), `the first entry that differs is one of 1 to \d+: entry \d+ moves `},
		{"an entry removed", []string{fmt.Sprintf("DELETE FROM entries WHERE sequence = %d", anEntry)}, fmt.Sprintf("entry %d: there is nothing", anEntry), fmt.Sprintf("entry %d is missing", anEntry)},
		{"an entry far away", []string{fmt.Sprintf("UPDATE entries SET sequence = %d WHERE sequence = %d", int64(math.MaxInt64), lastEntry)}, fmt.Sprintf("entry %d: there is nothing", lastEntry), ""},
		{"an entry of no time", []string{"UPDATE entries SET at = 'x', body = replace(body, '900000.00', '800000.00') WHERE sequence = " + fmt.Sprint(anEntry)}, fmt.Sprintf("entry %d: there is what cannot be read", anEntry), ""},
		{"a checkpoint of another time", []string{"UPDATE checkpoints SET at = '2999-01-01T00:00:00.000000Z'"}, "column at: there is 2999", ""},
		{"a checkpoint of no time", []string{"UPDATE checkpoints SET at = 'x'"}, fmt.Sprintf("checkpoint of %d entries: there is what cannot be read", firstSigned), ""},
		{"an entry of another kind", []string{fmt.Sprintf("UPDATE entries SET kind = 'KEY_REVOKED' WHERE sequence = %d", anEntry)}, "column kind KEY_REVOKED", ""},
		{"an entry of another subject", []string{fmt.Sprintf("UPDATE entries SET subject = 'x' WHERE sequence = %d", anEntry)}, "column subject x", ""},
		{"entries reordered", append(append(move(anEntry, 1_000_000), move(anEntry+1, anEntry)...), move(1_000_000, anEntry+1)...), fmt.Sprintf("entry %d: there is the time ", anEntry+1), ""},
		{"the end cut off", []string{fmt.Sprintf("DELETE FROM entries WHERE sequence >= %d", lastSigned)}, fmt.Sprintf("checkpoint of %d entries: there is a journal of %d entries", lastSigned, lastSigned-1), ""},
		{
			"a checkpoint forged",
			[]string{fmt.Sprintf("UPDATE checkpoints SET note = '%s' WHERE size = %d", forged, lastSigned)},
			fmt.Sprintf("checkpoint of %d entries: there is checkpoint: note has no verifiable signatures", lastSigned),
			fmt.Sprintf("the checkpoint of %d entries: ", lastSigned),
		},
		{
			"a checkpoint with a letter changed",
			[]string{fmt.Sprintf("UPDATE checkpoints SET note = replace(note, 'time 2', 'time 3') WHERE size = %d", lastSigned)},
			"invalid signature for key escrowgrid.test",
			fmt.Sprintf("the checkpoint of %d entries: a signature is wrong", lastSigned),
		},
		{
			"an unsigned transition of a position that nothing made",
			[]string{
				fmt.Sprintf("DELETE FROM entries WHERE sequence > %d", lastSigned),
				fmt.Sprintf("INSERT INTO entries SELECT %d, '2999-01-01T00:00:00.000000Z', actor, kind, '%s', '%s', NULL FROM entries WHERE sequence = %d",
					lastSigned+1, escrow.PositionID{15: 1},
					strings.NewReplacer(fmt.Sprintf(`"sequence":%d`, firstSigned+7), fmt.Sprintf(`"sequence":%d`, lastSigned+1),
						`"at":"`+escrow.FormatTime(f.Entry(f.Example.Institution, firstSigned+7).At), `"at":"2999-01-01T00:00:00.000000Z`).Replace(foreign), firstSigned+7),
			},
			fmt.Sprintf("entry %d: there is an entry on pos_00000000000000000000000001", lastSigned+1),
			fmt.Sprintf("reason is missing beside entry %d", lastSigned+1),
		},
		{"of another institution", []string{"UPDATE bundle SET institution = '" + escrow.InstitutionID{15: 1}.String() + "'"}, "entry 1: there is institution " + f.Example.Institution.String(), ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "tampered.bundle")
			if err := os.WriteFile(path, original, 0o600); err != nil {
				t.Fatal(err)
			}
			change(t, path, test.statements...)
			found := false
			report := verifyBundle(t, path)
			for _, difference := range report.Differences {
				found = found || strings.Contains(difference.String(), test.want)
			}
			if !found {
				t.Errorf("no difference has %q, they are %v", test.want, report.Differences)
			}
			if output, verified := independently(t, path, signer.VerifierKey()); verified || !strings.HasPrefix(output, "FAILED: ") || strings.Contains(output, "Verified") {
				t.Errorf("independently, it is %t: %s", verified, output)
			} else if !regexp.MustCompile(test.independently).MatchString(output) {
				t.Errorf("independently, %q is not in %s", test.independently, output)
			}
		})
	}
}

// A bundle that is refused could not be verified: it is another thing, or one that could
// show different things to different questions.
func TestFilesThatAreNoBundleAreRefused(t *testing.T) {
	f := newFixture(t, "sqlite")
	original := must(os.ReadFile(f.export()))
	for name, statements := range map[string][]string{
		"a view in the place of entries": {
			"ALTER TABLE entries RENAME TO others",
			"CREATE VIEW entries AS SELECT sequence, at, actor, kind, subject, body FROM others",
		},
		"a trigger":                           {"CREATE TRIGGER t AFTER INSERT ON keys BEGIN SELECT 1; END"},
		"a table more":                        {"CREATE TABLE notes (text TEXT)"},
		"an entry before the first":           {"UPDATE entries SET sequence = 0 WHERE sequence = 1"},
		"a checkpoint of less than one entry": {"INSERT INTO checkpoints SELECT -1, at, note FROM checkpoints LIMIT 1"},
		"a format that is not known":          {"UPDATE bundle SET format = 3"},
		"no institution":                      {"UPDATE bundle SET institution = 'x'"},
		"no time":                             {"UPDATE bundle SET exported_at = 'x'"},
		"nothing that says what it is":        {"DELETE FROM bundle"},
	} {
		path := filepath.Join(t.TempDir(), "other.bundle")
		if err := os.WriteFile(path, original, 0o600); err != nil {
			t.Fatal(err)
		}
		change(t, path, statements...)
		if b, err := bundle.Open(t.Context(), path); err == nil || !strings.Contains(err.Error(), bundle.ErrNoBundle.Error()) {
			t.Errorf("%s: it is opened as %+v, %v", name, b, err)
		}
		if output, verified := independently(t, path, signer.VerifierKey()); verified || strings.Contains(output, "Traceback") {
			t.Errorf("%s: independently, it is %t: %s", name, verified, output)
		}
	}
	for _, suffix := range []string{"-wal", "-journal"} {
		path := filepath.Join(t.TempDir(), "beside.bundle")
		for _, file := range []string{path, path + suffix} {
			if err := os.WriteFile(file, original, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if b, err := bundle.Open(t.Context(), path); !errors.Is(err, bundle.ErrNoBundle) {
			t.Errorf("beside a file %s it is opened as %+v, %v", suffix, b, err)
		}
		if output, verified := independently(t, path, signer.VerifierKey()); verified || !strings.Contains(output, suffix) {
			t.Errorf("independently, beside a file %s it is %t: %s", suffix, verified, output)
		}
	}
	pipe, link := filepath.Join(t.TempDir(), "pipe"), filepath.Join(t.TempDir(), "link")
	if output, err := exec.CommandContext(t.Context(), "mkfifo", pipe).CombinedOutput(); err != nil {
		t.Fatal(err, string(output))
	}
	if err := os.Symlink(f.export(), link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{pipe, link, os.DevNull, t.TempDir()} {
		if b, err := bundle.Open(t.Context(), path); !errors.Is(err, bundle.ErrNoBundle) {
			t.Errorf("%s is opened as %+v, %v", path, b, err)
		}
		if output, verified := independently(t, path, signer.VerifierKey()); verified || !strings.HasPrefix(output, "FAILED: ") {
			t.Errorf("independently, %s is %t: %s", path, verified, output)
		}
	}
	if output, verified := independently(t, "none", signer.VerifierKey()); verified || !strings.HasPrefix(output, "FAILED: there is no file none\n") {
		t.Errorf("independently, a file that is not there is %t: %s", verified, output)
	}
	for name, content := range map[string]string{"empty": "", "text": "a text that is long enough to be taken for something else"} {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if b, err := bundle.Open(t.Context(), path); err == nil {
			t.Errorf("%s: it is opened as %+v", name, b)
		}
	}
	if b, err := bundle.Open(t.Context(), filepath.Join(t.TempDir(), "none")); err == nil {
		t.Errorf("a file that is not there is opened as %+v", b)
	}
}

// A file that is changed between the two times that its entries are read is noticed.
func TestABundleThatChangesMeanwhileIsFound(t *testing.T) {
	f := newFixture(t, "sqlite")
	path := f.export()
	changeOnce := sync.OnceFunc(func() {
		change(t, path, `UPDATE entries SET body = replace(body, '"requestId":"test"', '"requestId":"best"')`)
	})
	b := must(bundle.Open(t.Context(), path))
	defer func() { _ = b.Close() }()
	report := must(verify.Bundle(t.Context(), b, verify.Config{
		Keys: []string{signer.VerifierKey()}, AllowUnsigned: 10, Workers: 1,
		Progress: func(done, _ int64) {
			if done >= lastEntry {
				changeOnce()
			}
		},
	}))
	want := "the file: there is other entries than when it was read before"
	if report.DifferenceCount != 1 || !strings.Contains(report.Differences[0].String(), want) {
		t.Errorf("the differences are %v", report.Differences)
	}
}

// What is at the path of a bundle is always whole: it was there before, or is new.
func TestABundleIsThereWholeOrNotAtAll(t *testing.T) {
	f := newFixture(t, "sqlite")
	path := f.export()
	if err := bundle.FromStore(t.Context(), f.Store, f.Example.Institution, path, time.Now(), nil, nil); err == nil {
		t.Error("a bundle is written over another")
	}
	if about := must(os.Stat(path)); about.Mode().Perm() != 0o600 {
		t.Errorf("others may read it: %s", about.Mode())
	}
	f.tamper("DELETE FROM journal_entries WHERE institution_id = $1 AND sequence = $2", f.Example.Institution, int64(anEntry))
	broken := filepath.Join(t.TempDir(), "broken.bundle")
	err := bundle.FromStore(t.Context(), f.Store, f.Example.Institution, broken, time.Now(), nil, nil)
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("entry %d is missing", anEntry)) {
		t.Errorf("a journal with a gap is exported: %v", err)
	}
	if left := must(filepath.Glob(filepath.Join(filepath.Dir(broken), "*"))); len(left) != 0 {
		t.Errorf("it leaves %v", left)
	}
	if err := bundle.FromStore(t.Context(), f.Store, escrow.InstitutionID{15: 1}, broken, time.Now(), nil, nil); err == nil {
		t.Error("the journal of no institution is exported")
	}
}
