package store

import (
	"encoding/json"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
	"github.com/escrowgrid/escrowgrid/internal/money"
)

// How the domain's values stand in columns. Both drivers know strings, int64,
// bytes, [16]byte for ids, and times; an optional text is NULL where it is
// empty, and a list of words is a JSON array.

// idArg is the parameter for an id.
func idArg[K escrow.IDKind](id escrow.ID[K]) [16]byte { return [16]byte(id) }

func optionalDecimal(d *money.Decimal) string {
	if d == nil {
		return ""
	}
	return d.String()
}

func parseOptionalDecimal(text *string) (*money.Decimal, error) {
	if text == nil {
		return nil, nil //nolint:nilnil // NULL is no number.
	}
	d, err := money.ParseDecimal(*text)
	return &d, err
}

func jsonArray[T ~string](words []T) (string, error) {
	if words == nil {
		words = []T{}
	}
	text, err := json.Marshal(words)
	return string(text), err
}
