package translog_test

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

func newSigner(t *testing.T, name string) translog.Signer {
	t.Helper()
	_, signer, err := translog.GenerateKey(name)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func verifiers(t *testing.T, keys ...string) translog.Verifiers {
	t.Helper()
	v, err := translog.NewVerifiers(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func example() translog.Checkpoint {
	return translog.Checkpoint{
		Origin: translog.Origin("escrow.example.com", escrow.InstitutionID{15: 1}),
		Size:   3,
		Root:   leaf(1),
		At:     time.Date(2027, 1, 31, 12, 0, 0, 1000, time.UTC),
	}
}

func TestCheckpointsHaveTheStandardFormat(t *testing.T) {
	want := "escrow.example.com/inst_00000000000000000000000001\n3\n" + leaf(1).String() +
		"\ntime 2027-01-31T12:00:00.000001Z\n"
	if got := example().Text(); got != want {
		t.Errorf("the text is %q, want %q", got, want)
	}

	read, err := translog.ParseCheckpoint(example().Text())
	if err != nil || read != example() {
		t.Errorf("%+v is parsed as %+v, %v", example(), read, err)
	}
	// Extension lines of others are ignored.
	read, err = translog.ParseCheckpoint(example().Text() + "something else\n")
	if err != nil || read != example() {
		t.Errorf("with another line it is parsed as %+v, %v", read, err)
	}
}

func TestInvalidCheckpointsAreRefused(t *testing.T) {
	text := example().Text()
	for name, changed := range map[string]string{
		"nothing":         "",
		"no newline":      strings.TrimSuffix(text, "\n"),
		"no origin":       "\n" + text,
		"no size":         strings.Replace(text, "\n3\n", "\nthree\n", 1),
		"a sign":          strings.Replace(text, "\n3\n", "\n+3\n", 1),
		"a leading zero":  strings.Replace(text, "\n3\n", "\n03\n", 1),
		"a negative size": strings.Replace(text, "\n3\n", "\n-3\n", 1),
		"a short root":    strings.Replace(text, "=\n", "\n", 1),
		"no root":         strings.Replace(text, "=\n", "!\n", 1),
		"an empty line":   text + "\n",
		"no time":         strings.Replace(text, "time 2", "time x", 1),
	} {
		if c, err := translog.ParseCheckpoint(changed); err == nil {
			t.Errorf("%s: %q is parsed as %+v", name, changed, c)
		}
	}
}

func TestOnlyTrustedKeysOpenACheckpoint(t *testing.T) {
	first, second := newSigner(t, "escrow.example.com"), newSigner(t, "escrow.example.com")
	other := newSigner(t, "other.example.com")
	signed, err := example().Sign(first, second)
	if err != nil {
		t.Fatal(err)
	}

	for name, trusted := range map[string][]string{
		"the first key":    {first.VerifierKey()},
		"the second key":   {second.VerifierKey()},
		"both":             {first.VerifierKey(), second.VerifierKey()},
		"one among others": {other.VerifierKey(), second.VerifierKey()},
	} {
		if c, err := verifiers(t, trusted...).Open(signed); err != nil || c != example() {
			t.Errorf("with %s it is %+v, %v", name, c, err)
		}
	}
	if c, err := verifiers(t, other.VerifierKey()).Open(signed); err == nil {
		t.Errorf("with another key it is %+v", c)
	}

	forged := []byte(strings.Replace(string(signed), "\n3\n", "\n4\n", 1))
	if c, err := verifiers(t, first.VerifierKey()).Open(forged); err == nil {
		t.Errorf("forged, it is %+v", c)
	}

	if c, err := translog.Unverified(signed); err != nil || c != example() {
		t.Errorf("unverified, it is %+v, %v", c, err)
	}
	if c, err := translog.Unverified([]byte(example().Text())); err == nil {
		t.Errorf("without signatures it is %+v", c)
	}
}

// A witness can add its signature to a note and leaves what is there unchanged.
func TestCheckpointsTakeFurtherSignatures(t *testing.T) {
	log := newSigner(t, "escrow.example.com")
	signed, err := example().Sign(log)
	if err != nil {
		t.Fatal(err)
	}

	witnessKey, _, err := translog.GenerateKey("witness.example.org")
	if err != nil {
		t.Fatal(err)
	}
	witness, err := note.NewSigner(witnessKey)
	if err != nil {
		t.Fatal(err)
	}

	verifier, err := note.NewVerifier(log.VerifierKey())
	if err != nil {
		t.Fatal(err)
	}
	opened, err := note.Open(signed, note.VerifierList(verifier))
	if err != nil {
		t.Fatal(err)
	}
	cosigned, err := note.Sign(opened, witness)
	if err != nil {
		t.Fatal(err)
	}

	if c, err := verifiers(t, log.VerifierKey()).Open(cosigned); err != nil || c != example() {
		t.Errorf("cosigned, it is %+v, %v", c, err)
	}
}

func TestInvalidKeysAreRefused(t *testing.T) {
	for _, key := range []string{"", "PRIVATE+KEY+a", "PRIVATE+KEY+a+00000000+AAAA", "secret"} {
		if _, err := translog.NewSigner(key); err == nil || key != "" && strings.Contains(err.Error(), key) {
			t.Errorf("the error of %q is %v", key, err)
		}
	}
	if _, err := translog.NewVerifiers("a+00000000+AAAA"); err == nil {
		t.Error("an invalid public key is accepted")
	}
}

func TestNamesThatKeysAndLogsCanHave(t *testing.T) {
	for name, want := range map[string]bool{
		"escrow.example.com": true,
		"a/b":                true,
		"":                   false,
		"a b":                false,
		"a+b":                false,
		"a\nb":               false,
		"\xff":               false,
	} {
		if translog.IsName(name) != want {
			t.Errorf("IsName(%q) is %v", name, !want)
		}
	}
}
