package engine

import (
	"encoding/binary"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

func TestTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	cache := newCache[escrow.SecretHash, escrow.APIKey](maxCachedKeys)
	hash := func(i int) (hash escrow.SecretHash) {
		binary.BigEndian.PutUint64(hash[:], uint64(i))
		return hash
	}
	for i := range maxCachedKeys + 10 {
		cache.Add(hash(i), escrow.APIKey{Hash: hash(i)})
	}
	known := 0
	for i := range maxCachedKeys + 10 {
		if _, ok := cache.Get(hash(i)); ok {
			known++
		}
	}
	if known != maxCachedKeys {
		t.Errorf("of %d keys the cache knows %d, want %d", maxCachedKeys+10, known, maxCachedKeys)
	}
}
