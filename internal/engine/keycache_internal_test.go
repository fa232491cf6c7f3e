package engine

import (
	"encoding/binary"
	"testing"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// A record that was read from the database before a change must not come into the
// cache after it: it would be believed for good.
func TestARecordReadBeforeAChangeIsNotKept(t *testing.T) {
	t.Parallel()
	key := escrow.APIKey{Hash: escrow.HashSecret("a"), Label: "as it was"}
	other := escrow.APIKey{Hash: escrow.HashSecret("b")}
	cache := newKeyCache()

	_, known, mark := cache.get(key.Hash)
	if known {
		t.Error("an empty cache knows a key")
	}
	cache.forget([]escrow.APIKey{key})
	cache.put(key, mark)
	if kept, known, _ := cache.get(key.Hash); known {
		t.Errorf("the key was kept: %+v", kept)
	}

	_, _, mark = cache.get(key.Hash)
	cache.forget(nil) // A batch that changes no key.
	cache.put(key, mark)
	cache.put(other, mark)
	if kept, known, _ := cache.get(key.Hash); !known || kept.Label != key.Label {
		t.Errorf("a key that did not change since is not kept: %+v", kept)
	}
	cache.forget([]escrow.APIKey{key})
	if kept, known, _ := cache.get(key.Hash); known {
		t.Errorf("after its change the key was kept: %+v", kept)
	}
	if _, known, _ := cache.get(other.Hash); !known {
		t.Error("after the change of one key another is forgotten")
	}
}

func TestTheCacheIsBounded(t *testing.T) {
	t.Parallel()
	cache := newKeyCache()
	hash := func(i int) (hash escrow.SecretHash) {
		binary.BigEndian.PutUint64(hash[:], uint64(i))
		return hash
	}
	for i := range maxCachedKeys + 10 {
		_, _, mark := cache.get(hash(i))
		cache.put(escrow.APIKey{Hash: hash(i)}, mark)
	}
	known := 0
	for i := range maxCachedKeys + 10 {
		if _, ok, _ := cache.get(hash(i)); ok {
			known++
		}
	}
	if known != maxCachedKeys {
		t.Errorf("of %d keys the cache knows %d, want %d", maxCachedKeys+10, known, maxCachedKeys)
	}
}
