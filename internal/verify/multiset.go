package verify

import (
	"crypto/sha256"

	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// multiset is entries in whatever order. Every entry is read twice, in the order of the journal and
// in that of the rows: both times it must be the same, or a file that changes while it is read could
// show the signed entries first, and others then.
type multiset struct {
	count int64
	// sum is the exclusive or of a hash of each entry. The hashes are keyed: nobody who does not
	// know the key can choose entries so that it comes out the same (Clarke and others, Incremental
	// Multiset Hash Functions).
	sum [sha256.Size]byte
}

// add adds an entry.
func (m *multiset) add(key [sha256.Size]byte, body []byte) {
	leaf := translog.LeafHash(body)
	hash := sha256.Sum256(append(key[:], leaf[:]...))
	m.merge(multiset{count: 1, sum: hash})
}

// merge adds the entries of another set.
func (m *multiset) merge(other multiset) {
	m.count += other.count
	for i, part := range other.sum {
		m.sum[i] ^= part
	}
}
