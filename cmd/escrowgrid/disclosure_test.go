package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// save keeps a file as whoever is shown it does.
func save(t *testing.T, content []byte) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "disclosure.json")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// An institution shows one release to somebody who trusts the log's key, and nothing else: both
// programs say in the same words what is proven.
func TestOneReleaseIsProvenElsewhere(t *testing.T) {
	onEachStore(t, func(t *testing.T, databaseURL string) {
		v := serveVerified(t, databaseURL)
		admin := v.As(v.key)
		admin.Post(t, "/positions/"+v.positions[0]+"/transition",
			"{\"toState\": \"PARTIALLY_RELEASED\", \"amount\": \"250.00\", \"reason\": \"third floor\", \"metadata\": {\"by\": \"\u202eAda\"}}").Want(t, 200)
		const sequence = entriesOfVerified + 1
		v.awaitSigned(t, v.bank, sequence)
		answer := admin.Get(t, fmt.Sprintf("/positions/%s/disclosure?sequence=%d&members=reason,metadata", v.positions[0], sequence)).Want(t, 200)
		path := save(t, answer.Body)

		code, stdout, stderr := call(t, nil, "verify", "--disclosure", path, "--public-key", v.publicKey)
		if code != exitOK || stderr != "" {
			t.Fatalf("it ends with %d: %s%s", code, stdout, stderr)
		}
		for _, said := range []string{
			"PASSED: the entry is in the journal that was signed.\n",
			fmt.Sprintf("Entry %d of the journal of %s is entry_", sequence, v.id), ", a POSITION_STATE_CHANGED, made at 20",
			"Position " + v.positions[0] + " went from FUNDED to PARTIALLY_RELEASED, and 250.00 USD moved.\n",
			"Its reason is disclosed: third floor\n", `Its metadata is disclosed: {"by":"\u202eAda"}` + "\n",
			fmt.Sprintf("/%s, over %d entries, was signed at 20", v.id, sequence),
			"It was signed with the key that you gave, " + v.publicKey + ", of the fingerprint " + strings.Split(v.publicKey, "+")[1],
		} {
			if !strings.Contains(stdout, said) {
				t.Errorf("it does not say %q: %s", said, stdout)
			}
		}
		if code, output := independently(t, path, v.publicKey); code != exitOK || output != stdout {
			t.Errorf("independently, it ends with %d: %s", code, output)
		}

		// What is changed by hand, and another key, show nothing.
		differs := func(name, path, key string) {
			t.Helper()
			code, stdout, stderr := call(t, nil, "verify", "--disclosure", path, "--public-key", key)
			if code != exitFailure || !strings.HasPrefix(stdout, "FAILED: ") || stderr == "" {
				t.Errorf("%s: it ends with %d: %s%s", name, code, stdout, stderr)
			}
			if code, output := independently(t, path, key); code != exitFailure || !strings.HasPrefix(output, "FAILED: ") {
				t.Errorf("%s: independently, it ends with %d: %s", name, code, output)
			}
		}
		// internal/disclosure has every other change.
		more := strings.Replace(string(answer.Body), `\"amount\":\"250.00\"`, `\"amount\":\"950.00\"`, 1)
		differs("another amount", save(t, []byte(more)), v.publicKey)
		differs("another key", path, "escrowgrid.test+044697d8+Af04IWGmUW15I8HiJ/eRMFu6utTaz8jdr0pchM3mcKdZ")
	})
}

// The page shows what is said of the file that it shows.
func TestTheDocumentationShowsWhatADisclosureProves(t *testing.T) {
	page, err := os.ReadFile("../../docs/personal-data.md")
	if err != nil {
		t.Fatal(err)
	}
	vector := func(name string) string {
		_, rest, _ := strings.Cut(string(page), "<!-- begin vector: "+name+" -->\n\n```text\n")
		shown, _, _ := strings.Cut(rest, "```\n\n<!-- end vector: "+name+" -->")
		return shown
	}
	const key = "escrow.example.com+06f581ef+ATB5oF2GmgKs6NSNUyKZy6GH+gLOCbnlJFxxuiLJQogL"
	path := save(t, []byte(vector("disclosure")))
	if code, stdout, _ := call(t, nil, "verify", "--disclosure", path, "--public-key", key); code != exitOK || stdout != vector("proven") {
		t.Errorf("it ends with %d: %s", code, stdout)
	}
	if code, output := independently(t, path, key); code != exitOK || output != vector("proven") {
		t.Errorf("independently, it ends with %d: %s", code, output)
	}

	other := filepath.Join(filepath.Dir(path), "other")
	if err := os.WriteFile(other, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--disclosure", path}, exitUsage, "with --public-key, from a source that you trust"},
		{[]string{"--disclosure", path, "--public-key", "x"}, exitUsage, "is not a public key"},
		{[]string{"--disclosure", path, "--public-key", key, "--bundle", path}, exitUsage, "and no other flag"},
		{[]string{"--disclosure", path, "--public-key", key, "--url", "https://escrow.invalid"}, exitUsage, "and no other flag"},
		{[]string{"--disclosure", path, "--public-key", key, "--allow-unsigned", "1"}, exitUsage, "and no other flag"},
		{[]string{"--disclosure", other, "--public-key", key}, exitFailure, "is no disclosure of version 1"},
		{[]string{"--disclosure", other + "none", "--public-key", key}, exitUsage, "othernone"},
		{[]string{"--disclosure", "/dev/zero", "--public-key", key}, exitFailure, "is not a file as such"},
		{[]string{"--bundle", path, "--public-key", key}, exitFailure, "is no bundle"},
	} {
		code, stdout, stderr := call(t, nil, append([]string{"verify"}, test.args...)...)
		if code != test.code || !strings.Contains(stderr, test.says) || (code == exitFailure) != strings.HasPrefix(stdout, "FAILED: ") {
			t.Errorf("%q ends with %d, want %d: %s%s", test.args, code, test.code, stdout, stderr)
		}
	}
	for _, args := range [][]string{{other, key}, {"/dev/zero", key}, {"--allow-unsigned", "1", path, key}} {
		if code, output := independently(t, args...); code != exitFailure || !strings.HasPrefix(output, "FAILED: ") {
			t.Errorf("independently, %q ends with %d: %s", args, code, output)
		}
	}
}
