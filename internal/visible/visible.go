// Package visible shows text that somebody else wrote, such as a server or a database that
// is being verified, without letting it act on the terminal: an escape sequence could hide
// a line, and a newline could make one up.
package visible

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line returns a text on one line, each character that cannot be seen written as Go
// escapes it.
func Line(text string) string { return escape(text, "") }

// Lines is Line, but newlines stay.
func Lines(text string) string { return escape(text, "\n") }

func escape(text, kept string) string {
	isKept := func(r rune) bool { return r != utf8.RuneError && unicode.IsPrint(r) || strings.ContainsRune(kept, r) }
	if !strings.ContainsFunc(text, func(r rune) bool { return !isKept(r) }) {
		return text
	}

	var shown strings.Builder
	for text != "" {
		r, size := utf8.DecodeRuneInString(text)
		if isKept(r) {
			shown.WriteString(text[:size])
		} else {
			quoted := strconv.Quote(text[:size])
			shown.WriteString(quoted[1 : len(quoted)-1])
		}
		text = text[size:]
	}
	return shown.String()
}
