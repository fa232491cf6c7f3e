package identity

import (
	"crypto/sha256"
	"encoding/base64"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxTokenBytes bounds a token. Proxies and servers refuse longer headers anyway.
const maxTokenBytes = 16 << 10

// LooksLikeToken reports whether a text has the form of a signed token: three parts in
// base64url, in at most 16 KiB. An API key never has. It says nothing of what is in the parts.
func LooksLikeToken(raw string) bool {
	if len(raw) > maxTokenBytes {
		return false
	}

	dots, part := 0, 0
	for i := range len(raw) {
		switch {
		case raw[i] == '.' && part > 0:
			dots, part = dots+1, 0
		case isBase64URL[raw[i]]:
			part++
		default:
			return false
		}
	}
	return dots == 2 && part > 0
}

var isBase64URL = func() (is [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
		is[c] = true
	}
	return is
}()

// Claimed is whom a token claims to be from and for. Nothing of it is verified: it must serve no other
// purpose than to choose the provider to verify the token by. The audiences are not to be changed.
type Claimed struct {
	Issuer    string       `json:"iss"`
	Audiences audienceList `json:"aud"`
}

// Claimed reads whom a token claims to be from and for. It is false where the text is no token or
// names no issuer. Of tokens that were verified before it costs a hash.
func (v *Verifier) Claimed(raw string) (Claimed, bool) {
	if len(raw) > maxTokenBytes {
		return Claimed{}, false
	}
	if known, ok := v.claimed.Get(sha256.Sum256([]byte(raw))); ok {
		return known, true
	}
	return readClaimed(raw)
}

// keepClaimed remembers what Claimed reads of a token that was verified: of others, there is no end.
func (v *Verifier) keepClaimed(hash [sha256.Size]byte, raw string) {
	claimed, ok := readClaimed(raw)
	length := len(claimed.Issuer)
	for _, audience := range claimed.Audiences {
		length += len(audience)
	}
	if ok && length <= maxKeptText {
		v.claimed.Add(hash, claimed)
	}
}

func readClaimed(raw string) (claimed Claimed, ok bool) {
	if strings.Count(raw, ".") != 2 {
		return Claimed{}, false
	}
	payload, err := decodePart(raw, 1)
	if err != nil {
		return Claimed{}, false
	}

	if err := json.Unmarshal(payload, &claimed); err != nil || claimed.Issuer == "" {
		return Claimed{}, false
	}
	return claimed, true
}

// audienceList is one audience or several, as the claim has it.
type audienceList []string

// UnmarshalJSONFrom reads a string, or an array of strings.
func (a *audienceList) UnmarshalJSONFrom(decoder *jsontext.Decoder) error {
	if decoder.PeekKind() == jsontext.KindString {
		*a = make(audienceList, 1)
		return json.UnmarshalDecode(decoder, &(*a)[0])
	}
	return json.UnmarshalDecode(decoder, (*[]string)(a))
}

// decodePart decodes a part of a text that looks like a token: 0 is the header, 1 the claims.
func decodePart(raw string, n int) ([]byte, error) {
	for range n {
		_, raw, _ = strings.Cut(raw, ".")
	}
	part, _, _ := strings.Cut(raw, ".")
	return base64.RawURLEncoding.DecodeString(part)
}

// header is the part of a token that says how to verify it. Members that bring or name a key
// (jwk, jku, x5c, x5u) are ignored: keys come from the provider alone.
type header struct {
	Algorithm string `json:"alg"`
	KeyID     string `json:"kid"`
	Type      string `json:"typ"`
	// Extensions change what is signed, or what has to be understood; there is none that this
	// package understands.
	Critical jsontext.Value `json:"crit"`
	Encoded  jsontext.Value `json:"b64"`
}

// accessTokenType is the type of access tokens by RFC 9068.
const accessTokenType = "at+jwt"

// readHeader reads the header of a text that looks like a token, and checks what can be checked
// without a key.
func readHeader(raw string) (header, error) {
	part, err := decodePart(raw, 0)
	if err != nil {
		return header{}, invalid("its header is not in base64url")
	}
	var h header
	if err := json.Unmarshal(part, &h); err != nil {
		return header{}, invalid("its header is not a JSON object of the right form")
	}

	if fits[h.Algorithm] == nil {
		return header{}, invalid("its algorithm is not allowed")
	}
	if h.Critical != nil || h.Encoded != nil {
		return header{}, invalid("its header has extensions that must be understood")
	}

	h.Type = strings.TrimPrefix(strings.ToLower(h.Type), "application/")
	switch h.Type {
	case "", "jwt", accessTokenType:
		return h, nil
	default:
		return header{}, invalid("it is of another type than access tokens and ID tokens")
	}
}
