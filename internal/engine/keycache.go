package engine

import (
	"sync"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/escrowgrid/escrowgrid/internal/escrow"
)

// maxCachedKeys bounds the keys whose records are kept in memory, about 300
// bytes each.
const maxCachedKeys = 10_000

// keyCache keeps the records of API keys by the hash of their secret.
type keyCache struct {
	mu   sync.Mutex
	keys *lru.Cache[escrow.SecretHash, escrow.APIKey]
	// changes counts the calls of forget: a record that was read before a
	// change must not be kept after it.
	changes uint64
}

func newKeyCache() *keyCache {
	keys, err := lru.New[escrow.SecretHash, escrow.APIKey](maxCachedKeys)
	if err != nil {
		panic(err) // only for a size below 1
	}
	return &keyCache{keys: keys}
}

// get returns a key's record. The mark is for put.
func (c *keyCache) get(hash escrow.SecretHash) (key escrow.APIKey, known bool, mark uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	key, known = c.keys.Get(hash)
	return key, known, c.changes
}

// put keeps a record that was read since get gave the mark.
func (c *keyCache) put(key escrow.APIKey, mark uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if mark == c.changes {
		c.keys.Add(key.Hash, key)
	}
}

// forget forgets keys that have changed.
func (c *keyCache) forget(changed []escrow.APIKey) {
	if len(changed) == 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.changes++
	for _, key := range changed {
		c.keys.Remove(key.Hash)
	}
}
