package disclosure_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/disclosure"
	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// shown is a file that somebody is shown, and the key that they trust.
type shown struct{ text, key string }

// independently verifies files with the program that shares no code with this one, and returns what
// is wrong with each; empty where nothing is.
func independently(t *testing.T, files []shown) (faults []string) {
	t.Helper()
	const verifyAll = `
import contextlib, io, json, sys
sys.path.insert(0, "../../docs")
import verify_bundle
for path, key in json.load(sys.stdin):
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            verify_bundle.main(0, path, key)
        print()
    except Exception as fault:
        print(repr(fault))
`
	directory := t.TempDir()
	asked := make([][2]string, len(files))
	for i, file := range files {
		asked[i] = [2]string{filepath.Join(directory, fmt.Sprint(i)), file.key}
		if err := os.WriteFile(asked[i][0], []byte(file.text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.CommandContext(t.Context(), "python3", "-B", "-c", verifyAll)
	command.Stdin = bytes.NewReader(must(json.Marshal(asked)))
	output, err := command.CombinedOutput()
	faults = strings.Split(strings.TrimSuffix(string(output), "\n"), "\n")
	if err != nil || len(faults) != len(files) {
		t.Fatalf("%d files are verified with %v: %s", len(files), err, output)
	}
	return faults
}

// compare verifies files with both programs, and wants the same of both.
func compare(t *testing.T, files map[string]shown, wanted bool) {
	t.Helper()
	var names []string
	var all []shown
	for name, file := range files {
		names, all = append(names, name), append(all, file)
	}
	faults := independently(t, all)

	for i, name := range names {
		read, err := disclosure.Parse([]byte(all[i].text))
		if err == nil {
			_, err = read.Verify(must(translog.NewVerifiers(all[i].key)))
		}
		if (err == nil) != wanted || (faults[i] == "") != wanted {
			t.Errorf("%s: there is %v and, independently, %s: %s", name, err, faults[i], all[i].text)
		}
	}
}

// token is a text or a number in JSON.
var token = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|\d+`)

// A file of which anything was changed by hand shows nothing any more.
func TestAChangedDisclosureIsNone(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	whole := string(must(j.disclose(t, releasedEntry, "reason", "metadata").Text()))
	changed := make(map[string]shown)
	change := func(name string, parts ...string) {
		if text := strings.Join(parts, ""); text != whole {
			changed[name] = shown{text, signer.VerifierKey()}
		}
	}

	// Each name and each value: what it begins with, ends with and has in the middle, and its type.
	for _, at := range token.FindAllStringIndex(whole, -1) {
		before, value, after := whole[:at[0]], whole[at[0]:at[1]], whole[at[1]:]
		for _, with := range []string{`null`, `""`, `"x"`, `[]`, `{}`, `true`, `2`, `1.0`, value + "," + value} {
			change(value+" as "+with, before, with, after)
		}
		text := strings.Trim(value, `"`)
		for place := range text {
			if place != 0 && place != len(text)/2 && place < len(text)-2 {
				continue
			}
			for _, with := range []string{"", "A", "b", `\n`, text[place:place+1] + text[place:place+1]} {
				change(fmt.Sprintf("%s with %s at %d", value, with, place), before, strings.Replace(value, text, text[:place]+with+text[place+1:], 1), after)
			}
		}
	}

	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(whole), &object); err != nil {
		t.Fatal(err)
	}
	for name, value := range object {
		member := fmt.Sprintf("%q:%s", name, value)
		change("without "+name, strings.NewReplacer(","+member, "", member+",", "").Replace(whole))
		change(name+" twice", strings.Replace(whole, member, member+","+member, 1))
	}
	change("with another member", strings.Replace(whole, "{", `{"a":1,`, 1))
	change("with another member behind", strings.TrimSuffix(whole, "}\n"), `,"a":1}`)
	change("with a space", strings.Replace(whole, ":", ": ", 1))
	change("with something behind it", whole, "x")
	change("with a line before it", "\n", whole)
	change("in an array", "[", whole, "]")
	compare(t, changed, false)
}

