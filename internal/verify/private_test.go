package verify_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
	"github.com/escrowgrid/escrowgrid/internal/verify"
	"github.com/escrowgrid/escrowgrid/internal/verify/bundle"
)

// erasePosition cancels a position and erases it, and keeps that.
func (f *fixture) erasePosition(id escrow.PositionID) {
	f.t.Helper()
	f.Do(f.Example.Institution,
		valid(escrow.NewTransitionPosition(id, escrow.TransitionInput{ToState: "CANCELLED"}, nil)),
		valid(escrow.NewErasePosition(id, new("asked for"), nil, 0)),
		escrow.RecordErasure{Erasure: escrow.Erasure{Erased: 1, RetainedUntil: new(time.UnixMicro(7)), Complete: true}})
}

// sequenceOf is that of the entry which created a position of the first ones.
func sequenceOf(position int) int64 { return int64(13 + position) }

// private is what stands beside an entry.
func (f *fixture) private(sequence int64) []byte {
	f.t.Helper()
	return f.Entry(f.Example.Institution, sequence).Private
}

func (f *fixture) setPrivate(sequence int64, private []byte) {
	f.t.Helper()
	var value any
	if private != nil {
		value = private
	}
	f.tamper("UPDATE journal_entries SET private = $1 WHERE institution_id = $2 AND sequence = $3", value, f.Example.Institution, sequence)
}

// Whoever has the database can take private values away, or put others in their place. Each is
// found, and what was erased is told apart from what was removed.
func TestTamperingWithPrivateValuesIsFound(t *testing.T) {
	t.Parallel()
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		t.Parallel()
		f := newFixture(t, kind)
		before := f.private(sequenceOf(3))
		f.erasePosition(f.positions[3])
		if report := f.verify(nil); report.DifferenceCount != 0 || report.Erased != 2 {
			t.Fatalf("as it is, %d entries were erased, and the differences are %v", report.Erased, report.Differences)
		}

		const key, branch, portal, position, step = 2, 11, 12, 7, 13 + 7 + 2*firstPositions
		created := sequenceOf(position)
		holder, label, reason := f.private(created), f.private(key), f.private(step)
		changed := func(private []byte, place int) []byte {
			other := bytes.Clone(private)
			other[place] ^= 1
			return other
		}
		for name, test := range map[string]struct {
			sequence int64
			private  []byte
			want     string
		}{
			"a holder changed":          {created, bytes.Replace(holder, []byte("holder-7"), []byte("holder-8"), 1), "there is private values beside it of which its holderReference is not the one"},
			"a reason changed":          {step, bytes.Replace(reason, []byte("first"), []byte("fi5st"), 1), "there is private values beside it of which its reason is not the one"},
			"a secret changed":          {created, changed(holder, 31), "there is private values beside it of which its holderReference is not the one"},
			"a label changed":           {key, changed(label, len(label)-1), "there is private values beside it of which its label is not the one"},
			"an owner changed":          {branch, bytes.Replace(f.private(branch), []byte("Branch 7"), []byte("Branch 8"), 1), "there is private values beside it of which its owner is not the one"},
			"holders changed":           {portal, bytes.Replace(f.private(portal), []byte("holder-8"), []byte("holder-9"), 1), "there is private values beside it of which its holderReferences is not the one"},
			"holders removed":           {portal, nil, "there is no value of label, holderReferences beside it"},
			"a holder removed":          {created, nil, "there is no value of holderReference, externalReference, metadata beside it"},
			"a label removed":           {key, nil, "there is no value of label beside it"},
			"a value too many":          {created, append(bytes.Clone(holder), 1, 'x'), "is not a secret and the values"},
			"a value cut off":           {created, holder[:len(holder)-1], "is not a secret and the values"},
			"a secret alone":            {created, holder[:32], "is not a secret and the values"},
			"values of no member":       {anEntry, holder, "is not a secret and the values"},
			"what was erased come back": {sequenceOf(3), before, "there is private values beside it, and should be none, as entry "},
		} {
			was := f.private(test.sequence)
			f.setPrivate(test.sequence, test.private)
			want := fmt.Sprintf("entry %d: ", test.sequence)
			found := false
			report := f.verify(nil)
			for _, difference := range report.Differences {
				line := difference.String()
				found = found || strings.Contains(line, want) && strings.Contains(line, test.want)
			}
			if !found {
				t.Errorf("%s: no difference has %q and %q: %v", name, want, test.want, report.Differences)
			}
			f.setPrivate(test.sequence, was)
		}

		f.tamper("UPDATE positions SET holder_reference = 'holder-3'"+ofPosition, f.Example.Institution, f.positions[3])
		if report := f.verify(nil); report.DifferenceCount != 1 || !strings.Contains(report.Differences[0].String(), "holder_reference holder-3, and should be NULL") {
			t.Errorf("a row that was not cleared is found as %v", report.Differences)
		}
		f.tamper("UPDATE positions SET holder_reference = NULL"+ofPosition, f.Example.Institution, f.positions[3])
		if report := f.verify(nil); report.DifferenceCount != 0 {
			t.Errorf("with all as it was, there are differences: %v", report.Differences)
		}
	})
}

