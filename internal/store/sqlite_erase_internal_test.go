package store

import (
	"bytes"
	"testing"
)

// A node of two cells keeps its header, the cells' places and the cells; nothing else of a page is
// looked into.
func TestTheUnusedMiddleOfAPageIsNotWritten(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		kind, header byte
		first        bool
		cleaned      bool
	}{
		"a leaf of a table":       {0x0d, 8, false, true},
		"a leaf of an index":      {0x0a, 8, false, true},
		"an interior of a table":  {0x05, 12, false, true},
		"an interior of an index": {0x02, 12, false, true},
		"the first page":          {0x0d, 8, true, true},
		"an overflow page":        {0x00, 8, false, false},
		"a page of free ones":     {0x01, 8, false, false},
	} {
		page := bytes.Repeat([]byte("x"), 512)
		start := 0
		if test.first {
			start = fileHeaderSize
		}
		copy(page[start:], []byte{test.kind, 0, 0, 0, 2, 1, 0x90, 0}) // Two cells, from 400 on.
		want := bytes.Clone(page)
		if test.cleaned {
			clear(want[start+int(test.header)+4 : 400])
		}
		cleanPage(page, test.first)
		if !bytes.Equal(page, want) {
			t.Errorf("%s has become %q", name, page)
		}
	}
}
