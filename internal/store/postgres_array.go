package store

import (
	"encoding/binary"
	"time"

	"github.com/jackc/pgx/v5/pgtype"
)

// wireArray is an array in PostgreSQL's binary format (array_send in its source), as
// it is sent: a header, then each element with its length. The driver would have
// every element in an interface first, which took as long as all the rest of a
// statement.
type wireArray struct{ content []byte }

const (
	// The header is the number of dimensions, whether there is a NULL, the type of the
	// elements, their number, and the index of the first; four bytes each.
	arrayHeaderSize = 20
	arrayNullFlag   = 4

	// elementSizeHint is what the elements of most columns fit into, with their lengths.
	elementSizeHint = 24
)

func newWireArray(elementOID uint32, elements int) wireArray {
	a := wireArray{make([]byte, 0, arrayHeaderSize+elements*elementSizeHint)}
	for _, field := range [...]uint32{1, 0, elementOID, uint32(elements), 1} {
		a.content = binary.BigEndian.AppendUint32(a.content, field)
	}
	return a
}

func (a *wireArray) bytes(element []byte) {
	a.length(len(element))
	a.content = append(a.content, element...)
}

func (a *wireArray) text(element string) {
	a.length(len(element))
	a.content = append(a.content, element...)
}

func (a *wireArray) number(element int64) {
	a.length(8)
	a.content = binary.BigEndian.AppendUint64(a.content, uint64(element))
}

func (a *wireArray) null() {
	a.content = binary.BigEndian.AppendUint32(a.content, 1<<32-1) // the length -1
	a.content[arrayNullFlag+3] = 1
}

func (a *wireArray) length(length int) {
	a.content = binary.BigEndian.AppendUint32(a.content, uint32(length))
}

// postgresEpoch is the time from which PostgreSQL counts microseconds, the year 2000,
// in those since 1970.
const postgresEpoch = 946_684_800_000_000

// arrayWriter makes an array of each column of a statement.
type arrayWriter struct {
	arrays []wireArray
	// column is the place of the next value's.
	column int
}

func newArrayWriter(columns []column, rows int) *arrayWriter {
	w := &arrayWriter{arrays: make([]wireArray, len(columns))}
	for i, column := range columns {
		w.arrays[i] = newWireArray(elementOIDs[column.sqlType()], rows)
	}
	return w
}

// elementOIDs are PostgreSQL's numbers of the types.
var elementOIDs = map[sqlType]uint32{
	sqlUUID:   pgtype.UUIDOID,
	sqlText:   pgtype.TextOID,
	sqlBigint: pgtype.Int8OID,
	sqlBytes:  pgtype.ByteaOID,
	sqlTime:   pgtype.TimestamptzOID,
}

// arguments returns the arrays as a statement takes them.
func (w *arrayWriter) arguments() []any {
	arguments := make([]any, len(w.arrays))
	for i := range w.arrays {
		arguments[i] = &w.arrays[i]
	}
	return arguments
}

func (w *arrayWriter) id(id [16]byte)       { w.arrays[w.column].bytes(id[:]) }
func (w *arrayWriter) text(text string)     { w.arrays[w.column].text(text) }
func (w *arrayWriter) number(number int64)  { w.arrays[w.column].number(number) }
func (w *arrayWriter) bytes(content []byte) { w.arrays[w.column].bytes(content) }
func (w *arrayWriter) null()                { w.arrays[w.column].null() }

func (w *arrayWriter) time(at time.Time) {
	w.arrays[w.column].number(at.UnixMicro() - postgresEpoch)
}

// registerWireArrays lets a connection's arrays be given as they are sent.
func registerWireArrays(types *pgtype.Map) {
	for _, oid := range []uint32{
		pgtype.UUIDArrayOID, pgtype.TextArrayOID, pgtype.Int8ArrayOID, pgtype.ByteaArrayOID, pgtype.TimestamptzArrayOID,
	} {
		if known, ok := types.TypeForOID(oid); ok {
			types.RegisterType(&pgtype.Type{Name: known.Name, OID: oid, Codec: wireArrayCodec{known.Codec}})
		}
	}
}

// wireArrayCodec is an array's codec that also takes a wireArray.
type wireArrayCodec struct{ pgtype.Codec }

// PlanEncode implements pgtype.Codec.
func (c wireArrayCodec) PlanEncode(types *pgtype.Map, oid uint32, format int16, value any) pgtype.EncodePlan {
	if _, ok := value.(*wireArray); ok && format == pgtype.BinaryFormatCode {
		return wireArrayPlan{}
	}
	return c.Codec.PlanEncode(types, oid, format, value)
}

type wireArrayPlan struct{}

// Encode implements pgtype.EncodePlan.
func (wireArrayPlan) Encode(value any, to []byte) ([]byte, error) {
	return append(to, value.(*wireArray).content...), nil //nolint:errcheck,forcetypeassert // See PlanEncode.
}
