package main

import (
	"os"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// A server signs checkpoints with the key that signing-key has made for it.
func TestAServerSignsWithTheKeyThatItIsGiven(t *testing.T) {
	code, stdout, stderr := call(t, nil, "signing-key", "escrow.example.com")
	verifierKey, _, found := strings.Cut(strings.TrimPrefix(stderr, "The public key is "), ". ")
	if code != exitOK || !found || strings.Contains(stderr, "PRIVATE") {
		t.Fatalf("it ends with %d and says %q", code, stderr)
	}
	verifiers, err := translog.NewVerifiers(verifierKey)
	if err != nil {
		t.Fatal(err)
	}
	p := serve(t, []string{"DATABASE_URL=sqlite::memory:", "CHECKPOINT_ORIGIN=escrow.example.com", strings.TrimSpace(stdout), "CHECKPOINT_INTERVAL=100ms"})
	b := openBank(t, p.Client)
	var note string
	p.eventually(t, "a checkpoint is signed", func() bool {
		note = p.Get(t, "/institutions/"+b.id+"/journal/checkpoint").Text("note")
		return note != ""
	})
	if checkpoint, err := verifiers.Open([]byte(note)); err != nil || checkpoint.Origin != "escrow.example.com/"+b.id {
		t.Errorf("the checkpoint is of %q, %v", checkpoint.Origin, err)
	}
	if keys := p.As("").Get(t, "/keys").Want(t, 200).Texts(t, "verifierKey"); len(keys) != 1 || keys[0] != verifierKey {
		t.Errorf("the keys are %q, want %q", keys, verifierKey)
	}
	p.end(t, os.Interrupt)
	if strings.Contains(p.stdout.String()+p.stderr.String(), "PRIVATE") {
		t.Error("the server tells its signing key")
	}
	if code, _, stderr := call(t, nil, "signing-key", "a name"); code != exitUsage || !strings.Contains(stderr, "a name") {
		t.Errorf("a name with a space ends with %d: %s", code, stderr)
	}
}
