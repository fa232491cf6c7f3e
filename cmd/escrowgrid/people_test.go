package main

import (
	"encoding/hex"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// Keys as openssl rand -hex 32 makes them.
var (
	oneEncryptionKey     = strings.Repeat("1a", 32)
	anotherEncryptionKey = strings.Repeat("2b", 32)
)

func TestTheEncryptionKeyIsKeptBesideTheSQLiteFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "e.db")
	first := serve(t, []string{"DATABASE_URL=sqlite:" + path})
	kept, err := os.ReadFile(path + ".encryption-key")
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(string(kept))
	if bits, err := hex.DecodeString(key); err != nil || len(bits) != 32 {
		t.Errorf("the key is no 32 bytes in hexadecimal: %v", err)
	}
	if file, err := os.Stat(path + ".encryption-key"); err != nil || file.Mode().Perm() != 0o600 {
		t.Errorf("the file of the key is %v, %v", file.Mode(), err)
	}
	first.end(t, syscall.SIGTERM)
	told := first.stderr.String()
	if strings.Count(told, path+".encryption-key") != 1 || strings.Contains(told, key) {
		t.Errorf("the file is not told once, or the key is: %s", told)
	}

	second := serve(t, []string{"DATABASE_URL=sqlite:" + path})
	second.end(t, syscall.SIGTERM)
	if again, err := os.ReadFile(path + ".encryption-key"); err != nil || string(again) != string(kept) || strings.Contains(second.stderr.String(), ".encryption-key") {
		t.Errorf("at the second start the key is another, or told of: %v, %s", err, second.stderr.String())
	}
}

// A backup does not have the key: a new one would only hide that.
func TestNoEncryptionKeyIsMadeForSecretsOfAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "e.db")
	first := serve(t, []string{"DATABASE_URL=sqlite:" + path})
	b := openBank(t, first.Client)
	first.Put(t, "/institutions/"+b.id+"/identity-provider",
		`{"issuer": "https://login.example.com", "clientId": "escrowgrid", "clientSecret": "hidden", "roleByGroup": {}}`).Want(t, 200)
	first.end(t, syscall.SIGTERM)
	if err := os.Rename(path+".encryption-key", path+".kept"); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := call(t, []string{"PORT=0", "DATABASE_URL=sqlite:" + path}, "serve")
	if _, err := os.Stat(path + ".encryption-key"); code != exitFailure || !strings.Contains(stderr, path+".encryption-key") || !os.IsNotExist(err) {
		t.Errorf("the server ends with %d: %s, the file: %v", code, stderr, err)
	}
	if err := os.Rename(path+".kept", path+".encryption-key"); err != nil {
		t.Fatal(err)
	}
	serve(t, []string{"DATABASE_URL=sqlite:" + path})
}

// A server without the key of a secret must not start; with a new key before the old one it does, and
// after rotate-secrets with the new one alone.
func TestTheEncryptionKeyIsReplaced(t *testing.T) {
	onEachStore(t, func(t *testing.T, databaseURL string) {
		env := func(keys string) []string {
			return []string{"DATABASE_URL=" + databaseURL, "ENCRYPTION_KEY=" + keys}
		}
		one := serve(t, env(oneEncryptionKey), "--migrate")
		b := openBank(t, one.Client)
		at := "/institutions/" + b.id + "/identity-provider"
		one.Put(t, at, `{"issuer": "https://login.example.com", "clientId": "escrowgrid", "clientSecret": "hidden", "roleByGroup": {}}`).Want(t, 200)
		one.end(t, syscall.SIGTERM)

		code, _, stderr := call(t, append(env(anotherEncryptionKey), "ROOT_API_KEY="+testRootKey, "PORT=0"), "serve")
		if code != exitFailure || !strings.Contains(stderr, "ENCRYPTION_KEY") {
			t.Errorf("without the key of a secret, the server ends with %d: %s", code, stderr)
		}
		both := anotherEncryptionKey + "," + oneEncryptionKey
		two := serve(t, env(both))
		two.end(t, syscall.SIGTERM)
		code, stdout, stderr := call(t, env(both), "rotate-secrets")
		if code != exitOK || stdout != "1 secrets were encrypted anew.\n" {
			t.Errorf("rotate-secrets ends with %d: %s%s", code, stdout, stderr)
		}
		if code, stdout, _ := call(t, env(both), "rotate-secrets"); code != exitOK || stdout != "0 secrets were encrypted anew.\n" {
			t.Errorf("again, rotate-secrets ends with %d: %s", code, stdout)
		}
		three := serve(t, env(anotherEncryptionKey))
		if three.Get(t, at).Want(t, http.StatusOK).Text("hasSecret") != "true" {
			t.Error("the secret is gone")
		}
	})
}

