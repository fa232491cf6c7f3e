package verify

import (
	"context"
	"fmt"

	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// storedTree is the tree over a journal as it is stored, in tiles.
type storedTree struct {
	// size is that of the last checkpoint: of so many leaves all hashes must be there.
	size int64
	tile func(ctx context.Context, id translog.TileID) (hashes []byte, found bool, err error)
}

// tileInMaking is a tile that is being made anew.
type tileInMaking struct {
	number int64
	hashes []translog.Hash
}

// addLeaf adds a leaf to the tree.
func (c *chain) addLeaf(ctx context.Context, leaf translog.Hash) error {
	c.roots.Add(leaf)
	if c.tree == nil {
		return nil
	}

	// A tile that is full is one hash of the level above.
	for level := 0; ; level++ {
		if level == len(c.tiles) {
			c.tiles = append(c.tiles, tileInMaking{})
		}
		tile := &c.tiles[level]
		tile.hashes = append(tile.hashes, leaf)
		if len(tile.hashes) < translog.TileWidth {
			return nil
		}

		if err := c.compareTile(ctx, level); err != nil || c.broken {
			return err
		}

		var above translog.Roots
		for _, hash := range tile.hashes {
			above.Add(hash)
		}
		leaf = above.Root()
		*tile = tileInMaking{number: tile.number + 1, hashes: tile.hashes[:0]}
	}
}

// compareTile compares the tile of a level that is being made anew with the stored one,
// as far as both go.
func (c *chain) compareTile(ctx context.Context, level int) error {
	if c.tree == nil || level >= len(c.tiles) {
		return nil
	}
	tile := c.tiles[level]
	stored, _, err := c.tree.tile(ctx, translog.TileID{Level: level, Number: tile.number})
	if err != nil {
		return err
	}

	const size = len(translog.Hash{})
	for i, hash := range tile.hashes {
		if (i+1)*size > len(stored) {
			break
		}
		if inTree := translog.Hash(stored[i*size : (i+1)*size]); inTree != hash {
			c.broken = true
			c.v.differ(c.of, hashName(level, tile.number, i), "the hash "+hash.String(),
				inTree.String()+", as the tree has it")
			return nil
		}
	}

	// The tile may have grown meanwhile, but never shrinks.
	due := c.tree.size>>(translog.TileHeight*level) - tile.number*translog.TileWidth
	if due = min(due, int64(len(tile.hashes))); int64(len(stored)/size) < due {
		c.broken = true
		c.v.differ(c.of, fmt.Sprintf("tile %d of level %d", tile.number, level),
			fmt.Sprintf("%d hashes", len(stored)/size), fmt.Sprintf("at least %d", due))
	}
	return nil
}

// hashName says which entries the hash at a place of a tile is of.
func hashName(level int, number int64, place int) string {
	const width = translog.TileWidth
	subtree := int64(1) << (translog.TileHeight * level)
	first := (number*width + int64(place)) * subtree
	if level == 0 {
		return entryName(first + 1)
	}
	return fmt.Sprintf("entries %d to %d", first+1, first+subtree)
}

// compareLastTiles compares the tiles that are not full, and finds leaves of entries that
// are gone.
func (c *chain) compareLastTiles(ctx context.Context) error {
	if c.tree == nil {
		return nil
	}
	for level := range c.tiles {
		if err := c.compareTile(ctx, level); err != nil || c.broken {
			return err
		}
	}

	number := c.roots.Size() / translog.TileWidth
	stored, _, err := c.tree.tile(ctx, translog.TileID{Number: number})
	if err != nil {
		return err
	}
	leaves := number*translog.TileWidth + int64(len(stored)/len(translog.Hash{}))
	if leaves <= c.roots.Size() {
		return nil
	}

	// The journal may have grown meanwhile, and its tree with it.
	if last, err := c.lastNow(ctx); err != nil || leaves <= last {
		return err
	}
	c.v.differ(c.of, entryName(c.roots.Size()+1), nothing, fmt.Sprintf("an entry, as the tree has %d", leaves))
	return nil
}
