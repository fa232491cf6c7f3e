package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/loadtest/k6test"
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
	v.awaitSigned(t, v.bank, entriesOfVerified)
	v.publicKey = v.Get(t, "/keys").Want(t, 200).Texts(t, "verifierKey")[0]
	return v
}

func institutionID(t *testing.T, text string) (id escrow.InstitutionID) {
	t.Helper()
	if err := id.UnmarshalText([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return id
}

// rewriteSQL changes the request that an institution's first entry names.
func rewriteSQL(databaseURL string) string {
	body := `convert_to(replace(convert_from(body, 'UTF8'), '"requestId":"', '"requestId":"x'), 'UTF8')`
	if strings.HasPrefix(databaseURL, "sqlite:") {
		body = `CAST(replace(CAST(body AS text), '"requestId":"', '"requestId":"x') AS blob)`
	}
	return "UPDATE journal_entries SET body = " + body + " WHERE institution_id = $1 AND sequence = 1"
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
			if code != exitOK || stderr != "" || !strings.HasPrefix(stdout, "PASSED: nothing differs.\nVerified in ") ||
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
		if code != exitFailure || stderr != "escrowgrid: there is a difference\n" || !strings.HasPrefix(stdout, "FAILED: there is a difference.") ||
			!strings.Contains(stdout, "DIFFERENCE "+v.id+": positions "+v.positions[0]+": there is state PARTIALLY_RELEASED, and should be FUNDED\n") {
			t.Errorf("over HTTP it ends with %d, %q and %q", code, stdout, stderr)
		}
		v.end(t, os.Interrupt)

		bundled := []string{"verify", "--bundle", path, "--public-key", v.publicKey}
		if code, stdout, stderr := call(t, nil, bundled...); code != exitOK || !strings.HasPrefix(stdout, "PASSED: ") {
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

// independently verifies a bundle with the program that shares no code with this one.
func independently(t *testing.T, args ...string) (code int, output string) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "python3", append([]string{"../../docs/verify_bundle.py"}, args...)...)
	text, err := command.CombinedOutput()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return command.ProcessState.ExitCode(), string(text)
}

// Entries that are newer than the last checkpoint are not verified: their own exit code tells
// a script, and a number lets it pass so many.
func TestAnUnsignedTailHasItsOwnExitCode(t *testing.T) {
	onEachStore(t, func(t *testing.T, databaseURL string) {
		v := serveVerified(t, databaseURL)
		v.end(t, os.Interrupt)
		later := serve(t, []string{"DATABASE_URL=" + databaseURL, "CHECKPOINT_INTERVAL=24h"})
		later.As(v.key).Post(t, "/positions", v.claim("later")).Want(t, 201)
		overHTTP := []string{"verify", "--url", later.URL}
		inDatabase := []string{"verify"}
		path := filepath.Join(t.TempDir(), "meridian.bundle")
		if code, _, stderr := call(t, []string{"API_KEY=" + v.key}, "export", "--institution", v.id, "--output", path, "--url", later.URL); code != exitOK {
			t.Fatal(stderr)
		}
		check := func(source []string, withoutKey int) {
			t.Helper()
			trusted := append(slices.Clone(source), "--public-key", v.publicKey)
			for _, test := range []struct {
				args []string
				code int
			}{
				{trusted, exitUnsigned},
				{append(slices.Clone(trusted), "--allow-unsigned", "1"), exitOK},
				{source, withoutKey},
				{append(slices.Clone(source), "--allow-unsigned", "1"), exitOK},
			} {
				code, stdout, stderr := call(t, []string{"API_KEY=" + v.key, "DATABASE_URL=" + databaseURL}, test.args...)
				want := fmt.Sprintf("UNSIGNED %s: entries %d to %[2]d: they are newer than the last checkpoint\n", v.id, entriesOfVerified+1)
				if code != test.code || strings.Contains(stdout, want) != (code == exitUnsigned) {
					t.Errorf("%q ends with %d, want %d: %s%s", test.args, code, test.code, stdout, stderr)
				}
			}
		}
		check(overHTTP, exitOK)
		later.end(t, os.Interrupt)
		check(inDatabase, exitOK)
		check([]string{"verify", "--bundle", path}, exitUnsigned)
		if code, output := independently(t, path, v.publicKey); code != exitUnsigned || !strings.Contains(output, "UNSIGNED entries") {
			t.Errorf("independently, it ends with %d: %s", code, output)
		}
		if code, output := independently(t, "--allow-unsigned", "1", path, v.publicKey); code != exitOK {
			t.Errorf("independently, with one allowed, it ends with %d: %s", code, output)
		}
		if code, output := independently(t, path); code != exitUsage {
			t.Errorf("independently, without a key, it ends with %d: %s", code, output)
		}
	})
}

// Nobody can tell a database without signatures from one that somebody made up.
func TestForgeriesWithoutSignaturesAreRefused(t *testing.T) {
	onEachStore(t, func(t *testing.T, databaseURL string) {
		v := serveVerified(t, databaseURL)
		v.end(t, os.Interrupt)
		for _, table := range []string{"journal_checkpoints", "journal_tiles"} {
			journaltest.Tamper(t, databaseURL, "DELETE FROM "+table)
		}
		environment := []string{"DATABASE_URL=" + databaseURL}
		directory := t.TempDir()
		commands := [][]string{{"verify"}, {"verify", "--public-key", v.publicKey, "--allow-unsigned=1000"}}
		if path, isFile := strings.CutPrefix(databaseURL, "sqlite:"); isFile {
			commands = append(commands, []string{"backup", "-o", filepath.Join(directory, "copy.db")},
				[]string{"restore", path, "--database-url=sqlite:" + filepath.Join(directory, "restored.db")})
		}
		bundle := filepath.Join(directory, "meridian.bundle")
		if code, _, stderr := call(t, environment, "export", "--institution", v.id, "--output", bundle); code != exitOK {
			t.Fatal(stderr)
		}
		commands = append(commands, []string{"verify", "--bundle", bundle}, []string{"verify", "--bundle", bundle, "--public-key", v.publicKey})
		for _, command := range commands {
			code, stdout, stderr := call(t, environment, command...)
			if code != exitFailure || !strings.Contains(stderr, "no trusted key has signed any of it") {
				t.Errorf("%q ends with %d: %s%s", command, code, stdout, stderr)
			}
		}
		if code, output := independently(t, bundle, v.publicKey); code != exitFailure {
			t.Errorf("independently, it ends with %d: %s", code, output)
		}
	})
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"data":[{"id":%q,"sequence":9223372036854775807}]}`, escrow.InstitutionID{15: 1})
	}))
	defer endless.Close()
	if code, stdout, stderr := call(t, []string{"API_KEY=k"}, "verify", "--url", endless.URL, "--public-key", "escrowgrid.test+044697d8+Af04IWGmUW15I8HiJ/eRMFu6utTaz8jdr0pchM3mcKdZ"); code != exitFailure || !strings.Contains(stderr, "the last entry of inst_00000000000000000000000001 is 9223372036854775807") || !strings.HasPrefix(stdout, "FAILED: ") {
		t.Errorf("a server of an endless journal ends with %d: %s%s", code, stdout, stderr)
	}
	empty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"data":[]}`) }))
	defer empty.Close()
	if code, stdout, stderr := call(t, []string{"API_KEY=k"}, "verify", "--url", empty.URL); code != exitFailure || !strings.Contains(stderr, "nothing to verify") {
		t.Errorf("a server that shows nothing ends with %d: %s%s", code, stdout, stderr)
	}
}

