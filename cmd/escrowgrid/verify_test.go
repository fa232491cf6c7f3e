package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
)

// verified is a server on a database with the journal of a bank, all of which is signed,
// in which two positions were funded.
type verified struct {
	*process
	bank
	databaseURL, publicKey string
	positions              []string
}

// entriesOfVerified are in the journal of the bank.
const entriesOfVerified = entriesOfABank + 4

func serveVerified(t *testing.T, databaseURL string, env ...string) *verified {
	t.Helper()
	v := &verified{databaseURL: databaseURL}
	v.process = serve(t, append(env, "DATABASE_URL="+databaseURL, "CHECKPOINT_INTERVAL=100ms"), "--migrate")
	v.bank = openBank(t, v.Client)
	admin := v.As(v.key)
	for i := range 2 {
		position := admin.Post(t, "/positions", v.claim(fmt.Sprint(i))).Want(t, 201).Text("id")
		admin.Post(t, "/positions/"+position+"/transition", `{"toState": "FUNDED"}`).Want(t, 200)
		v.positions = append(v.positions, position)
	}
	v.eventually(t, "all is signed", func() bool {
		return v.Get(t, "/institutions/"+v.id+"/journal/checkpoint").Text("size") == strconv.Itoa(entriesOfVerified)
	})
	v.publicKey = v.Get(t, "/keys").Want(t, 200).Texts(t, "verifierKey")[0]
	return v
}

// tamper raises what a position has released, beside the server.
func (v *verified) tamper(t *testing.T) {
	t.Helper()
	var institution escrow.InstitutionID
	var position escrow.PositionID
	if err := institution.UnmarshalText([]byte(v.id)); err != nil {
		t.Fatal(err)
	}
	if err := position.UnmarshalText([]byte(v.positions[0])); err != nil {
		t.Fatal(err)
	}
	journaltest.Tamper(t, v.databaseURL,
		"UPDATE positions SET state = 'PARTIALLY_RELEASED', released = 500, held = held - 500 WHERE institution_id = $1 AND id = $2", institution, position)
}

