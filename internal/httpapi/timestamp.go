package httpapi

import (
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// timestamp is a time as the API writes it.
type timestamp time.Time

// AppendText implements encoding.TextAppender.
func (t timestamp) AppendText(text []byte) ([]byte, error) {
	return escrow.AppendTime(text, time.Time(t)), nil
}

// String returns what AppendText appends.
func (t timestamp) String() string { return escrow.FormatTime(time.Time(t)) }

// Schema implements huma.SchemaProvider.
func (timestamp) Schema(huma.Registry) *huma.Schema {
	return &huma.Schema{Type: "string", Format: "date-time", Examples: []any{"2027-01-31T12:00:00.000000Z"}}
}