// A key is sent to the server that was named, and to no other; and not where anybody on the way
// can read it.
func TestKeysAreSentNowhereElse(t *testing.T) {
	asked := make(chan string, 100)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path + r.Header.Get("X-Api-Key")
		fmt.Fprint(w, `{}`)
	}))
	defer elsewhere.Close()
	pointing := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusFound))
	defer pointing.Close()
	address, err := url.Parse(pointing.URL)
	if err != nil {
		t.Fatal(err)
	}
	export := []string{"export", "--institution", escrow.InstitutionID{15: 1}.String(), "-o", filepath.Join(t.TempDir(), "b")}
	for _, command := range [][]string{
		{"verify", "--url", pointing.URL},
		append(slices.Clone(export), "--url", pointing.URL),
		{"loadtest", "--target", pointing.URL, "--k6", k6test.Path(t), "--report", t.TempDir()},
		{"healthcheck", "--port", address.Port()},
	} {
		code, stdout, stderr := call(t, []string{"API_KEY=k", "ROOT_API_KEY=k"}, command...)
		if code != exitFailure || !strings.Contains(stderr, "the server points to \""+elsewhere.URL) {
			t.Errorf("%q ends with %d: %q %q", command, code, stdout, stderr)
		}
	}
	if len(asked) != 0 {
		t.Errorf("the other server was asked: %q", <-asked)
	}

	for _, command := range [][]string{
		{"verify", "--url", "http://escrow.invalid"},
		append(slices.Clone(export), "--url", "http://escrow.invalid"),
		{"loadtest", "--target", "http://escrow.invalid", "--i-own-this-target"},
	} {
		if code, stdout, stderr := call(t, []string{"API_KEY=k", "ROOT_API_KEY=k"}, command...); code != exitUsage || !strings.Contains(stderr, "--insecure-http") {
			t.Errorf("%q ends with %d: %q %q", command, code, stdout, stderr)
		}
	}
	code, _, stderr := call(t, []string{"API_KEY=k"}, append(slices.Clone(export), "--url", "http://escrow.invalid", "--insecure-http")...)
	if code != exitFailure || strings.Contains(stderr, "TLS") {
		t.Errorf("where it is allowed it ends with %d: %q", code, stderr)
	}
}

