package escrow_test

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// parsePositionID is ParseID for one kind: outside of its package the kind has no
// name of its own.
func parsePositionID(text string) (id escrow.PositionID, err error) {
	err = id.UnmarshalText([]byte(text))
	return id, err
}

func TestIDsBeginWithTheirKind(t *testing.T) {
	t.Parallel()
	const zero = "00000000000000000000000000"
	for want, id := range map[string]interface{ String() string }{
		"inst_" + zero:  escrow.InstitutionID{},
		"key_" + zero:   escrow.KeyID{},
		"tmpl_" + zero:  escrow.TemplateID{},
		"ast_" + zero:   escrow.AssetID{},
		"pos_" + zero:   escrow.PositionID{},
		"entry_" + zero: escrow.EntryID{},
	} {
		if got := id.String(); got != want {
			t.Errorf("%T is written %q, want %q", id, got, want)
		}
	}
}

// The suffixes of the valid vectors of the TypeID specification, version 0.3
// (spec/valid.json); their prefixes are other programs'.
func TestIDsFollowTheTypeIDSpecification(t *testing.T) {
	t.Parallel()
	for _, vector := range []struct{ name, suffix, uuid string }{
		{"nil", "00000000000000000000000000", "00000000-0000-0000-0000-000000000000"},
		{"one", "00000000000000000000000001", "00000000-0000-0000-0000-000000000001"},
		{"ten", "0000000000000000000000000a", "00000000-0000-0000-0000-00000000000a"},
		{"sixteen", "0000000000000000000000000g", "00000000-0000-0000-0000-000000000010"},
		{"thirty-two", "00000000000000000000000010", "00000000-0000-0000-0000-000000000020"},
		{"max-valid", "7zzzzzzzzzzzzzzzzzzzzzzzzz", "ffffffff-ffff-ffff-ffff-ffffffffffff"},
		{"valid-alphabet", "0123456789abcdefghjkmnpqrs", "0110c853-1d09-52d8-d73e-1194e95b5f19"},
		{"valid-uuidv7", "01h455vb4pex5vsknk084sn02q", "01890a5d-ac96-774b-bcce-b302099a8057"},
	} {
		t.Run(vector.name, func(t *testing.T) {
			t.Parallel()
			text := "pos_" + vector.suffix
			id, err := parsePositionID(text)
			if err != nil {
				t.Fatalf("ParseID(%q): %v", text, err)
			}
			if got, want := hex.EncodeToString(id[:]), strings.ReplaceAll(vector.uuid, "-", ""); got != want {
				t.Errorf("ParseID(%q) = %s, want %s", text, got, want)
			}
			if got := id.String(); got != text {
				t.Errorf("written again it is %q, want %q", got, text)
			}
		})
	}
}

// The invalid vectors of the specification (spec/invalid.json), with our prefix in
// the place of a valid one, and what our fixed prefixes add.
func TestParseIDRefusesWhatIsNoTypeIDOfTheKind(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"prefix-uppercase":           "POS_00000000000000000000000000",
		"prefix-numeric":             "12345_00000000000000000000000000",
		"prefix-period":              "po.s_00000000000000000000000000",
		"prefix-non-ascii":           "pós_00000000000000000000000000",
		"prefix-spaces":              "  pos_00000000000000000000000000",
		"prefix-64-chars":            strings.Repeat("p", 64) + "_00000000000000000000000000",
		"separator-empty-prefix":     "_00000000000000000000000000",
		"separator-empty":            "_",
		"suffix-short":               "pos_1234567890123456789012345",
		"suffix-long":                "pos_123456789012345678901234567",
		"suffix-spaces":              "pos_1234567890123456789012345 ",
		"suffix-uppercase":           "pos_0123456789ABCDEFGHJKMNPQRS",
		"suffix-hyphens":             "pos_123456789-123456789-123456",
		"suffix-wrong-alphabet":      "pos_ooooooiiiiiiuuuuuuulllllll",
		"suffix-ambiguous-crockford": "pos_i23456789ol23456789oi23456",
		"suffix-hyphens-crockford":   "pos_123456789-0123456789-0123456",
		"suffix-overflow":            "pos_8zzzzzzzzzzzzzzzzzzzzzzzzz",
		"prefix-underscore-start":    "_pos_00000000000000000000000000",
		"prefix-underscore-end":      "pos__00000000000000000000000000",
		"another kind":               escrow.AssetID{}.String(),
		"no prefix":                  "00000000000000000000000000",
		"prefix alone":               "pos_",
		"nothing":                    "",
		"a UUID":                     "01890a5d-ac96-774b-bcce-b302099a8057",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if id, err := parsePositionID(text); err == nil || !id.IsZero() {
				t.Errorf("ParseID(%q) = %v, %v; want a zero id and an error", text, id, err)
			}
		})
	}
}

