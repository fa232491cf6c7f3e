package vault_test

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/vault"
)

func TestANewKeyIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	random := make([]byte, 32)
	for i := range random {
		random[i] = byte(i)
	}
	made, err := vault.NewKey(bytes.NewReader(random))
	if want := "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"; err != nil || made != want {
		t.Fatalf("NewKey = %q, %v; want %q", made, err, want)
	}

	// A file has a line end after the key, and openssl writes lower case.
	for _, text := range []string{made, made + "\n", " " + made, strings.ToUpper(made)} {
		if ids := keyring(t, text).IDs(); len(ids) != 1 || ids[0] != keyring(t, made).IDs()[0] {
			t.Errorf("%q is the key %q", text, ids)
		}
	}
}

func TestNoKeyIsMadeOfTooLittleRandomness(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 31} {
		if made, err := vault.NewKey(io.LimitReader(strings.NewReader(strings.Repeat("a", 99)), int64(size))); err == nil || made != "" {
			t.Errorf("of %d bytes, NewKey = %q, %v", size, made, err)
		}
	}
	broken := errors.New("broken")
	if made, err := vault.NewKey(failing{broken}); !errors.Is(err, broken) || made != "" {
		t.Errorf("NewKey = %q, %v", made, err)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestParseKeyringKeepsTheOrder(t *testing.T) {
	t.Parallel()
	ring := keyring(t, newKey, " "+oldKey+" ")
	want := []string{keyring(t, newKey).IDs()[0], keyring(t, oldKey).IDs()[0]}
	if got := ring.IDs(); len(got) != 2 || got[0] != want[0] || got[1] != want[1] || got[0] == got[1] {
		t.Errorf("the keys are %q; want %q", got, want)
	}
	if !ring.Has(want[0]) || !ring.Has(want[1]) || ring.Has("") || ring.Has(strings.Repeat("0", 16)) {
		t.Error("the keyring does not know its keys")
	}
}

func TestParseKeyringNamesTheFaultAndNotTheValue(t *testing.T) {
	t.Parallel()
	many := make([]string, 17)
	for i := range many {
		many[i] = fmt.Sprintf("%064x", i+1)
	}
	keyring(t, many[:16]...)

	for _, test := range []struct{ name, text, fault string }{
		{"nothing", "", "no key"},
		{"white space", " \n", "no key"},
		{"an empty element", newKey + ",", "key 2 of 2 is empty"},
		{"white space in an element", newKey + ", ," + oldKey, "key 2 of 3 is empty"},
		{"too short", newKey + ",facade", "key 2 of 2 has 6 characters, and not 64"},
		{"128 bits", newKey[:32], "key 1 of 1 has 32 characters"},
		{"too long", newKey + "facade", "key 1 of 1 has 70 characters"},
		{"a character that is no digit", "facadeg" + newKey[7:], "key 1 of 1 has characters that are not hexadecimal"},
		{"a digit of another script", "facade٣" + newKey[8:], "key 1 of 1 has characters that are not hexadecimal"},
		{"white space within", "facade " + newKey[7:], "key 1 of 1 has characters that are not hexadecimal"},
		{"base64 of 32 bytes", "facadeCwsLCwsLCwsLCwsLCwsLCwsLCwsLCwsLCwsLs=", "key 1 of 1 has 44 characters"},
		{"the same key again", newKey + "," + oldKey + "," + strings.ToUpper(newKey), "key 3 of 3 is the same as key 1"},
		{"the wrong separator", newKey + ";" + oldKey, "key 1 of 1 has 129 characters"},
		{"too many", strings.Join(many, ","), "17 keys, at most 16"},
	} {
		ring, err := vault.ParseKeyring(test.text)
		if err == nil || ring != nil {
			t.Errorf("%s: it is accepted", test.name)
			continue
		}
		if !strings.Contains(err.Error(), test.fault) {
			t.Errorf("%s: the error is %q, and does not say %q", test.name, err, test.fault)
		}
		for _, part := range []string{"facade", "0a0a", "0b0b", "0B0B", "0000"} {
			if strings.Contains(err.Error(), part) {
				t.Errorf("%s: the error %q shows some of a key", test.name, err)
			}
		}
	}
}

func TestAKeyringPrintsNothing(t *testing.T) {
	t.Parallel()
	const key = "5ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2e75ec2"
	ring := keyring(t, key)
	// Members that are not exported are printed without asking their methods.
	type hidden struct {
		pointer *vault.Keyring
		value   vault.Keyring
	}
	type shown struct {
		Pointer *vault.Keyring
		Value   vault.Keyring
	}
	in, with := hidden{ring, *ring}, shown{ring, *ring}

	printed := map[string]string{"String": ring.String(), "an error": fmt.Errorf("no: %w", fmt.Errorf("%v", ring)).Error()}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "% x", "%#x", "%c", "%U"} {
		for name, value := range map[string]any{
			"a pointer": ring, "a value": *ring, "hidden members": in, "a pointer to them": &in,
			"members": with, "a slice": []vault.Keyring{*ring}, "a map": map[string]*vault.Keyring{"": ring},
		} {
			printed[verb+" of "+name] = fmt.Sprintf(verb, value)
		}
	}
	for name, marshal := range map[string]func(any) ([]byte, error){"JSON": json.Marshal, "XML": xml.Marshal} {
		for _, value := range []any{ring, *ring, with, in} {
			text, err := marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			printed[fmt.Sprintf("%s of a %T", name, value)] = string(text)
		}
	}
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(handler).Info("started", "pointer", ring, "value", *ring, "members", with, "hidden", in)
	}
	printed["the log"] = log.String()

	for name, text := range printed {
		// In hexadecimal, as decimal numbers, in octal, in binary, as characters, as Unicode's.
		for _, part := range []string{"5ec2", "5EC2", "5e c2", "0x5e, 0xc2", "94 194", "136 302", "1011110 11000010", "^\u00c2", "U+005E U+00C2", "XsLn"} {
			if strings.Contains(text, part) {
				t.Errorf("%s prints %q", name, text)
			}
		}
	}
	for name, want := range map[string]string{
		"String": "redacted", "%v of a pointer": "redacted", "%+v of a value": "redacted", "%#v of a pointer": "redacted",
		"%d of a value": "redacted", "JSON of a *vault.Keyring": `"redacted"`, "JSON of a vault.Keyring": `"redacted"`,
	} {
		if printed[name] != want {
			t.Errorf("%s prints %q; want %q", name, printed[name], want)
		}
	}
	if value := ring.LogValue(); value.Kind() != slog.KindString || value.String() != "redacted" {
		t.Errorf("the log has %v", value)
	}
}
