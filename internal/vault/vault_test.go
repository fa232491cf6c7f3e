package vault_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/vault"
)

// Keys as ParseKeyring takes them.
var (
	oldKey = strings.Repeat("0a", 32)
	newKey = strings.Repeat("0b", 32)
)

// overhead is how much longer a sealed secret is than the secret, in bytes.
const overhead = 1 + 8 + 32 + 12 + 16

// webhook is a place.
var webhook = vault.Place{Kind: "webhook_secret", Institution: "inst_1", Row: "whk_1"}

// keyring returns the keyring of some keys.
func keyring(tb testing.TB, keys ...string) *vault.Keyring {
	tb.Helper()
	ring, err := vault.ParseKeyring(strings.Join(keys, ","))
	if err != nil {
		tb.Fatal(err)
	}
	return ring
}

func TestWhatIsSealedOpens(t *testing.T) {
	t.Parallel()
	ring := keyring(t, newKey, oldKey)
	rapid.Check(t, func(t *rapid.T) {
		place := vault.Place{
			Kind:        rapid.String().Draw(t, "kind"),
			Institution: rapid.String().Draw(t, "institution"),
			Row:         rapid.String().Draw(t, "row"),
		}
		secret := make([]byte, rapid.IntRange(0, 64<<10).Draw(t, "size"))
		_, _ = rand.NewChaCha8([32]byte{byte(len(secret))}).Read(secret)

		kept := bytes.Clone(secret)
		sealed := ring.Seal(place, secret)
		opened, err := ring.Open(place, sealed)
		if err != nil || !bytes.Equal(opened, kept) || !bytes.Equal(secret, kept) {
			t.Fatalf("a secret of %d bytes is opened with %d, %v", len(secret), len(opened), err)
		}
		if len(sealed) != len(secret)+overhead || len(secret) > 16 && bytes.Contains(sealed, secret) {
			t.Fatalf("%d bytes are sealed in %d", len(secret), len(sealed))
		}
		// Opening does not use up what is stored.
		if again, err := ring.Open(place, sealed); err != nil || !bytes.Equal(again, kept) {
			t.Fatalf("it does not open twice: %v", err)
		}
	})
}

// Two secrets with the same salt would have the same key.
func TestNothingIsSealedTwiceInTheSameWay(t *testing.T) {
	t.Parallel()
	ring := keyring(t, newKey)
	first, second := ring.Seal(webhook, []byte("secret")), ring.Seal(webhook, []byte("secret"))
	for name, part := range map[string][2]int{"salt": {9, 41}, "nonce": {41, 53}, "ciphertext": {53, 59}} {
		if from, to := part[0], part[1]; bytes.Equal(first[from:to], second[from:to]) {
			t.Errorf("the %s of two secrets is %x", name, first[from:to])
		}
	}
}

func TestAFlippedBitIsNotOpened(t *testing.T) {
	t.Parallel()
	ring := keyring(t, newKey, oldKey)
	sealed := ring.Seal(webhook, []byte("secret"))
	for bit := range 8 * len(sealed) {
		want := vault.ErrNotAuthentic
		switch {
		case bit < 8:
			want = vault.ErrNotSealed
		case bit < 8*vault.HeaderSize:
			want = vault.ErrUnknownKey
		}
		flipped := bytes.Clone(sealed)
		flipped[bit/8] ^= 1 << (bit % 8)
		if opened, err := ring.Open(webhook, flipped); !errors.Is(err, want) || opened != nil {
			t.Errorf("with bit %d flipped, it opens with %q, %v; want %v", bit, opened, err, want)
		}
	}
}

func TestASecretThatNamesAnotherKeyIsNotOpened(t *testing.T) {
	t.Parallel()
	ring := keyring(t, newKey, oldKey)
	sealed := ring.Seal(webhook, []byte("secret"))
	copy(sealed[1:9], keyring(t, oldKey).Seal(webhook, nil)[1:9])
	if _, err := ring.Open(webhook, sealed); !errors.Is(err, vault.ErrNotAuthentic) {
		t.Errorf("it opens with %v", err)
	}
}