// A bundle has the private values with their salts, or leaves some out and says so. Both
// programs take it for the same.
func TestBundlesOfPrivateValues(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "sqlite")
	f.erasePosition(f.positions[3])
	f.sign()
	export := func(t *testing.T, redacted []string) string {
		t.Helper()
		path := filepath.Join(t.TempDir(), "bundle")
		if err := bundle.FromStore(t.Context(), f.Store, f.Example.Institution, path, time.Now(), redacted, nil); err != nil {
			t.Fatal(err)
		}
		return path
	}

	for _, test := range []struct {
		name     string
		redacted []string
		change   string
		want     string // of a difference; empty where it verifies
	}{
		{"whole", nil, "", ""},
		{"redacted", escrow.PrivateMembers(), "", ""},
		{"redacted in part", []string{"holderReference", "holderReferences", "owner", "reason"}, "", ""},
		{"a value changed", nil, "UPDATE entries SET private = replace(private, 'holder-7', 'holder-8')", "of which its holderReference is not the one"},
		{"a salt changed", nil, `UPDATE entries SET private = replace(private, '{"label":{"salt":"', '{"label":{"salt":"AAAA') WHERE sequence = 2`, "cannot be read"},
		{"a value removed", nil, "UPDATE entries SET private = NULL WHERE sequence = 20", "no value of holderReference, externalReference, metadata beside it"},
		{"a label removed", nil, "UPDATE entries SET private = NULL WHERE sequence = 2", "no value of label beside it"},
		{"holders changed", nil, "UPDATE entries SET private = replace(private, 'holder-8', 'holder-9') WHERE sequence = 12", "of which its holderReferences is not the one"},
		{"holders removed", nil, "UPDATE entries SET private = NULL WHERE sequence = 12", "no value of label, holderReferences beside it"},
		{"an owner changed", nil, "UPDATE entries SET private = replace(private, 'Branch 7', 'Branch 8') WHERE sequence = 11", "of which its owner is not the one"},
		{"another value removed", []string{"holderReference"}, "UPDATE entries SET private = NULL WHERE sequence = 20", "no value of externalReference, metadata beside it"},
		{"an erased value", nil, "UPDATE entries SET private = (SELECT private FROM entries WHERE sequence = 20) WHERE sequence = 16", "none, as entry "},
		{"a value of another member", nil, `UPDATE entries SET private = '{"reason":{"salt":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","value":"x"}}' WHERE sequence = 20`, "is not a secret and the values"},
		{"values with a space", nil, "UPDATE entries SET private = private || ' ' WHERE sequence = 20", "cannot be read"},
		{"no values", nil, "UPDATE entries SET private = '{}' WHERE sequence = 150", "cannot be read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			path := export(t, test.redacted)
			if test.change != "" {
				change(t, path, test.change)
			}
			report := verifyBundle(t, path)
			found := test.want == "" && report.DifferenceCount == 0
			for _, difference := range report.Differences {
				found = found || test.want != "" && strings.Contains(difference.String(), test.want)
			}
			if !found {
				t.Errorf("no difference has %q, they are %v", test.want, report.Differences)
			}
			output, verified := independently(t, path, signer.VerifierKey())
			if verified != (test.want == "") || strings.Contains(output, "Traceback") {
				t.Errorf("independently, it is %t: %s", verified, output)
			}
			if !verified {
				return
			}
			if report.Erased != 2 || (report.Redacted > 0) != (len(test.redacted) > 0) {
				t.Errorf("%d entries were erased, %d redacted", report.Erased, report.Redacted)
			}
			if !strings.Contains(output, "The private values of 2 entries were erased.\n") || strings.Contains(output, "leaves out") != (test.redacted != nil) {
				t.Errorf("independently, it says %s", output)
			}
			content := must(os.ReadFile(path))
			if has := bytes.Contains(content, []byte("holder-7")); has == (test.redacted != nil) {
				t.Errorf("a name is in the file: %t", has)
			}
			if bytes.Contains(content, f.private(20)[:32]) {
				t.Error("the secret of an entry is in the file")
			}
		})
	}
}

// What was erased while its journal was verified is no difference.
func TestAnErasureMeanwhileIsNoDifference(t *testing.T) {
	t.Parallel()
	journaltest.EachKind(t, func(t *testing.T, kind string) {
		t.Parallel()
		f := newFixture(t, kind)
		next := 0
		report := f.verify(func(c *verify.Config) {
			c.Workers = 1
			c.Progress = func(int64, int64) {
				if next < 40 {
					f.erasePosition(f.positions[next])
					next++
				}
			}
		})
		if report.DifferenceCount != 0 || next == 0 {
			t.Errorf("after %d erasures, the differences are %v", next, report.Differences)
		}
	})
}
