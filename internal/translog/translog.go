// Package translog makes a transparency log of a journal, like those of Certificate
// Transparency (RFC 6962) and Go's checksum database: a Merkle tree over the entries, and
// signed checkpoints that commit to the tree's size and root at a time. Whoever holds a
// checkpoint can check later that a journal still begins with the same entries.
//
// A leaf is an entry's stored bytes. Entry n of the journal, counted from 1, is leaf
// n-1 of the tree.
package translog

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/mod/sumdb/tlog"
)

// Hash is a hash of the tree: SHA-256, with RFC 6962's prefixes for leaves and nodes.
type Hash = tlog.Hash

// LeafHash returns the hash of an entry: SHA-256 of a zero byte and the entry's bytes
// (RFC 6962, 2.1).
func LeafHash(entry []byte) Hash { return tlog.RecordHash(entry) }

// EmptyRoot is the root of a tree without entries: SHA-256 of nothing (RFC 6962, 2.1).
func EmptyRoot() Hash { return sha256.Sum256(nil) }

// TileHeight is the height of the tiles that a tree is stored in: a tile holds the hashes
// of 256 subtrees of one size.
const TileHeight = 8

// TileWidth is how many hashes a full tile has.
const TileWidth = 1 << TileHeight

// Tile is a run of hashes of one level. Its level and number say of which subtrees. The
// last tile of a level may have fewer than TileWidth hashes.
type Tile struct {
	Level  int
	Number int64
	// Hashes are the subtrees' hashes, 32 bytes each, one after the other.
	Hashes []byte
}

// TileReader returns stored tiles in the order of their ids. Each has at least as many
// hashes as it had after the last Append.
type TileReader func([]TileID) ([]Tile, error)

// TileID names a tile.
type TileID struct {
	Level  int
	Number int64
}

// Tree is a tree whose tiles are stored elsewhere. The zero value is an empty tree.
type Tree struct {
	// Size is the number of leaves.
	Size int64
	// Read reads the tree's tiles. It may be nil for an empty tree.
	Read TileReader
}

// ReadHashes implements tlog.HashReader.
func (t Tree) ReadHashes(indexes []int64) ([]Hash, error) {
	ids := make([]TileID, 0, len(indexes))
	places := make(map[TileID]int, len(indexes))
	for _, index := range indexes {
		tile := tlog.TileForIndex(TileHeight, index)
		id := TileID{tile.L, tile.N}
		if _, named := places[id]; !named {
			places[id] = len(ids)
			ids = append(ids, id)
		}
	}

	if len(ids) == 0 {
		return nil, nil
	}
	if t.Read == nil {
		return nil, errors.New("an empty tree has no hashes")
	}
	tiles, err := t.Read(ids)
	if err != nil {
		return nil, err
	}
	if len(tiles) != len(ids) {
		return nil, fmt.Errorf("%d tiles were read instead of %d", len(tiles), len(ids))
	}

	hashes := make([]Hash, len(indexes))
	for i, index := range indexes {
		wanted := tlog.TileForIndex(TileHeight, index)
		tile := tiles[places[TileID{wanted.L, wanted.N}]]
		if hashes[i], err = tlog.HashFromTile(wanted, tile.Hashes, index); err != nil {
			return nil, fmt.Errorf("tile %d of level %d: %w", wanted.N, wanted.L, err)
		}
	}
	return hashes, nil
}

// Root returns the root of the tree of the first size leaves, of which the tree must have
// at least as many.
func (t Tree) Root(size int64) (Hash, error) {
	if size == 0 {
		return EmptyRoot(), nil
	}
	if size < 0 || size > t.Size {
		return Hash{}, fmt.Errorf("a tree of %d leaves has no root of %d", t.Size, size)
	}
	return tlog.TreeHash(size, t)
}

