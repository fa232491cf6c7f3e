package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/escrowgrid/escrowgrid/internal/httpapi/apitest"
	"github.com/escrowgrid/escrowgrid/internal/store/journaltest"
)

// person is somebody whose name stands wherever a client can write one.
type person struct{ name string }

// at makes a text about the person that tells where it was written.
func (p person) at(place string) string { return place + " of " + p.name }

// leavesTraces takes positions of a person to their ends, and has all servers read and refuse
// them. It returns the positions.
func (p person) leavesTraces(t *testing.T, b bank, servers []*process) (positions []string) {
	t.Helper()
	for i := range 3 * len(servers) {
		one, next := servers[i%len(servers)].As(b.key), servers[(i+1)%len(servers)].As(b.key)
		claim := fmt.Sprintf(`{"assetId": %q, "holderReference": %q, "externalReference": %q, "currency": "USD", "amount": "1000.00",
			"metadata": {"contact": {"name": %q}}}`, b.asset, p.name, p.at("contract"), p.at("contact"))
		position := one.Post(t, "/positions", claim, "Idempotency-Key: "+rand.Text()).Want(t, 201).Text("id")
		positions = append(positions, position)
		for _, state := range []string{"FUNDED", "RELEASED"} {
			next.Post(t, "/positions/"+position+"/transition", fmt.Sprintf(`{"toState": %q, "reason": %q, "metadata": {"by": %q}}`,
				state, p.at("reason"), p.at("signature"))).Want(t, 200)
		}

		one.Post(t, "/positions", strings.Replace(claim, "1000.00", "1e"+p.name, 1)).Refused(t, 422, "invalid_input", "amount")
		one.Post(t, "/positions", strings.Replace(claim, "USD", "EUR", 1)).Want(t, 422)
		one.Post(t, "/positions", strings.Replace(claim, b.asset, p.name, 1)).Want(t, 422)
		one.Post(t, "/positions/"+p.name+"/transition", `{"toState": "FUNDED"}`).Want(t, 404)
		one.As("egk_"+p.name).Get(t, "/positions?holderReference="+p.name).Refused(t, 401, "invalid_api_key")
	}
	return positions
}

// answers is what all servers show of a bank, in all forms, by server and path.
func answers(t *testing.T, b bank, servers []*process, of person, positions []string) map[string][]byte {
	t.Helper()
	shown := make(map[string][]byte)
	add := func(server int, client apitest.Client, path string, headers ...string) {
		answer := client.Get(t, path, headers...).Want(t, 200)
		shown[fmt.Sprintf("%s of server %d, %s", path, server, headers)] = answer.Body
	}
	for i, server := range servers {
		admin := server.As(b.key)
		for _, path := range []string{
			"/positions?include=events&limit=100", "/positions?holderReference=" + of.name, "/ledger-events?limit=1000",
			"/audit-events?limit=1000", "/institutions/" + b.id + "/journal?include=private&limit=1000",
			"/assets", "/erasures", "/positions/" + positions[0],
		} {
			add(i, admin, path)
		}
		for _, path := range []string{"/positions?limit=1000", "/ledger-events?limit=1000"} {
			add(i, admin, path, "Accept: text/csv")
		}
		for _, format := range []string{"application/json", "text/csv", "text/html"} {
			add(i, admin, "/positions/"+positions[0]+"/statement", "Accept: "+format)
			add(i, admin, "/institutions/"+b.id+"/statements", "Accept: "+format)
		}
		add(i, admin, "/institutions/"+b.id+"/statements", "Accept: application/xml")
		add(i, server.Client, "/metrics", "Accept: text/plain")
		shown[fmt.Sprintf("the log of server %d", i)] = []byte(server.stderr.String() + server.stdout.String())
	}
	return shown
}

