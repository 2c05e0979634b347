package receipt_test

import (
	"errors"
	"testing"

	"daulat/core/canon"
	"daulat/core/receipt"
)

func leaves(n int) []canon.Hash {
	all := make([]canon.Hash, n)
	for i := range all {
		all[i] = canon.Sum([]byte{byte(i), byte(i >> 8)})
	}
	return all
}

// root is RFC 6962's definition, written down once more.
func root(l []canon.Hash) canon.Hash {
	if len(l) == 1 {
		return l[0]
	}
	k := 1
	for 2*k < len(l) {
		k *= 2
	}
	left, right := root(l[:k]), root(l[k:])
	return canon.Sum(append(append([]byte("daulat/node/1"), left[:]...), right[:]...))
}

func TestRangeIsTheTreeAndEveryPathHolds(t *testing.T) {
	var r receipt.Range
	if !r.Root().IsZero() {
		t.Fatal("the empty range has a root")
	}
	for n := 1; n <= 70; n++ {
		all := leaves(n)
		r = r.Append(all[n-1])
		if err := r.Validate(); err != nil {
			t.Fatal(err)
		}
		if r.Root() != root(all) {
			t.Fatalf("root of %d leaves differs from the definition", n)
		}
		for i := range all {
			path, err := receipt.Prove(all, uint64(i))
			if err != nil {
				t.Fatal(err)
			}
			verify := func(count, i uint64, leaf canon.Hash, path []canon.Hash) error {
				return receipt.VerifyPath(r.Root(), count, i, leaf, path)
			}
			if err := verify(uint64(n), uint64(i), all[i], path); err != nil {
				t.Fatalf("leaf %d of %d: %v", i, n, err)
			}
			for j := range all {
				if j != i && verify(uint64(n), uint64(j), all[i], path) == nil {
					t.Fatalf("leaf %d of %d passes as %d", i, n, j)
				}
			}
			if !errors.Is(verify(uint64(n), uint64(i), canon.Hash{1}, path), receipt.ErrPath) {
				t.Fatal("another leaf passes")
			}
			if verify(uint64(n), uint64(i), all[i], append(path, canon.Hash{})) == nil {
				t.Fatal("a longer path passes")
			}
			if len(path) > 0 && verify(uint64(n), uint64(i), all[i], path[1:]) == nil {
				t.Fatal("a shorter path passes")
			}
		}
	}
}

func TestAppendLeavesTheOldRangeAlone(t *testing.T) {
	var r receipt.Range
	for _, l := range leaves(5) {
		r = r.Append(l)
	}
	before := r.Root()
	a, b := r.Append(canon.Hash{1}), r.Append(canon.Hash{2})
	if r.Root() != before || a.Root() == b.Root() {
		t.Fatal("appending changed the range it came from")
	}
}