// Append returns the root of the tree with more leaves, and the tiles that are new or
// have more hashes than before.
func (t Tree) Append(leaves []Hash) (root Hash, tiles []Tile, err error) {
	added := overlay{tree: t, hashes: make(map[int64]Hash, 2*len(leaves))}
	for i, leaf := range leaves {
		n := t.Size + int64(i)
		hashes, err := tlog.StoredHashesForRecordHash(n, leaf, added)
		if err != nil {
			return Hash{}, nil, err
		}
		first := tlog.StoredHashIndex(0, n)
		for j, hash := range hashes {
			added.hashes[first+int64(j)] = hash
		}
	}

	size := t.Size + int64(len(leaves))
	for _, changed := range tlog.NewTiles(TileHeight, t.Size, size) {
		content, err := tlog.ReadTileData(changed, added)
		if err != nil {
			return Hash{}, nil, err
		}
		tiles = append(tiles, Tile{Level: changed.L, Number: changed.N, Hashes: content})
	}

	if size == 0 {
		return EmptyRoot(), nil, nil
	}
	root, err = tlog.TreeHash(size, added)
	return root, tiles, err
}

// overlay is a stored tree with further hashes that are in memory alone.
type overlay struct {
	tree   Tree
	hashes map[int64]Hash
}

// ReadHashes implements tlog.HashReader.
func (o overlay) ReadHashes(indexes []int64) ([]Hash, error) {
	found := make([]Hash, len(indexes))
	var missing []int64
	var places []int
	for i, index := range indexes {
		if hash, ok := o.hashes[index]; ok {
			found[i] = hash
			continue
		}
		missing, places = append(missing, index), append(places, i)
	}

	stored, err := o.tree.ReadHashes(missing)
	for i, hash := range stored {
		found[places[i]] = hash
	}
	return found, err
}

// ProveInclusion returns the proof that the entry of a sequence is in the tree of the
// first size entries: the audit path of RFC 6962, 2.1.1.
func (t Tree) ProveInclusion(sequence, size int64) ([]Hash, error) {
	if sequence < 1 || sequence > size || size > t.Size {
		return nil, fmt.Errorf("entry %d is not in a tree of %d", sequence, size)
	}
	return tlog.ProveRecord(size, sequence-1, t)
}

// CheckInclusion returns an error unless a proof shows that the tree of a size and root
// has this leaf hash at a sequence.
func CheckInclusion(proof []Hash, size int64, root Hash, sequence int64, leaf Hash) error {
	return tlog.CheckRecord(proof, size, root, sequence-1, leaf)
}

// ProveConsistency returns the proof that the tree of the first to entries begins with
// that of the first from entries (RFC 6962, 2.1.2).
func (t Tree) ProveConsistency(from, to int64) ([]Hash, error) {
	if from < 1 || from > to || to > t.Size {
		return nil, fmt.Errorf("there is no proof from a tree of %d to one of %d", from, to)
	}
	return tlog.ProveTree(to, from, t)
}

// CheckConsistency returns an error unless a proof shows that the tree of one size and
// root begins with the tree of a smaller size and its root.
func CheckConsistency(proof []Hash, from int64, fromRoot Hash, to int64, toRoot Hash) error {
	return tlog.CheckTree(proof, to, toRoot, from, fromRoot)
}

// Roots computes the roots of a growing tree, leaf after leaf, in memory that grows with
// the logarithm of its size. The zero value is an empty tree.
type Roots struct {
	size int64
	// perfect holds the roots of the perfect subtrees that the tree consists of, the
	// largest first.
	perfect []Hash
}

// Add appends a leaf.
func (r *Roots) Add(leaf Hash) {
	r.size++
	// Two subtrees of one size become one of twice the size.
	for merged := r.size; merged%2 == 0; merged /= 2 {
		last := len(r.perfect) - 1
		leaf = tlog.NodeHash(r.perfect[last], leaf)
		r.perfect = r.perfect[:last]
	}
	r.perfect = append(r.perfect, leaf)
}

// Size returns the number of leaves.
func (r *Roots) Size() int64 { return r.size }

// Root returns the root of the leaves so far.
func (r *Roots) Root() Hash {
	if r.size == 0 {
		return EmptyRoot()
	}
	root := r.perfect[len(r.perfect)-1]
	for i := len(r.perfect) - 2; i >= 0; i-- {
		root = tlog.NodeHash(r.perfect[i], root)
	}
	return root
}
