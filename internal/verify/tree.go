package verify

import (
	"context"
	"fmt"
	"math"

	"github.com/escrowgrid/escrowgrid/internal/store"
	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// storedTree is the tree over a journal as it is stored, in tiles.
type storedTree struct {
	// size is that of the last checkpoint: of so many leaves all hashes must be there.
	size int64
	tile func(ctx context.Context, id translog.TileID) (hashes []byte, found bool, err error)
	// each calls a function for every tile that is stored, with its bytes.
	each func(context.Context, func(level, number, bytes int64)) error
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
	stored, err := c.readTile(ctx, translog.TileID{Level: level, Number: tile.number})
	if err != nil || c.broken {
		return err
	}

	const size = len(translog.Hash{})
	for i, hash := range tile.hashes {
		if (i+1)*size > len(stored) {
			break
		}
		if inTree := translog.Hash(stored[i*size : (i+1)*size]); inTree != hash {
			first, last := entriesOfHash(level, tile.number, i)
			c.broken, c.brokenAt = true, last
			c.v.differIn(c.of, first, last, "the hash "+hash.String(),
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

// readTile reads a tile. One that cannot be read breaks the chain.
func (c *chain) readTile(ctx context.Context, id translog.TileID) (hashes []byte, err error) {
	hashes, _, err = c.tree.tile(ctx, id)
	if store.IsUnreadable(ctx, err) {
		c.broken = true
		c.v.differUnreadable(c.of, fmt.Sprintf("tile %d of level %d", id.Number, id.Level), err)
		return nil, nil
	}
	return hashes, err
}

// entriesOfHash are the entries that the hash at a place of a tile is of.
func entriesOfHash(level int, number int64, place int) (first, last int64) {
	subtree := int64(1) << (translog.TileHeight * level)
	before := (number*translog.TileWidth + int64(place)) * subtree
	return before + 1, before + subtree
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
	stored, err := c.readTile(ctx, translog.TileID{Number: number})
	if err != nil || c.broken {
		return err
	}
	leaves := number*translog.TileWidth + int64(len(stored)/len(translog.Hash{}))
	if leaves <= c.roots.Size() {
		return c.findStrayTiles(ctx)
	}

	// The journal may have grown meanwhile, and its tree with it.
	if last, err := c.lastNow(ctx); err != nil || leaves <= last {
		return err
	}
	c.v.differAt(c.of, c.roots.Size()+1, nothing, fmt.Sprintf("an entry, as the tree has %d", leaves))
	return nil
}

// findStrayTiles finds a tile that the tree has no place for, or that ends within a hash. The
// tree would grow into it: a tile that is longer than the one that is due is kept.
func (c *chain) findStrayTiles(ctx context.Context) error {
	var farthest struct{ level, number, bytes, leaves int64 }
	err := c.tree.each(ctx, func(level, number, bytes int64) {
		if leaves := leavesOf(level, number, bytes); leaves > farthest.leaves {
			farthest.level, farthest.number, farthest.bytes, farthest.leaves = level, number, bytes, leaves
		}
	})
	if err != nil || farthest.leaves <= c.roots.Size() {
		return err
	}

	// The journal may have grown meanwhile, and its tree with it.
	last, err := c.lastNow(ctx)
	if err != nil || farthest.leaves <= last {
		return err
	}
	c.v.differ(c.of, fmt.Sprintf("tile %d of level %d", farthest.number, farthest.level),
		fmt.Sprintf("%d bytes", farthest.bytes), fmt.Sprintf("what the tree of %d entries has", last))
	return nil
}

// leavesOf is how many leaves a tree has at least that has a tile of so many bytes; more than
// any has for what is none of its tiles.
func leavesOf(level, number, bytes int64) int64 {
	const size, most = int64(len(translog.Hash{})), math.MaxInt64
	if level < 0 || level > 6 || number < 0 || bytes == 0 || bytes%size != 0 || bytes > translog.TileWidth*size {
		return most
	}
	shift := translog.TileHeight * level
	if number >= most>>shift/translog.TileWidth-1 {
		return most
	}
	return (number*translog.TileWidth + bytes/size) << shift
}