// Without the key of a secret a server serves where that is allowed, and the secret is set again.
func TestSecretsWhoseKeyIsLostAreSetAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "e.db")
	first := serve(t, []string{"DATABASE_URL=sqlite:" + path})
	b := openBank(t, first.Client)
	at := "/institutions/" + b.id + "/identity-provider"
	provider := `{"issuer": "https://login.example.com", "clientId": "escrowgrid", "clientSecret": "hidden", "roleByGroup": {}}`
	first.Put(t, at, provider).Want(t, 200)
	first.end(t, syscall.SIGTERM)
	if err := os.Remove(path + ".encryption-key"); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := call(t, []string{"PORT=0", "DATABASE_URL=sqlite:" + path}, "serve"); code != exitFailure || !strings.Contains(stderr, "ALLOW_LOST_SECRETS") {
		t.Errorf("the server ends with %d, and does not say how it serves: %s", code, stderr)
	}

	second := serve(t, []string{"DATABASE_URL=sqlite:" + path, "ALLOW_LOST_SECRETS=true"})
	if second.Get(t, at).Want(t, 200).Text("hasSecret") != "true" {
		t.Error("the provider is said to have no secret")
	}
	second.Put(t, at, provider).Want(t, 200)
	second.end(t, syscall.SIGTERM)
	if told := second.stderr.String(); !strings.Contains(told, "have to be set again") {
		t.Errorf("the log does not tell of the lost secret: %s", told)
	}
	serve(t, []string{"DATABASE_URL=sqlite:" + path})
}

func TestWhatThePeopleOfTheOperatorTake(t *testing.T) {
	t.Parallel()
	issuer := "OPERATOR_OIDC_ISSUER=https://login.example.com"
	client := "OPERATOR_OIDC_CLIENT_ID=escrowgrid"
	for _, test := range []struct {
		want string
		env  []string
	}{
		{"ROOT_API_KEY_DISABLED: takes OPERATOR_OIDC_ISSUER", []string{"ROOT_API_KEY_DISABLED=true"}},
		{"OPERATOR_OIDC_CLIENT_ID: takes OPERATOR_OIDC_ISSUER", []string{client}},
		{"OPERATOR_OIDC_CLIENT_SECRET: takes OPERATOR_OIDC_ISSUER", []string{"OPERATOR_OIDC_CLIENT_SECRET=" + oneEncryptionKey}},
		{"OPERATOR_OIDC_CLIENT_ID: is required", []string{issuer, `OPERATOR_OIDC_ROLE_BY_GROUP={"a": "root"}`}},
		{"OPERATOR_OIDC_ROLE_BY_GROUP:", []string{issuer, client}},
		{"OPERATOR_OIDC_ROLE_BY_GROUP:", []string{issuer, client, "OPERATOR_OIDC_ROLE_BY_GROUP={}"}},
		{"OPERATOR_OIDC_ROLE_BY_GROUP:", []string{issuer, client, `OPERATOR_OIDC_ROLE_BY_GROUP={"a": "admin"}`}},
		{"OPERATOR_OIDC_ROLE_BY_GROUP:", []string{issuer, client, `OPERATOR_OIDC_ROLE_BY_GROUP={"a": "root", "a": "root_read_only"}`}},
		{"ENCRYPTION_KEY:", []string{"ENCRYPTION_KEY=" + oneEncryptionKey, "METRICS_API_KEY=" + oneEncryptionKey}},
		{"KEY_DERIVATION_SECRET: is required", []string{
			issuer, client, `OPERATOR_OIDC_ROLE_BY_GROUP={"a": "root"}`, "ROOT_API_KEY_DISABLED=true", "DATABASE_URL=postgres://h/n",
		}},
	} {
		code, _, stderr := call(t, append([]string{nowhere}, test.env...), "serve")
		if code != exitUsage || !strings.Contains(stderr, "escrowgrid: "+test.want) || strings.Contains(stderr, oneEncryptionKey) {
			t.Errorf("%v ends with %d: %s", test.env, code, stderr)
		}
	}
}

func TestAServerWhoseRootKeyIsTurnedOff(t *testing.T) {
	p := serve(t, []string{
		"DATABASE_URL=sqlite::memory:", "OPERATOR_OIDC_ISSUER=https://login.example.com", "OPERATOR_OIDC_CLIENT_ID=escrowgrid",
		`OPERATOR_OIDC_ROLE_BY_GROUP={"platform": "root"}`, "ROOT_API_KEY_DISABLED=true",
	})
	p.Get(t, "/institutions").Refused(t, 401, "invalid_api_key")
	p.As("").Get(t, "/health").Want(t, 200)
}