// files is what is kept of a server's database: its files, a backup and a bundle, by their names.
func files(t *testing.T, databaseURL string, server *process, b bank) map[string][]byte {
	t.Helper()
	content, directory := make(map[string][]byte), t.TempDir()
	add := func(name, path string) { content[name] = journaltest.Must(os.ReadFile(path)) }
	bundle, env := filepath.Join(directory, "bundle"), []string{"DATABASE_URL=" + databaseURL, "API_KEY=" + b.key}
	if code, _, stderr := call(t, env, "export", "--url", server.URL, "--institution", b.id, "--output", bundle); code != exitOK {
		t.Fatalf("the export ends with %d: %s", code, stderr)
	}
	add("the bundle", bundle)

	backup := filepath.Join(directory, "backup")
	if path, isFile := strings.CutPrefix(databaseURL, "sqlite:"); isFile {
		if code, _, stderr := call(t, env, "backup", "--output", backup); code != exitOK {
			t.Fatalf("the backup ends with %d: %s", code, stderr)
		}
		for _, file := range journaltest.Must(filepath.Glob(path + "*")) {
			add(filepath.Base(file), file)
		}
	} else {
		dump := exec.CommandContext(t.Context(), "env", "PATH="+programs(t)+":"+os.Getenv("PATH"), "pg_dump", "--file", backup, databaseURL)
		if text, err := dump.CombinedOutput(); err != nil {
			t.Fatalf("pg_dump: %v: %s", err, text)
		}
		for name, file := range databaseFiles(t, databaseURL) {
			add("the file "+name, file)
		}
	}
	add("the backup", backup)
	return content
}

// databaseFiles lists all files of a PostgreSQL database by their names, with the relations that they
// are of, after the tables were written anew as docs/operations.md says.
func databaseFiles(t *testing.T, databaseURL string) map[string]string {
	t.Helper()
	connection := journaltest.Must(pgx.Connect(t.Context(), databaseURL))
	defer func() { _ = connection.Close(context.Background()) }()
	for _, statement := range []string{"VACUUM (FULL, ANALYZE) positions, journal_entries", "VACUUM FULL pg_statistic", "CHECKPOINT"} {
		if _, err := connection.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}

	const query = `SELECT concat_ws(' of ', file, pg_filenode_relation(0, substring(file FROM '^[0-9]+')::oid)),
			concat_ws('/', current_setting('data_directory'), 'base', oid, file)
		FROM pg_database, pg_ls_dir('base/' || oid) AS file WHERE datname = current_database()`
	rows := journaltest.Must(connection.Query(t.Context(), query))
	paths := make(map[string]string)
	var name, path string
	journaltest.Must(pgx.ForEachRow(rows, []any{&name, &path}, func() error {
		paths[name] = path
		return nil
	}))
	return paths
}

// having lists the names of those contents that have a name.
func having(name string, contents ...map[string][]byte) (where []string) {
	for _, content := range contents {
		for place, text := range content {
			if bytes.Contains(text, []byte(name)) {
				where = append(where, place)
			}
		}
	}
	slices.Sort(where)
	return where
}

// After an erasure no byte of the name is left, on any server or in any file, and all else is as
// it was.
func TestNoByteOfWhatWasErasedIsLeft(t *testing.T) {
	onEachStore(t, func(t *testing.T, databaseURL string) {
		env := []string{"DATABASE_URL=" + databaseURL, "CHECKPOINT_INTERVAL=100ms", "LOG_LEVEL=debug"}
		servers := []*process{serve(t, env, "--migrate")}
		if !strings.HasPrefix(databaseURL, "sqlite:") {
			servers = append(servers, serve(t, env), serve(t, env))
		}
		b := openBank(t, servers[0].Client)
		gone, kept := person{"gone" + rand.Text()}, person{"kept" + rand.Text()}
		positions := gone.leavesTraces(t, b, servers)
		kept.leavesTraces(t, b, servers)
		shown, stored := answers(t, b, servers, gone, positions), files(t, databaseURL, servers[0], b)
		for _, where := range []string{"the bundle", "the backup"} {
			if !slices.Contains(having(gone.name, stored), where) {
				t.Errorf("before the erasure, %s does not have the name: this test looks at nothing", where)
			}
		}
		if before := having(gone.name, shown); len(before) < 13*len(servers) {
			t.Errorf("before the erasure, only these have the name: %q", before)
		}

		erasure := servers[0].As(b.key).Post(t, "/erasures", fmt.Sprintf(`{"holderReference": %q}`, gone.name)).Want(t, 200)
		if erased := erasure.Text("erased"); erased != fmt.Sprint(len(positions)) {
			t.Errorf("%s positions are erased of %d: %s", erased, len(positions), erasure)
		}
		if left := having(gone.name, answers(t, b, servers, gone, positions)); len(left) > 0 {
			t.Errorf("after the erasure, the name is in %q", left)
		}
		if left := having(gone.name, files(t, databaseURL, servers[0], b)); len(left) > 0 {
			t.Errorf("after the erasure, the name is in %q", left)
		}
		if now := having(kept.name, answers(t, b, servers, kept, positions)); len(now) < 10*len(servers) {
			t.Errorf("after the erasure of another, only these have the name: %q", now)
		}

		servers[0].awaitSigned(t, b, len(servers[0].As(b.key).Walk(t, "/audit-events?limit=1000", "sequence")))
		verification := []string{"verify", "--url", servers[0].URL, "--public-key", servers[0].Get(t, "/keys").Want(t, 200).Texts(t, "verifierKey")[0]}
		if code, stdout, stderr := call(t, []string{"API_KEY=" + b.key}, verification...); code != exitOK || !strings.HasPrefix(stdout, "PASSED") ||
			!strings.Contains(stdout, fmt.Sprintf("\nThe private values of %d entries were erased.\n", 3*len(positions))) {
			t.Errorf("verification ends with %d: %s%s", code, stdout, stderr)
		}
	})
}

