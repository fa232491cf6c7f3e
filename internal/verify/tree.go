package verify

import (
	"context"
	"fmt"

	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// keptTree is the tree of a journal as it is kept, in tiles.
type keptTree struct {
	// size is that of the last checkpoint: of so many leaves all hashes must be there.
	size int64
	tile func(ctx context.Context, id translog.TileID) (hashes []byte, found bool, err error)
}

// tileOf is a tile that is being made anew.
type tileOf struct {
	number int64
	hashes []translog.Hash
}

// add adds a leaf to the tree.
func (c *chain) add(ctx context.Context, leaf translog.Hash) error {
	c.roots.Add(leaf)
	if c.kept == nil {
		return nil
	}

	// A tile that is full is one hash of the level above.
	for level := 0; ; level++ {
		if level == len(c.tiles) {
			c.tiles = append(c.tiles, tileOf{})
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
		*tile = tileOf{tile.number + 1, tile.hashes[:0]}
	}
}

// compareTile compares the tile of a level that is being made anew with the one that is
// kept, as far as both go.
func (c *chain) compareTile(ctx context.Context, level int) error {
	if c.kept == nil || level >= len(c.tiles) {
		return nil
	}
	tile := c.tiles[level]
	kept, _, err := c.kept.tile(ctx, translog.TileID{Level: level, Number: tile.number})
	if err != nil {
		return err
	}

	const size = len(translog.Hash{})
	for i, hash := range tile.hashes {
		if (i+1)*size > len(kept) {
			break
		}
		if found := translog.Hash(kept[i*size : (i+1)*size]); found != hash {
			c.broken = true
			c.v.differ(c.of, c.hashName(level, tile.number, i), "the hash "+hash.String(), found.String()+", as the tree has it")
			return nil
		}
	}

	// The follower of the journal may have gone on meanwhile, but never back.
	due := c.kept.size>>(translog.TileHeight*level) - tile.number*translog.TileWidth
	if due = min(due, int64(len(tile.hashes))); int64(len(kept)/size) < due {
		c.broken = true
		c.v.differ(c.of, fmt.Sprintf("tile %d of level %d", tile.number, level), fmt.Sprintf("%d hashes", len(kept)/size),
			fmt.Sprintf("%d at least", due))
	}
	return nil
}

// hashName says what the hash at a place of a tile is of.
func (c *chain) hashName(level int, number int64, place int) string {
	const width = translog.TileWidth
	subtree := int64(1) << (translog.TileHeight * level)
	first := (number*width + int64(place)) * subtree
	if level == 0 {
		return entryName(first + 1)
	}
	return fmt.Sprintf("entries %d to %d", first+1, first+subtree)
}

// compareLastTiles compares the tiles that are not full, and finds leaves of entries that
// are no more. end tells the sequence of the last entry by now.
func (c *chain) compareLastTiles(ctx context.Context, end func(context.Context) (int64, error)) error {
	if c.kept == nil {
		return nil
	}
	for level := range c.tiles {
		if err := c.compareTile(ctx, level); err != nil || c.broken {
			return err
		}
	}

	number := c.roots.Size() / translog.TileWidth
	kept, _, err := c.kept.tile(ctx, translog.TileID{Number: number})
	if err != nil {
		return err
	}

	leaves := number*translog.TileWidth + int64(len(kept)/len(translog.Hash{}))
	if leaves <= c.roots.Size() {
		return nil
	}
	if size, err := end(ctx); err != nil || leaves <= size {
		return err
	}
	c.v.differ(c.of, entryName(c.roots.Size()+1), nothing, fmt.Sprintf("an entry, as the tree has %d", leaves))
	return nil
}