func TestWhatIsCutOrExtendedIsNotOpened(t *testing.T) {
	t.Parallel()
	ring := keyring(t, newKey)
	for _, secret := range []string{"", "secret"} {
		sealed := ring.Seal(webhook, []byte(secret))
		for size := range sealed {
			want := vault.ErrNotSealed
			if size >= overhead {
				want = vault.ErrNotAuthentic
			}
			if _, err := ring.Open(webhook, sealed[:size]); !errors.Is(err, want) {
				t.Errorf("%d of %d bytes open with %v; want %v", size, len(sealed), err, want)
			}
			// What is cut at its beginning can name any version and any key.
			if _, err := ring.Open(webhook, sealed[len(sealed)-size:]); err == nil {
				t.Errorf("the last %d of %d bytes open", size, len(sealed))
			}
		}
		for _, more := range []string{"\x00", "\x01", string(sealed)} {
			if _, err := ring.Open(webhook, append(bytes.Clone(sealed), more...)); !errors.Is(err, vault.ErrNotAuthentic) {
				t.Errorf("with %d more bytes, it opens with %v", len(more), err)
			}
		}
	}
}

// A database that somebody else can write to must not pass off one row's secret as another's.
func TestASecretOpensAtItsPlaceAlone(t *testing.T) {
	t.Parallel()
	ring := keyring(t, newKey)
	sealed := ring.Seal(webhook, []byte("secret"))

	refuse := func(name string, place vault.Place) {
		t.Helper()
		if _, err := ring.Open(place, sealed); !errors.Is(err, vault.ErrNotAuthentic) {
			t.Errorf("%s: it opens with %v", name, err)
		}
	}
	refuse("no place", vault.Place{})
	refuse("another kind", vault.Place{Kind: "client_secret", Institution: "inst_1", Row: "whk_1"})
	refuse("another institution", vault.Place{Kind: "webhook_secret", Institution: "inst_2", Row: "whk_1"})
	refuse("the operator", vault.Place{Kind: "webhook_secret", Row: "whk_1"})
	refuse("another row", vault.Place{Kind: "webhook_secret", Institution: "inst_1", Row: "whk_2"})
	refuse("parts exchanged", vault.Place{Kind: "webhook_secret", Institution: "whk_1", Row: "inst_1"})
	refuse("a part that ends later", vault.Place{Kind: "webhook_secreti", Institution: "nst_1", Row: "whk_1"})
	refuse("a part that ends earlier", vault.Place{Kind: "webhook_secret", Institution: "inst_", Row: "1whk_1"})
	refuse("a part that ends in a zero", vault.Place{Kind: "webhook_secret", Institution: "inst_1", Row: "whk_1\x00"})
	for i := range 8 * len(webhook.Kind) {
		kind := []byte(webhook.Kind)
		kind[i/8] ^= 1 << (i % 8)
		refuse("a kind with a flipped bit", vault.Place{Kind: string(kind), Institution: "inst_1", Row: "whk_1"})
	}
	for i := range 8 * len(webhook.Institution) {
		id := []byte(webhook.Institution)
		id[i/8] ^= 1 << (i % 8)
		refuse("an institution with a flipped bit", vault.Place{Kind: "webhook_secret", Institution: string(id), Row: "whk_1"})
	}
	for i := range 8 * len(webhook.Row) {
		id := []byte(webhook.Row)
		id[i/8] ^= 1 << (i % 8)
		refuse("a row with a flipped bit", vault.Place{Kind: "webhook_secret", Institution: "inst_1", Row: string(id)})
	}
}

