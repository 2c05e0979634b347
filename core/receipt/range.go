package receipt

import (
	"errors"
	"fmt"
	"math/bits"

	"daulat/core/canon"
)

// Range is an append-only Merkle tree of which only the frontier is kept: the
// roots of its full subtrees, largest first. Its root is that of RFC 6962 over
// the same leaves, with BLAKE3 and domain-separated nodes.
type Range struct {
	Count uint64       `cbor:"count"`
	Peaks []canon.Hash `cbor:"peaks"`
}

var nodePrefix = []byte("daulat/node/1")

func node(left, right canon.Hash) canon.Hash {
	buf := make([]byte, 0, len(nodePrefix)+2*len(left))
	buf = append(buf, nodePrefix...)
	buf = append(buf, left[:]...)
	return canon.Sum(append(buf, right[:]...))
}

// Append returns the range with one more leaf; r is unchanged.
func (r Range) Append(leaf canon.Hash) Range {
	keep := len(r.Peaks) - bits.TrailingZeros64(^r.Count)
	for i := len(r.Peaks) - 1; i >= keep; i-- {
		leaf = node(r.Peaks[i], leaf)
	}
	peaks := make([]canon.Hash, keep, keep+1)
	copy(peaks, r.Peaks)
	return Range{Count: r.Count + 1, Peaks: append(peaks, leaf)}
}

// Root is the hash of the whole range; the empty range has the zero hash.
func (r Range) Root() canon.Hash {
	if len(r.Peaks) == 0 {
		return canon.Hash{}
	}
	root := r.Peaks[len(r.Peaks)-1]
	for i := len(r.Peaks) - 2; i >= 0; i-- {
		root = node(r.Peaks[i], root)
	}
	return root
}

// Validate reports a frontier that does not fit its count.
func (r Range) Validate() error {
	if bits.OnesCount64(r.Count) != len(r.Peaks) {
		return fmt.Errorf("range of %d leaves has %d peaks", r.Count, len(r.Peaks))
	}
	return nil
}

// Prove returns the path that links leaf i to the root of all leaves.
func Prove(leaves []canon.Hash, i uint64) ([]canon.Hash, error) {
	if i >= uint64(len(leaves)) {
		return nil, fmt.Errorf("leaf %d lies outside a range of %d", i, len(leaves))
	}
	return prove(leaves, i), nil
}

func prove(leaves []canon.Hash, i uint64) []canon.Hash {
	if len(leaves) == 1 {
		return nil
	}
	k := split(uint64(len(leaves)))
	if i < k {
		return append(prove(leaves[:k], i), treeRoot(leaves[k:]))
	}
	return append(prove(leaves[k:], i-k), treeRoot(leaves[:k]))
}

func treeRoot(leaves []canon.Hash) canon.Hash {
	var r Range
	for _, leaf := range leaves {
		r = r.Append(leaf)
	}
	return r.Root()
}

// split is the largest power of two below n, for n > 1.
func split(n uint64) uint64 { return 1 << (bits.Len64(n-1) - 1) }

// ErrPath says that a path does not link a leaf to a root.
var ErrPath = errors.New("path does not lead to the root")

// VerifyPath checks that leaf is number i (from 0) of count leaves under root.
func VerifyPath(root canon.Hash, count, i uint64, leaf canon.Hash, path []canon.Hash) error {
	got, ok := climb(count, i, leaf, path)
	if !ok || got != root {
		return ErrPath
	}
	return nil
}

func climb(count, i uint64, leaf canon.Hash, path []canon.Hash) (canon.Hash, bool) {
	if i >= count {
		return canon.Hash{}, false
	}
	if count == 1 {
		return leaf, len(path) == 0
	}
	if len(path) == 0 {
		return canon.Hash{}, false
	}
	k, last := split(count), len(path)-1
	if i < k {
		left, ok := climb(k, i, leaf, path[:last])
		return node(left, path[last]), ok
	}
	right, ok := climb(count-k, i-k, leaf, path[:last])
	return node(path[last], right), ok
}