func TestIDsStandInJSONAsTheirText(t *testing.T) {
	t.Parallel()
	id := must(parsePositionID("pos_01h455vb4pex5vsknk084sn02q"))
	text := must(json.Marshal(map[string]any{"id": id}))
	if want := `{"id":"pos_01h455vb4pex5vsknk084sn02q"}`; string(text) != want {
		t.Errorf("JSON is %s, want %s", text, want)
	}
	var read struct {
		ID escrow.PositionID `json:"id"`
	}
	if err := json.Unmarshal(text, &read); err != nil || read.ID != id {
		t.Errorf("read back: %v, %v", read.ID, err)
	}
	if err := json.Unmarshal([]byte(`{"id":"ast_01h455vb4pex5vsknk084sn02q"}`), &read); err == nil {
		t.Error("an asset's id was read as a position's")
	}
}

func TestOnlyTheUnsetIDIsZero(t *testing.T) {
	t.Parallel()
	if !(escrow.KeyID{}).IsZero() {
		t.Error("an id that was never set is not zero")
	}
	if (escrow.KeyID{15: 1}).IsZero() {
		t.Error("the id 1 is zero")
	}
}

func TestIDsSortAsTheirTexts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawID(t, "a"), drawID(t, "b")
		if got, want := a.Compare(b), strings.Compare(a.String(), b.String()); got != want {
			t.Errorf("Compare(%s, %s) = %d, but their texts give %d", a, b, got, want)
		}
	})
}

func drawID(t *rapid.T, label string) (id escrow.PositionID) {
	copy(id[:], rapid.SliceOfN(rapid.Byte(), len(id), len(id)).Draw(t, label))
	return id
}

// The time of the UUIDv7 in appendix A.6 of RFC 9562.
func TestNewUUIDHasTheTimeOfTheRFCsExample(t *testing.T) {
	t.Parallel()
	at := time.Date(2022, time.February, 22, 19, 22, 22, 0, time.UTC)
	uuid := escrow.NewUUID(at, 0x18C4DC0C0C07398F)
	if got, want := hex.EncodeToString(uuid[:]), "017f22e279b0"+"7000"+"98c4dc0c0c07398f"; got != want {
		t.Errorf("NewUUID = %s, want %s", got, want)
	}
}

func TestNewUUIDIsLaidOutAsUUIDv7(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		at, random := drawMoment(t, "at"), rapid.Uint64().Draw(t, "random")
		uuid := escrow.NewUUID(at, random)
		high, low := binary.BigEndian.Uint64(uuid[:8]), binary.BigEndian.Uint64(uuid[8:])
		if got, want := int64(high>>16), at.UnixMilli(); got != want {
			t.Errorf("the first 48 bits are %d, want the Unix milliseconds %d", got, want)
		}
		if version := high >> 12 & 0xF; version != 7 {
			t.Errorf("the version is %d, want 7", version)
		}
		// 4096 fractions to a millisecond, each 1/4.096 of a microsecond.
		micros := at.UnixMicro() % 1000
		if got, want := int64(high&0xFFF), micros*4096/1000; got != want {
			t.Errorf("the fraction of the millisecond is %d/4096, want %d for %d µs", got, want, micros)
		}
		if variant := low >> 62; variant != 0b10 {
			t.Errorf("the variant is %b, want 10", variant)
		}
		if got, want := low<<2>>2, random<<2>>2; got != want {
			t.Errorf("the random bits are %x, want %x", got, want)
		}
	})
}