// What a server says cannot act on the terminal of whoever asks it.
func TestAServerCannotActOnTheTerminal(t *testing.T) {
	dishonest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprint(w, `{"code":"c","detail":"\u001b[2K\nNothing differs."}`)
	}))
	defer dishonest.Close()
	for _, command := range [][]string{
		{"verify", "--url", dishonest.URL},
		{"export", "--url", dishonest.URL, "--institution", escrow.InstitutionID{15: 1}.String(), "-o", filepath.Join(t.TempDir(), "b")},
		{"loadtest", "--target", dishonest.URL, "--k6", k6test.Path(t), "--report", t.TempDir()},
	} {
		code, stdout, stderr := call(t, []string{"API_KEY=k", "ROOT_API_KEY=k"}, command...)
		if code != exitFailure || strings.Contains(stdout+stderr, "\x1b") || !strings.Contains(stderr, `\x1b[2K\nNothing differs.`) {
			t.Errorf("%q ends with %d: %q %q", command, code, stdout, stderr)
		}
	}
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

		// History that is written anew, and signed again, contradicts what it saw before.
		journaltest.Tamper(t, databaseURL, rewriteSQL(databaseURL), institutionID(t, v.id))
		for _, table := range []string{"journal_checkpoints", "journal_tiles"} {
			journaltest.Tamper(t, databaseURL, "DELETE FROM "+table)
		}
		admin := v.As(v.key)
		admin.Post(t, "/positions", v.claim("later")).Want(t, 201)
		v.eventually(t, "it finds the new history", func() bool {
			return strings.Contains(v.stderr.String(), "that an earlier verification has found says")
		})
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
		{"verify --database-url=" + database, exitFailure, "; stop it, or ask it over HTTP with --url"},
		{"verify --database-url=sqlite:" + filepath.Join(directory, "none.db"), exitFailure, "there is no database"},
		{"verify --public-key=x", exitUsage, "is not a public key"},
		{"verify --checkpoint=" + text, exitFailure, "there is no database"},
		{"verify --bundle=" + text, exitFailure, "is no bundle"},
		{"verify --bundle=" + filepath.Join(directory, "none"), exitUsage, "none"},
		{"verify --bundle=" + text + " --url=http://127.0.0.1:1", exitUsage, "give one"},
		{"verify --workers=-1", exitUsage, "from 0 to 256"},
		{"verify --url=http://127.0.0.1:1", exitUsage, "takes a key in API_KEY"},
		{"API_KEY=k verify --url=localhost", exitUsage, "takes the address of a server"},
		{"API_KEY=wrong verify --url=" + v.URL, exitFailure, "401"},
		{"API_KEY=" + testRootKey + " verify --checkpoint=" + text + " --url=" + v.URL, exitFailure, "checkpoint: "},
		{"export --institution=x --output=y", exitUsage, "--institution: must begin with"},
		{"export --institution=" + v.id, exitUsage, "--output"},
		{"API_KEY=" + testRootKey + " export --institution=" + v.id + " --output=" + text + " --url=" + v.URL, exitFailure, "exists already"},
		{
			"API_KEY=" + testRootKey + " export --institution=" + escrow.InstitutionID{15: 1}.String() + " --output=" + filepath.Join(directory, "b") + " --url=" + v.URL,
			exitFailure, "institution_not_found",
		},
	} {
		// A variable may stand before the command, as in a shell.
		args, env := strings.Fields(test.command), []string(nil)
		if strings.HasPrefix(args[0], "API_KEY=") {
			args, env = args[1:], args[:1]
		}
		code, stdout, stderr := call(t, env, args...)
		// The verdict comes first, also where nothing could be read.
		verdict := args[0] == "verify" && code == exitFailure
		if code != test.code || strings.HasPrefix(stdout, "FAILED: ") != verdict || !strings.Contains(stderr, test.says) {
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