func TestKeysRotate(t *testing.T) {
	t.Parallel()
	before, during, after := keyring(t, oldKey), keyring(t, newKey, oldKey), keyring(t, newKey)
	sealed := before.Seal(webhook, []byte("secret"))
	if opened, err := during.Open(webhook, sealed); err != nil || string(opened) != "secret" {
		t.Fatalf("with the old key beside the new one, it opens with %q, %v", opened, err)
	}
	id, err := vault.KeyID(sealed)
	if err != nil || !before.Has(id) || !during.Has(id) || after.Has(id) {
		t.Errorf("KeyID = %q, %v", id, err)
	}
	if _, err := after.Open(webhook, sealed); !errors.Is(err, vault.ErrUnknownKey) || !strings.Contains(err.Error(), id) {
		t.Errorf("without the old key, it opens with %v", err)
	}
	if !before.Current(sealed) || during.Current(sealed) || after.Current(sealed) {
		t.Errorf("it is current before, during and after: %t, %t, %t",
			before.Current(sealed), during.Current(sealed), after.Current(sealed))
	}

	again := during.Seal(webhook, []byte("secret"))
	if opened, err := after.Open(webhook, again); err != nil || string(opened) != "secret" {
		t.Errorf("sealed again, it opens with %q, %v", opened, err)
	}
	if before.Current(again) || !during.Current(again) || !after.Current(again) {
		t.Errorf("sealed again, it is current before, during and after: %t, %t, %t",
			before.Current(again), during.Current(again), after.Current(again))
	}
}

// Queries for rotation fetch no more than the header.
func TestTheHeaderTellsTheKey(t *testing.T) {
	t.Parallel()
	ring := keyring(t, newKey, oldKey)
	sealed := ring.Seal(webhook, []byte("secret"))
	if id, err := vault.KeyID(sealed[:vault.HeaderSize]); err != nil || id != ring.IDs()[0] || !ring.Current(sealed[:vault.HeaderSize]) {
		t.Errorf("KeyID = %q, %v; want %q", id, err, ring.IDs()[0])
	}
	for name, text := range map[string]string{
		"nothing": "", "too little": string(sealed[:vault.HeaderSize-1]), "version 0": "\x00" + string(sealed[1:]), "version 2": "\x02" + string(sealed[1:]),
	} {
		if id, err := vault.KeyID([]byte(text)); !errors.Is(err, vault.ErrNotSealed) || id != "" {
			t.Errorf("%s: KeyID = %q, %v", name, id, err)
		}
		if ring.Current([]byte(text)) {
			t.Errorf("%s: is current", name)
		}
		if _, err := ring.Open(webhook, []byte(text)); !errors.Is(err, vault.ErrNotSealed) {
			t.Errorf("%s: opens with %v", name, err)
		}
	}
}

func FuzzOpen(f *testing.F) {
	ring := keyring(f, newKey, oldKey)
	sealed := ring.Seal(webhook, []byte("secret"))
	for _, text := range [][]byte{sealed, sealed[:vault.HeaderSize], sealed[:overhead-1], keyring(f, oldKey).Seal(webhook, nil), {}, {1}, {2}} {
		f.Add(text, webhook.Kind, webhook.Institution, webhook.Row)
	}
	known, _ := hex.DecodeString(vectorSealed)
	f.Add(known, "", "", "")
	f.Fuzz(func(t *testing.T, text []byte, kind, institution, row string) {
		place := vault.Place{Kind: kind, Institution: institution, Row: row}
		opened, err := ring.Open(place, text)
		isOurs := place == webhook && len(text) >= overhead && (string(opened) == "secret" || len(opened) == 0)
		switch {
		case err == nil && !isOurs:
			t.Errorf("%x opens at %+v", text, place)
		case err != nil && opened != nil:
			t.Errorf("%x returns %x and %v", text, opened, err)
		case err != nil && !errors.Is(err, vault.ErrNotSealed) && !errors.Is(err, vault.ErrUnknownKey) && !errors.Is(err, vault.ErrNotAuthentic):
			t.Errorf("%x returns %v", text, err)
		}
	})
}
