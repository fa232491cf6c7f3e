package translog_test

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/escrowgrid/escrowgrid/internal/translog"
)

// The roots of the trees of the first 0 to 8 of these leaves, as in the tests of
// Certificate Transparency's own implementation.
func TestRootsAreThoseOfCertificateTransparency(t *testing.T) {
	leaves := []string{
		"", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f",
	}
	roots := []string{
		"e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
		"6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
		"fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
		"aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
		"d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
		"4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
		"76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
		"ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
		"5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
	}

	var growing translog.Roots
	var hashes []translog.Hash
	for size, want := range roots {
		if size > 0 {
			leaf, err := hex.DecodeString(leaves[size-1])
			if err != nil {
				t.Fatal(err)
			}
			hashes = append(hashes, translog.LeafHash(leaf))
			growing.Add(translog.LeafHash(leaf))
		}
		root, _, err := translog.Tree{}.Append(hashes)
		if got := hex.EncodeToString(root[:]); got != want || err != nil {
			t.Errorf("the root of %d leaves is %s, %v, want %s", size, got, err, want)
		}
		if streamed := growing.Root(); streamed != root || growing.Size() != int64(size) {
			t.Errorf("leaf after leaf, the root of %d is %x", growing.Size(), streamed)
		}
	}
}

// memoryTree is a tree whose tiles are in memory.
type memoryTree struct {
	size  int64
	tiles map[translog.TileID][]byte
}

func (m *memoryTree) tree() translog.Tree {
	return translog.Tree{Size: m.size, Read: func(ids []translog.TileID) (tiles []translog.Tile, err error) {
		for _, id := range ids {
			hashes, ok := m.tiles[id]
			if !ok {
				return nil, fmt.Errorf("no tile %v", id)
			}
			tiles = append(tiles, translog.Tile{Level: id.Level, Number: id.Number, Hashes: hashes})
		}
		return tiles, nil
	}}
}

func (m *memoryTree) append(t *rapid.T, leaves []translog.Hash) translog.Hash {
	root, tiles, err := m.tree().Append(leaves)
	if err != nil {
		t.Fatal(err)
	}

	if m.tiles == nil {
		m.tiles = make(map[translog.TileID][]byte)
	}
	for _, tile := range tiles {
		id := translog.TileID{Level: tile.Level, Number: tile.Number}
		if len(tile.Hashes) <= len(m.tiles[id]) || len(tile.Hashes) > translog.TileWidth*len(translog.Hash{}) {
			t.Errorf("tile %v goes from %d to %d bytes", id, len(m.tiles[id]), len(tile.Hashes))
		}
		m.tiles[id] = tile.Hashes
	}
	m.size += int64(len(leaves))
	return root
}

// leaf is the hash of a leaf that holds a number.
func leaf(n int64) translog.Hash { return translog.LeafHash(fmt.Append(nil, n)) }

// A tree that grows piece by piece proves to whoever has its roots that each leaf is in it
// and that it only grew, and proves nothing else.
func TestTreesProveInclusionAndConsistency(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var grown memoryTree
		var growing translog.Roots
		roots := map[int64]translog.Hash{}
		for range rapid.IntRange(1, 6).Draw(t, "pieces") {
			leaves := make([]translog.Hash, rapid.IntRange(1, 400).Draw(t, "leaves"))
			for i := range leaves {
				leaves[i] = leaf(grown.size + int64(i))
				growing.Add(leaves[i])
			}
			root := grown.append(t, leaves)
			if root != growing.Root() {
				t.Fatalf("the root of %d leaves is %v, leaf after leaf %v", grown.size, root, growing.Root())
			}
			roots[grown.size] = root
		}

		tree := grown.tree()
		size := rapid.SampledFrom(sorted(roots)).Draw(t, "size")
		if root, err := tree.Root(size); err != nil || root != roots[size] {
			t.Errorf("the root of %d is now %v, %v", size, root, err)
		}

		sequence := rapid.Int64Range(1, size).Draw(t, "sequence")
		proof, err := tree.ProveInclusion(sequence, size)
		if err != nil {
			t.Fatal(err)
		}
		if err := translog.CheckInclusion(proof, size, roots[size], sequence, leaf(sequence-1)); err != nil {
			t.Errorf("leaf %d is not proven to be in %d: %v", sequence, size, err)
		}
		if err := translog.CheckInclusion(proof, size, roots[size], sequence, leaf(size)); err == nil {
			t.Errorf("another leaf is proven to be %d of %d", sequence, size)
		}

		from := rapid.SampledFrom(sorted(roots)).Draw(t, "from")
		from, to := min(from, size), max(from, size)
		proof, err = tree.ProveConsistency(from, to)
		if err != nil {
			t.Fatal(err)
		}
		if err := translog.CheckConsistency(proof, from, roots[from], to, roots[to]); err != nil {
			t.Errorf("the tree of %d is not proven to begin with that of %d: %v", to, from, err)
		}
		if err := translog.CheckConsistency(proof, from, leaf(0), to, roots[to]); err == nil && from > 1 {
			t.Errorf("a tree with another root is proven to be the beginning of %d", to)
		}
	})
}

func sorted(roots map[int64]translog.Hash) []int64 { return slices.Sorted(maps.Keys(roots)) }

func TestTreesRefuseWhatTheyDoNotHave(t *testing.T) {
	root, tiles, err := translog.Tree{}.Append([]translog.Hash{leaf(0), leaf(1), leaf(2)})
	if err != nil {
		t.Fatal(err)
	}
	tree := translog.Tree{Size: 3, Read: func(ids []translog.TileID) ([]translog.Tile, error) {
		return tiles[:len(ids)], nil
	}}

	for name, refused := range map[string]func() error{
		"a root beyond the end":      func() error { _, err := tree.Root(4); return err },
		"a negative root":            func() error { _, err := tree.Root(-1); return err },
		"an entry 0":                 func() error { _, err := tree.ProveInclusion(0, 3); return err },
		"an entry beyond the size":   func() error { _, err := tree.ProveInclusion(3, 2); return err },
		"a size beyond the end":      func() error { _, err := tree.ProveInclusion(1, 4); return err },
		"consistency with nothing":   func() error { _, err := tree.ProveConsistency(0, 3); return err },
		"consistency backwards":      func() error { _, err := tree.ProveConsistency(3, 2); return err },
		"consistency beyond the end": func() error { _, err := tree.ProveConsistency(1, 4); return err },
		"a tree without its tiles":   func() error { _, err := translog.Tree{Size: 3}.Root(3); return err },
		"an appending without tiles": func() error { _, _, err := translog.Tree{Size: 3}.Append([]translog.Hash{root}); return err },
		"a reader that reads nothing": func() error {
			none := func([]translog.TileID) ([]translog.Tile, error) { return nil, nil }
			_, err := translog.Tree{Size: 3, Read: none}.Root(3)
			return err
		},
		"a tile that is too short": func() error {
			short := func([]translog.TileID) ([]translog.Tile, error) {
				return []translog.Tile{{Hashes: tiles[0].Hashes[:32]}}, nil
			}
			_, err := translog.Tree{Size: 3, Read: short}.Root(3)
			return err
		},
	} {
		if refused() == nil {
			t.Errorf("%s is not refused", name)
		}
	}
}