// Not one byte can be another.
func TestEachByteOfADisclosureCounts(t *testing.T) {
	t.Parallel()
	whole := must(newJournal(t).disclose(t, releasedEntry, "reason").Text())
	some := make(map[string]shown)
	for place := range len(whole) - 1 {
		for _, with := range [][]byte{{whole[place] ^ 1}, {whole[place] ^ 0x20}, {}} {
			text := slices.Concat(whole[:place], with, whole[place+1:])
			if _, err := verify(text); err == nil {
				t.Errorf("with %q at %d, it is verified: %s", with, place, text)
			}
			if place%41 == 0 {
				some[fmt.Sprintf("%q at %d", with, place)] = shown{string(text), signer.VerifierKey()}
			}
		}
	}
	compare(t, some, false)
}

// Nobody can show what was not signed, not even with parts of what was; and the operator, who can
// sign anything, cannot show what no server writes.
func TestLiesAreNoDisclosures(t *testing.T) {
	t.Parallel()
	j := newJournal(t)
	release := func() disclosure.Disclosure { return j.disclose(t, releasedEntry, "reason") }
	body := string(j.entries[releasedEntry-1].Body)
	lies := make(map[string]shown)
	lie := func(name string, d disclosure.Disclosure, change func(*disclosure.Disclosure)) {
		if change != nil {
			change(&d)
		}
		lies[name] = shown{string(must(d.Text())), signer.VerifierKey()}
	}
	signed := func(name string, change func(*translog.Checkpoint)) {
		checkpoint := j.checkpoint()
		change(&checkpoint)
		lie(name, release(), func(d *disclosure.Disclosure) { d.Note = must(checkpoint.Sign(signer)) })
	}

	lie("the proof of another entry", release(), func(d *disclosure.Disclosure) { d.Proof = j.disclose(t, fundedEntry).Proof })
	lie("no proof", release(), func(d *disclosure.Disclosure) { d.Proof = nil })
	lie("a part of the proof", release(), func(d *disclosure.Disclosure) { d.Proof = d.Proof[:1] })
	lie("a longer proof", release(), func(d *disclosure.Disclosure) { d.Proof = append(d.Proof, d.Proof[0]) })
	lie("another entry with the proof", release(), func(d *disclosure.Disclosure) { d.Body, d.Members = j.entries[fundedEntry-1].Body, nil })
	lie("a value of another entry", release(), func(d *disclosure.Disclosure) { d.Members = j.entries[erasedEntry-1].Openings() })
	lie("a value that the entry does not have", j.disclose(t, fundedEntry), func(d *disclosure.Disclosure) { d.Members = release().Members })
	lie("an entry on no position", j.disclose(t, assetEntry, "label"), nil)

	signed("a checkpoint of another journal", func(c *translog.Checkpoint) { c.Origin = translog.Origin(signer.Name(), escrow.InstitutionID{1}) })
	signed("a checkpoint of no operator", func(c *translog.Checkpoint) { c.Origin = "/" + j.entries[0].InstitutionID.String() })
	signed("a checkpoint of no journal", func(c *translog.Checkpoint) { c.Origin = signer.Name() })
	signed("a checkpoint of another root", func(c *translog.Checkpoint) { c.Root[0]++ })
	signed("a checkpoint of fewer entries", func(c *translog.Checkpoint) { c.Size = releasedEntry - 1 })
	signed("a checkpoint of more entries", func(c *translog.Checkpoint) { c.Size = 1000 })
	signed("a checkpoint of no entry", func(c *translog.Checkpoint) { c.Size = 0 })

	for name, forged := range map[string]string{
		"with a space":             strings.Replace(body, ":", ": ", 1),
		"of another sequence":      strings.Replace(body, `"sequence":6`, `"sequence":5`, 1),
		"of the sequence 0":        strings.Replace(body, `"sequence":6`, `"sequence":0`, 1),
		"of a sequence below 0":    strings.Replace(body, `"sequence":6`, `"sequence":-6`, 1),
		"on another position":      strings.Replace(body, `"subject":"pos_0`, `"subject":"pos_1`, 1),
		"of another version":       strings.Replace(body, `"v":2`, `"v":1`, 1),
		"of a step that cannot be": strings.Replace(body, `"fromState":"FUNDED"`, `"fromState":"CANCELLED"`, 1),
		"to no state":              strings.Replace(body, `"toState":"RELEASED"`, `"toState":"GONE"`, 1),
		"from no state":            strings.Replace(body, `"fromState":"FUNDED"`, `"fromState":""`, 1),
		"of no amount":             strings.Replace(body, `"amount":"1000.00"`, `"amount":"-1000.00"`, 1),
		"of no kind":               strings.Replace(body, `"POSITION_STATE_CHANGED"`, `"POSITION_CHANGED"`, 1),
		"of another kind":          strings.Replace(body, `"POSITION_STATE_CHANGED"`, `"POSITION_CREATED"`, 1),
		"at no time":               strings.Replace(body, `"at":"2027-01-31`, `"at":"2027-02-31`, 1),
		"by nobody":                strings.Replace(body, `"actor":"root"`, `"actor":"nobody"`, 1),
		"with a name in clear":     regexp.MustCompile(`"reason":\{[^}]*\}`).ReplaceAllString(body, `"reason":"x"`),
	} {
		if forged == body {
			t.Fatalf("%s: nothing was changed", name)
		}
		lie("an entry "+name, j.replace(releasedEntry, forged).disclose(t, releasedEntry, "reason"), nil)
	}
	lie("an entry of no number", j.replace(1, strings.Replace(body, `"sequence":6`, `"sequence":true`, 1)).disclose(t, 1), nil)
	created := string(j.entries[createdEntry-1].Body)
	for name, forged := range map[string]string{
		"of nothing":                strings.Replace(created, `"amount":"1000.00"`, `"amount":"0.00"`, 1),
		"that retains other digits": strings.Replace(created, `"retained":"100.00"`, `"retained":"100.0"`, 1),
		"that expires at no time":   strings.Replace(created, `"expiresAt":"2028-`, `"expiresAt":"28-`, 1),
	} {
		if forged == created {
			t.Fatalf("%s: nothing was changed", name)
		}
		lie("a creation "+name, j.replace(createdEntry, forged).disclose(t, createdEntry), nil)
	}

	further := held(t)
	placed, lifted := string(further.entries[heldEntry-1].Body), string(further.entries[liftedEntry-1].Body)
	for name, forged := range map[string]string{
		"of no kind":       strings.Replace(placed, `"kind":"LEGAL"`, `"kind":"OTHER"`, 1),
		"of nothing":       strings.Replace(placed, `"kind":"LEGAL"`, `"kind":"LEGAL","currency":"USD","amount":"0.00"`, 1),
		"of a currency":    strings.Replace(placed, `"kind":"LEGAL"`, `"kind":"LEGAL","currency":"USD"`, 1),
		"without currency": strings.Replace(placed, `"kind":"LEGAL"`, `"kind":"LEGAL","amount":"1.00"`, 1),
	} {
		lie("a hold "+name, further.replace(heldEntry, forged).disclose(t, heldEntry), nil)
	}
	nothing := strings.Replace(lifted, `"amount":"1000.00"`, `"amount":"0.00"`, 1)
	if nothing == lifted {
		t.Fatal("nothing was changed")
	}
	lie("a lifting of nothing", further.replace(liftedEntry, nothing).disclose(t, liftedEntry), nil)

	_, stranger, err := translog.GenerateKey(signer.Name())
	if err != nil {
		t.Fatal(err)
	}
	lies["another key"] = shown{string(must(release().Text())), stranger.VerifierKey()}
	lie("a signature with bits that no byte has", release(), func(d *disclosure.Disclosure) {
		d.Note[len(d.Note)-3]++ // Before the "=" and the end of the line.
	})
	text := j.checkpoint().Text()
	untimed, at, _ := strings.Cut(text, "time ")
	lie("a checkpoint without a time", release(), func(d *disclosure.Disclosure) {
		d.Note = sign(untimed)
	})
	lie("a checkpoint of two times", release(), func(d *disclosure.Disclosure) {
		d.Note = sign(text + "time " + at)
	})
	compare(t, lies, false)

	// Keys that nobody was given, and lines that nobody knows, change nothing.
	truths := make(map[string]shown)
	for name, note := range map[string][]byte{
		"as it is":          must(j.checkpoint().Sign(signer)),
		"with two keys":     must(j.checkpoint().Sign(stranger, signer)),
		"with another line": sign(text + "something else\n"),
	} {
		d := release()
		d.Note = note
		truths[name] = shown{string(must(d.Text())), signer.VerifierKey()}
	}
	further = held(t)
	for sequence := createdEntry; sequence <= liftedEntry; sequence++ {
		d := further.disclose(t, sequence, escrow.PrivateMembers()...)
		truths[fmt.Sprint("entry ", sequence)] = shown{string(must(d.Text())), signer.VerifierKey()}
	}
	compare(t, truths, true)
}
