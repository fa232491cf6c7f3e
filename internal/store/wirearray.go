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

func newWireArray(elementOID uint32, elements int) *wireArray {
	a := &wireArray{make([]byte, 0, arrayHeaderSize+elements*elementSizeHint)}
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

// arrayWriter makes an array of each column that is wanted.
type arrayWriter struct {
	cursor
	rows   int
	arrays []*wireArray
}

// array returns the array of the next column, nil for one that is not wanted.
func (w *arrayWriter) array(elementOID uint32) *wireArray {
	if !w.next() {
		return nil
	}
	if w.place > len(w.arrays) {
		w.arrays = append(w.arrays, newWireArray(elementOID, w.rows))
	}
	return w.arrays[w.place-1]
}

func (w *arrayWriter) id(id [16]byte) {
	if array := w.array(pgtype.UUIDOID); array != nil {
		array.bytes(id[:])
	}
}

func (w *arrayWriter) text(text string) {
	if array := w.array(pgtype.TextOID); array != nil {
		array.text(text)
	}
}

func (w *arrayWriter) optionalText(text string) {
	array := w.array(pgtype.TextOID)
	switch {
	case array == nil:
	case text == "":
		array.null()
	default:
		array.text(text)
	}
}

func (w *arrayWriter) number(number int64) {
	if array := w.array(pgtype.Int8OID); array != nil {
		array.number(number)
	}
}

func (w *arrayWriter) bytes(content []byte) {
	array := w.array(pgtype.ByteaOID)
	switch {
	case array == nil:
	case content == nil:
		array.null()
	default:
		array.bytes(content)
	}
}

func (w *arrayWriter) time(at time.Time) {
	if array := w.array(pgtype.TimestamptzOID); array != nil {
		array.number(at.UnixMicro() - postgresEpoch)
	}
}

func (w *arrayWriter) optionalTime(at *time.Time) {
	array := w.array(pgtype.TimestamptzOID)
	switch {
	case array == nil:
	case at == nil:
		array.null()
	default:
		array.number(at.UnixMicro() - postgresEpoch)
	}
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
