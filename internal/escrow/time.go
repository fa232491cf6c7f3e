package escrow

import (
	"errors"
	"regexp"
	"time"
)

// rfc3339 is the whole form of a moment: time.Parse also reads texts that are not
// RFC 3339, like "2027-01-31T1:00:00,5Z".
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$`)

// FormatTime writes a moment as RFC 3339 in UTC with exactly six decimals.
func FormatTime(at time.Time) string { return string(AppendTime(nil, at)) }

// AppendTime appends what FormatTime returns.
func AppendTime(text []byte, at time.Time) []byte {
	at = at.UTC()
	// The standard library has a fast path for RFC 3339 without decimals.
	text = at.AppendFormat(text, time.RFC3339)

	const microseconds = "000000"
	text[len(text)-1] = '.'
	digits := len(text) + len(microseconds)
	text = append(append(text, microseconds...), 'Z')
	for rest, i := at.Nanosecond()/1000, digits-1; rest > 0; rest, i = rest/10, i-1 {
		text[i] += byte(rest % 10)
	}
	return text
}

// ParseTime reads an RFC 3339 moment of any offset. Finer parts than a
// microsecond are cut off.
func ParseTime(text string) (time.Time, error) {
	at, err := time.Parse(time.RFC3339, text)
	if err != nil || !rfc3339.MatchString(text) {
		return time.Time{}, errors.New("must be an RFC 3339 time, like 2027-01-31T12:00:00Z")
	}
	// Beyond these years a time does not fit every format that it is written to.
	if year := at.UTC().Year(); year < 1970 || year > 9999 {
		return time.Time{}, errors.New("must be in the years 1970 to 9999")
	}
	return at.UTC().Truncate(time.Microsecond), nil
}

// ParseWrittenTime reads a time as FormatTime wrote it, and no other text of the same time.
func ParseWrittenTime(text string) (time.Time, error) {
	at, err := ParseTime(text)
	if err == nil && FormatTime(at) != text {
		err = errors.New("must have six decimals, in UTC, like 2027-01-31T12:00:00.000000Z")
	}
	return at, err
}

// moment is a time as FormatTime writes it.
type moment time.Time

// AppendText implements encoding.TextAppender. It never fails.
func (m moment) AppendText(text []byte) ([]byte, error) { return AppendTime(text, time.Time(m)), nil }