// makeCancelled makes so many positions of a person, and cancels them, as the person asked.
func (p person) makeCancelled(t *testing.T, admin apitest.Client, b bank, count int) {
	t.Helper()
	claim := fmt.Sprintf(`{"assetId": %q, "holderReference": %q, "externalReference": %q, "currency": "USD", "amount": "1000.00",
		"metadata": {"contact": %q}}`, b.asset, p.name, p.at("contract"), p.at("contact"))
	claims := strings.Repeat(claim+",", count-1) + claim
	steps := make([]string, count)
	for i, made := range admin.Post(t, "/positions/batch", `{"items": [`+claims+`]}`).Want(t, 200).Results(t, count) {
		id := apitest.Answer{Body: made.Position}.Text("id")
		steps[i] = fmt.Sprintf(`{"positionId": %q, "toState": "CANCELLED", "reason": %q}`, id, p.at("reason"))
	}
	admin.Post(t, "/positions/transitions/batch", `{"items": [`+strings.Join(steps, ",")+`]}`).Want(t, 200)
}

// countErased checks that each position has all that is private of it, or nothing, and returns
// how many have nothing.
func (p person) countErased(t *testing.T, admin apitest.Client) (erased, all int) {
	t.Helper()
	values := make([][]string, 0, 4)
	for _, member := range []string{"holderReference", "externalReference", "metadata", "events"} {
		values = append(values, admin.Walk(t, "/positions?include=events&limit=100", member))
	}
	for i, shown := range admin.Walk(t, "/positions?include=events&limit=100", "erased") {
		named := 0
		for _, texts := range values {
			if strings.Contains(texts[i], p.name) {
				named++
			}
		}
		switch {
		case named == 0 && shown == "true":
			erased++
		case named < len(values) || shown != "":
			t.Fatalf("a position is neither whole nor erased: %q %q %q %q", values[0][i], values[1][i], values[2][i], values[3][i])
		}
		all++
	}
	return erased, all
}