// An auditor verifies what a server shows, takes a bundle elsewhere, and the operator the
// database itself. All find that a position was changed.
func TestJournalsAreVerifiedOverHTTPInABundleAndInTheDatabase(t *testing.T) {
	onEachStore(t, func(t *testing.T, databaseURL string) {
		v := serveVerified(t, databaseURL)
		overHTTP := func(key string) (int, string, string) {
			return call(t, []string{"API_KEY=" + key}, "verify", "--url", v.URL+"/", "--public-key", v.publicKey)
		}
		path := filepath.Join(t.TempDir(), "meridian.bundle")
		for name, key := range map[string]string{"the root key": testRootKey, "an admin's key": v.key} {
			code, stdout, stderr := overHTTP(key)
			if code != exitOK || stderr != "" || !strings.HasPrefix(stdout, "Verified in ") || !strings.HasSuffix(stdout, "\nNothing differs.\n") ||
				!strings.Contains(stdout, fmt.Sprintf(": %d entries in 1 journals, ", entriesOfVerified)) || !strings.Contains(stdout, " checkpoints, 2 rows of state.\n") {
				t.Errorf("with %s it ends with %d, %q and %q", name, code, stdout, stderr)
			}
		}
		checkpoint := filepath.Join(t.TempDir(), "kept.checkpoint")
		note := v.Get(t, "/institutions/"+v.id+"/journal/checkpoint").Text("note")
		for _, end := range []string{"", "\n", "\n\n"} { // As jq, printf and others write it.
			if err := os.WriteFile(checkpoint, []byte(strings.TrimSuffix(note, "\n")+end), 0o600); err != nil {
				t.Fatal(err)
			}
			if code, stdout, stderr := call(t, []string{"API_KEY=" + v.key}, "verify", "--url", v.URL, "--checkpoint", checkpoint); code != exitOK {
				t.Errorf("with a checkpoint that ends with %q it ends with %d, %q and %q", end, code, stdout, stderr)
			}
		}
		code, stdout, stderr := call(t, []string{"API_KEY=" + v.key}, "export", "--institution", v.id, "--output", path, "--url", v.URL)
		if code != exitOK || stderr != "" || !strings.Contains(stdout, fmt.Sprintf("has the journal of %s: %d entries and ", v.id, entriesOfVerified)) {
			t.Errorf("the export ends with %d, %q and %q", code, stdout, stderr)
		}
		v.tamper(t)
		code, stdout, stderr = overHTTP(v.key)
		if code != exitFailure || stderr != "escrowgrid: there is a difference\n" ||
			!strings.Contains(stdout, "DIFFERENCE "+v.id+": positions "+v.positions[0]+": there is state PARTIALLY_RELEASED, and should be FUNDED\n") {
			t.Errorf("over HTTP it ends with %d, %q and %q", code, stdout, stderr)
		}
		v.end(t, os.Interrupt)

		bundled := []string{"verify", "--bundle", path, "--public-key", v.publicKey}
		if code, stdout, stderr := call(t, nil, bundled...); code != exitOK || !strings.Contains(stdout, "Nothing differs.") {
			t.Errorf("the bundle ends with %d, %q and %q", code, stdout, stderr)
		}
		if output, err := exec.CommandContext(t.Context(), "python3", "../../docs/verify_bundle.py", path, v.publicKey).CombinedOutput(); err != nil {
			t.Errorf("the bundle is not verified independently: %s", output)
		}
		environment := []string{"DATABASE_URL=" + databaseURL}
		code, stdout, stderr = call(t, environment, "verify")
		if code != exitFailure || !strings.Contains(stdout, "positions "+v.positions[0]+": there is state PARTIALLY_RELEASED, and should be FUNDED\n") ||
			!strings.Contains(stdout, "come with the journals. Compare these") || !strings.Contains(stdout, v.publicKey) {
			t.Errorf("the database ends with %d, %q and %q", code, stdout, stderr)
		}
		again := filepath.Join(t.TempDir(), "again.bundle")
		if code, stdout, stderr := call(t, environment, "export", "--institution", v.id, "-o", again); code != exitOK {
			t.Errorf("the export of the database ends with %d, %q and %q", code, stdout, stderr)
		}
		if code, stdout, stderr := call(t, nil, "verify", "--bundle", again); code != exitOK {
			t.Errorf("its bundle ends with %d, %q and %q", code, stdout, stderr)
		}
	})
}