// drawMoment draws a moment whose microseconds fill what ids can tell apart.
func drawMoment(t *rapid.T, label string) time.Time {
	const year9999 = 253_402_300_799
	return time.UnixMicro(rapid.Int64Range(0, year9999*1_000_000).Draw(t, label)).UTC()
}

func TestUUIDsOfDifferentMicrosecondsSortByTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		earlier := drawMoment(t, "earlier")
		later := earlier.Add(time.Duration(rapid.Int64Range(1, 2000).Draw(t, "µs between")) * time.Microsecond)
		a := escrow.PositionID(escrow.NewUUID(earlier, rapid.Uint64().Draw(t, "random a")))
		b := escrow.PositionID(escrow.NewUUID(later, rapid.Uint64().Draw(t, "random b")))
		if a.Compare(b) >= 0 {
			t.Errorf("%s of %s does not sort before %s of %s", a, earlier, b, later)
		}
	})
}

func TestFirstUUIDBoundsTheIDsFromAMomentOn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		bound := drawMoment(t, "bound").Add(time.Second)
		at := bound.Add(time.Duration(rapid.Int64Range(-2000, 2000).Draw(t, "µs from it")) * time.Microsecond)
		id := escrow.PositionID(escrow.NewUUID(at, rapid.Uint64().Draw(t, "random")))
		if got, want := escrow.PositionID(escrow.FirstUUID(bound)).Compare(id) <= 0, !at.Before(bound); got != want {
			t.Errorf("the id of %s is above the bound of %s: %t, want %t", at, bound, got, want)
		}
	})
}

func TestIDsOfMomentsBefore1970AreThoseOf1970(t *testing.T) {
	t.Parallel()
	before := time.Date(1969, time.December, 31, 23, 59, 59, 0, time.UTC)
	if got, want := escrow.NewUUID(before, 1), escrow.NewUUID(time.Unix(0, 0), 1); got != want {
		t.Errorf("NewUUID = %x, want %x", got, want)
	}
	if got := escrow.PositionID(escrow.FirstUUID(time.Time{})); got.Compare(escrow.PositionID(escrow.NewUUID(before, 0))) > 0 {
		t.Errorf("the bound of the zero time is %s, above the first id", got)
	}
}

func FuzzParseID(f *testing.F) {
	f.Add("pos_01h455vb4pex5vsknk084sn02q")
	f.Add("pos_7zzzzzzzzzzzzzzzzzzzzzzzzz")
	f.Add("pos_8zzzzzzzzzzzzzzzzzzzzzzzzz")
	f.Add("POS_01H455VB4PEX5VSKNK084SN02Q")
	f.Add("pos_01h455vb4pex5vsknk084sn02q ")
	f.Add("ast_01h455vb4pex5vsknk084sn02q")
	f.Fuzz(func(t *testing.T, text string) {
		id, err := parsePositionID(text)
		if err == nil && id.String() != text {
			t.Errorf("ParseID accepted %q, which String writes %q", text, id)
		}
		// Any 16 bytes are an id that can be read again.
		var any16 escrow.PositionID
		copy(any16[:], text)
		if again, err := parsePositionID(any16.String()); err != nil || again != any16 {
			t.Errorf("ParseID(%q) = %v, %v", any16.String(), again, err)
		}
	})
}

func TestIsIDTakesWhatAnIDIsWrittenAs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		escrow.PositionID{1}.String(): true, escrow.InstitutionID{}.String(): true, escrow.EntryID{15: 9}.String(): true,
		"": false, "pos": false, "pos_": false, "pos_1": false, "egk_00000000000000000000000000": false,
		escrow.PositionID{1}.String() + "0": false, strings.ToUpper(escrow.PositionID{1}.String()): false,
	} {
		if got := escrow.IsID(text); got != want {
			t.Errorf("%q is an id: %t", text, got)
		}
	}
}