// A server that is killed in the middle of an erasure leaves each position whole or erased, and
// the next one goes on.
func TestKill9LeavesPositionsWholeOrErased(t *testing.T) {
	onEachStore(t, func(t *testing.T, databaseURL string) {
		const count = 300
		env := []string{"DATABASE_URL=" + databaseURL, "CHECKPOINT_INTERVAL=100ms"}
		p := serve(t, env, "--migrate")
		b, holder := openBank(t, p.Client), person{"gone" + rand.Text()}
		erase := apitest.Request{Method: http.MethodPost, Path: "/erasures", Body: fmt.Sprintf(`{"holderReference": %q}`, holder.name)}
		erasures := func() int { return len(p.As(b.key).Walk(t, "/erasures", "id")) }

		for isHalf := false; !isHalf; {
			holder.makeCancelled(t, p.As(b.key), b, count)
			before, _ := holder.countErased(t, p.As(b.key))
			known, admin := erasures(), p.As(b.key)
			var asked sync.WaitGroup
			asked.Go(func() { _, _ = admin.Try(context.Background(), erase) }) // Its server is killed.
			p.eventually(t, "some are erased", func() bool {
				return erasures() > known ||
					len(p.As(b.key).Get(t, "/positions?limit=1000&holderReference="+holder.name).Want(t, 200).Texts(t, "id")) < count
			})
			p.end(t, syscall.SIGKILL)
			asked.Wait()
			p = serve(t, env)
			erased, all := holder.countErased(t, p.As(b.key))
			isHalf = before < erased && erased < all

			done := p.As(b.key).Send(t, erase).Want(t, 200)
			if erased, all := holder.countErased(t, p.As(b.key)); erased != all || done.Text("complete") != "true" {
				t.Fatalf("%d of %d positions are erased after %s", erased, all, done)
			}
		}

		p.awaitSigned(t, b, len(p.As(b.key).Walk(t, "/audit-events?limit=1000", "sequence")))
		if code := p.end(t, syscall.SIGTERM); code != exitOK {
			t.Errorf("the server ends with %d", code)
		}
		if code, stdout, stderr := call(t, env, "verify"); code != exitOK || !strings.HasPrefix(stdout, "PASSED") {
			t.Errorf("verification ends with %d: %s%s", code, stdout, stderr)
		}
		if path, isFile := strings.CutPrefix(databaseURL, "sqlite:"); isFile && bytes.Contains(journaltest.Must(os.ReadFile(path)), []byte(holder.name)) {
			t.Error("the file has the name")
		}
	})
}

// A bundle is exported without what is private, from a server and from its database, and says so.
func TestARedactedBundleHasNoPrivateValues(t *testing.T) {
	onEachStore(t, func(t *testing.T, databaseURL string) {
		v := serveVerified(t, databaseURL)
		holder := person{"held" + rand.Text()}
		holder.leavesTraces(t, v.bank, []*process{v.process})
		v.awaitSigned(t, v.bank, len(v.As(v.key).Walk(t, "/audit-events?limit=1000", "sequence")))
		directory := t.TempDir()
		export := func(name string, args ...string) (path string) {
			path = filepath.Join(directory, name)
			env := []string{"DATABASE_URL=" + databaseURL, "API_KEY=" + v.key}
			if code, _, stderr := call(t, env, slices.Concat([]string{"export", "--institution", v.id, "-o", path}, args)...); code != exitOK {
				t.Fatalf("the export ends with %d: %s", code, stderr)
			}
			return path
		}
		whole := export("whole", "--url", v.URL)
		partly := export("partly", "--url", v.URL, "--redact-members", "holderReference,externalReference,metadata")
		redacted := export("redacted", "--url", v.URL, "--redact")
		if code, _, stderr := call(t, nil, "export", "--institution", v.id, "-o", filepath.Join(directory, "none"), "--redact-members", "amount"); code != exitUsage ||
			!strings.Contains(stderr, "amount") {
			t.Errorf("leaving out amounts ends with %d: %s", code, stderr)
		}
		v.end(t, syscall.SIGTERM)
		offline := export("offline", "--redact")

		for path, want := range map[string]string{whole: "contact", partly: "reason", redacted: "", offline: ""} {
			content := journaltest.Must(os.ReadFile(path))
			for _, place := range []string{"contract", "contact", "signature", "reason"} {
				shown := bytes.Contains(content, []byte(holder.at(place)))
				if expected := want == "contact" || want == place; shown != expected {
					t.Errorf("%s has a %s: %t", filepath.Base(path), place, shown)
				}
			}
			code, stdout, stderr := call(t, nil, "verify", "--bundle", path, "--public-key", v.publicKey)
			says := strings.Contains(stdout, " entries were left out of the bundle.\n")
			if code != exitOK || says != (path != whole) {
				t.Errorf("%s: verification ends with %d: %s%s", filepath.Base(path), code, stdout, stderr)
			}
		}
	})
}