// A server that shows one position twice, so that another that it hides is not missed, is
// found out.
func TestAServerThatShowsAPositionTwiceIsFoundOut(t *testing.T) {
	v := serveVerified(t, "sqlite::memory:")
	served, err := url.Parse(v.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(served)
	proxy.ModifyResponse = func(r *http.Response) error {
		if r.Request.URL.Path != "/positions" {
			return nil
		}
		var list map[string]any
		if err := json.NewDecoder(r.Body).Decode(&list); err != nil {
			return err
		}
		positions := list["data"].([]any)
		positions[1] = positions[0]
		content, err := json.Marshal(list)
		r.Body = io.NopCloser(bytes.NewReader(content))
		r.ContentLength = int64(len(content))
		r.Header.Set("Content-Length", strconv.Itoa(len(content)))
		return err
	}
	dishonest := httptest.NewServer(proxy)
	defer dishonest.Close()
	code, stdout, _ := call(t, []string{"API_KEY=" + v.key}, "verify", "--url", dishonest.URL)
	if code != exitFailure || !strings.Contains(stdout, "positions "+v.positions[0]+": there is a row in the wrong place, or twice") {
		t.Errorf("it ends with %d: %s", code, stdout)
	}
}

// A server verifies by itself, and says what it found in its log and its metrics.
func TestAServerVerifiesItself(t *testing.T) {
	onEachStore(t, func(t *testing.T, databaseURL string) {
		v := serveVerified(t, databaseURL, "VERIFY_INTERVAL=100ms")
		metric := func(name string) float64 { return metricOf(t, v.Client, name) }
		v.eventually(t, "it verifies", func() bool { return metric(`escrowgrid_verification_runs_total{result="passed"}`) > 0 })
		if metric("escrowgrid_verification_passed_timestamp_seconds") == 0 || metric("escrowgrid_verification_differences") != 0 {
			t.Error("it does not say when it passed")
		}
		v.tamper(t)
		v.eventually(t, "it finds the difference", func() bool { return metric("escrowgrid_verification_differences") == 1 })
		if metric(`escrowgrid_verification_runs_total{result="different"}`) == 0 ||
			!strings.Contains(v.stderr.String(), "positions "+v.positions[0]+": there is state PARTIALLY_RELEASED, and should be FUNDED") {
			t.Error("it does not say what it found")
		}
		v.end(t, os.Interrupt)
	})
}

// metricOf reads a metric with its labels.
func metricOf(t *testing.T, client apitest.Client, name string) float64 {
	t.Helper()
	for line := range strings.Lines(string(client.Get(t, "/metrics").Want(t, 200).Body)) {
		if value, found := strings.CutPrefix(line, name+" "); found {
			number, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return number
		}
	}
	t.Fatalf("there is no metric %s", name)
	return 0
}

func TestVerificationsThatCannotBe(t *testing.T) {
	directory := t.TempDir()
	database := "sqlite:" + filepath.Join(directory, "escrowgrid.db")
	v := serveVerified(t, database)
	text := filepath.Join(directory, "text")
	if err := os.WriteFile(text, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		command string
		code    int
		says    string
	}{
		{"verify --database-url=" + database, exitFailure, "in use by another EscrowGrid process"},
		{"verify --database-url=sqlite:" + filepath.Join(directory, "none.db"), exitFailure, "there is no database"},
		{"verify --public-key=x", exitUsage, "is not a public key"},
		{"verify --checkpoint=" + text, exitFailure, "there is no database"},
		{"verify --bundle=" + text, exitFailure, "is no bundle"},
		{"verify --bundle=" + filepath.Join(directory, "none"), exitUsage, "none"},
		{"verify --bundle=" + text + " --url=http://127.0.0.1:1", exitUsage, "give one"},
		{"verify --workers=-1", exitUsage, "from 0 to 256"},
		{"verify --url=http://127.0.0.1:1", exitUsage, "takes a key in API_KEY"},
		{"verify --url=localhost --api-key=k", exitUsage, "takes the address of a server"},
		{"verify --api-key=wrong --url=" + v.URL, exitFailure, "401"},
		{"verify --checkpoint=" + text + " --api-key=" + testRootKey + " --url=" + v.URL, exitFailure, "checkpoint: "},
		{"export --institution=x --output=y", exitUsage, "--institution: must begin with"},
		{"export --institution=" + v.id, exitUsage, "--output"},
		{"export --institution=" + v.id + " --output=" + text + " --url=" + v.URL + " --api-key=" + testRootKey, exitFailure, "exists already"},
		{
			"export --institution=" + escrow.InstitutionID{15: 1}.String() + " --output=" + filepath.Join(directory, "b") + " --url=" + v.URL + " --api-key=" + testRootKey,
			exitFailure, "institution_not_found",
		},
	} {
		code, stdout, stderr := call(t, nil, strings.Fields(test.command)...)
		if code != test.code || stdout != "" || !strings.Contains(stderr, test.says) {
			t.Errorf("%s ends with %d, %q and %q, want %d and %q", test.command, code, stdout, stderr, test.code, test.says)
		}
	}
	// A database of an older schema is not changed.
	v.end(t, os.Interrupt)
	journaltest.Tamper(t, database, "DELETE FROM goose_db_version WHERE version_id > 2")
	code, _, stderr := call(t, nil, "verify", "--database-url="+database)
	if code != exitFailure || !strings.Contains(stderr, "run escrowgrid migrate") {
		t.Errorf("an older schema ends with %d: %s", code, stderr)
	}
}
