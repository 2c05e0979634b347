package blob

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"testing"

	"lukechampine.com/blake3/bao"

	"daulat/core/canon"
)

// sizes has every class of tree: empty, chunk and group boundaries, full and
// ragged trees.
var sizes = []int{
	0, 1, 1023, 1024, 1025, GroupSize - 1, GroupSize, GroupSize + 1,
	2 * GroupSize, 2*GroupSize + 1, 3 * GroupSize, 4*GroupSize - 1, 5*GroupSize + 7, 8 * GroupSize,
}

func random(seed uint64, size int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	p := make([]byte, size)
	rand.NewChaCha8(key).Read(p)
	return p
}

func open(t testing.TB) *Store {
	t.Helper()
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t testing.TB, s *Store, data []byte) canon.CID {
	t.Helper()
	c, size, err := s.Put(t.Context(), bytes.NewReader(data))
	if err != nil || size != int64(len(data)) {
		t.Fatalf("stored %d bytes: %v", size, err)
	}
	return c
}

func writeSlice(t testing.TB, s *Store, c canon.CID, offset, length int) []byte {
	t.Helper()
	b, err := s.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	var w bytes.Buffer
	if err := b.WriteSlice(t.Context(), &w, int64(offset), int64(length)); err != nil {
		t.Fatal(err)
	}
	return w.Bytes()
}

func TestTreesAndSlicesAreBao(t *testing.T) {
	s := open(t)
	for _, size := range sizes {
		data := random(uint64(size), size)
		c := put(t, s, data)
		if c != canon.NewCID(canon.Raw, canon.Sum(data)) {
			t.Fatalf("%d bytes are stored as %s", size, c)
		}
		combined, root := bao.EncodeBuf(data, groupLog, false)
		outboard, _ := bao.EncodeBuf(data, groupLog, true)
		if tree, err := os.ReadFile(s.path(trees, c)); err != nil || !bytes.Equal(tree, outboard) {
			t.Fatalf("tree over %d bytes differs from the reference: %v", size, err)
		}
		for _, r := range [][2]int{{0, size}, {0, min(1, size)}, {size / 2, size - size/2}, {size / 3, size / 3}, {max(size-1, 0), min(1, size)}} {
			offset, length := r[0], r[1]
			var want bytes.Buffer
			if err := bao.ExtractSlice(&want, bytes.NewReader(combined), nil, groupLog, uint64(offset), uint64(length)); err != nil {
				t.Fatal(err)
			}
			got := writeSlice(t, s, c, offset, length)
			if !bytes.Equal(got, want.Bytes()) {
				t.Fatalf("slice %v of %d bytes differs from the reference", r, size)
			}
			var out bytes.Buffer
			if err := ReadSlice(t.Context(), &out, bytes.NewReader(got), root, int64(size), int64(offset), int64(length)); err != nil {
				t.Fatalf("slice %v of %d bytes: %v", r, size, err)
			}
			if !bytes.Equal(out.Bytes(), data[offset:offset+length]) {
				t.Fatalf("slice %v of %d bytes yields other bytes", r, size)
			}
			out.Reset()
			b, err := s.Open(c)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(b.WriteRange(t.Context(), &out, int64(offset), int64(length)), b.Close()); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(out.Bytes(), data[offset:offset+length]) {
				t.Fatalf("range %v of %d bytes yields other bytes", r, size)
			}
		}
	}
}

func TestReadSliceRefusesEveryFlip(t *testing.T) {
	s := open(t)
	data := random(1, 3*GroupSize+5)
	c := put(t, s, data)
	good := writeSlice(t, s, c, 0, len(data))
	for at := range good {
		if at > 300 && at < len(good)-300 && at%61 != 0 {
			continue // all of the header and of the first nodes, a sample of the rest
		}
		bad := bytes.Clone(good)
		bad[at] ^= 1 << (at % 8)
		var out bytes.Buffer
		err := ReadSlice(t.Context(), &out, bytes.NewReader(bad), c.Hash(), int64(len(data)), 0, int64(len(data)))
		if !errors.Is(err, ErrMismatch) {
			t.Fatalf("flip at byte %d: %v", at, err)
		}
		if !bytes.HasPrefix(data, out.Bytes()) || out.Len()%GroupSize != 0 {
			t.Fatalf("flip at byte %d: unverified bytes were written", at)
		}
	}
}

func TestReadSizeRefusesEveryOtherSize(t *testing.T) {
	const most = 6 * GroupSize
	for _, size := range sizes {
		if size > most {
			continue
		}
		data := random(7, size)
		root := canon.Sum(data)
		claims := []int64{-1, MaxSize, MaxSize + 1, 1 << 62}
		for claim := range int64(most) {
			if claim%1024 < 2 || claim%GroupSize > GroupSize-2 {
				claims = append(claims, claim)
			}
		}
		for _, claim := range claims {
			err := ReadSize(t.Context(), bytes.NewReader(forgedSlice(data, claim)), root, claim)
			if (err == nil) != (claim == int64(size)) {
				t.Fatalf("%d bytes claimed to be %d: %v", size, claim, err)
			}
		}
	}
}

// forgedSlice is the best proof that data has another size: the honest tree
// nodes wherever the claimed tree asks for one that exists, and honest bytes.
func forgedSlice(data []byte, claim int64) []byte {
	if claim == int64(len(data)) {
		var w bytes.Buffer
		combined, _ := bao.EncodeBuf(data, groupLog, false)
		offset, length := lastByte(claim)
		if bao.ExtractSlice(&w, bytes.NewReader(combined), nil, groupLog, uint64(offset), uint64(length)) != nil {
			panic("slice of an honest blob")
		}
		return w.Bytes()
	}
	out := header(claim)
	if claim > GroupSize { // the root node is the honest one
		outboard, _ := bao.EncodeBuf(data, groupLog, true)
		out = append(out, outboard[headerSize:min(len(outboard), headerSize+nodeSize)]...)
	}
	if start := max(claim-1, 0) / GroupSize * GroupSize; start < int64(len(data)) {
		out = append(out, data[start:]...)
	}
	return append(out, make([]byte, GroupSize)...)
}

func TestReadSliceReadsNoByteMore(t *testing.T) {
	s := open(t)
	data := random(2, 2*GroupSize+1)
	c := put(t, s, data)
	r := bytes.NewReader(append(writeSlice(t, s, c, 5, 10), "more"...))
	if err := ReadSlice(t.Context(), &bytes.Buffer{}, r, c.Hash(), int64(len(data)), 5, 10); err != nil || r.Len() != 4 {
		t.Fatalf("%d bytes left: %v", r.Len(), err)
	}
}

func TestRangesOutsideTheBlobAreRefused(t *testing.T) {
	s := open(t)
	c := put(t, s, []byte("0123456789"))
	b, err := s.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, r := range [][2]int64{{-1, 1}, {0, -1}, {11, 0}, {5, 6}, {1, 1<<63 - 1}, {1<<63 - 1, 1<<63 - 1}} {
		var out bytes.Buffer
		if err := b.WriteSlice(t.Context(), &out, r[0], r[1]); err == nil || out.Len() > 0 {
			t.Errorf("range %v wrote %d bytes: %v", r, out.Len(), err)
		}
		if err := ReadSlice(t.Context(), &out, bytes.NewReader(nil), c.Hash(), 10, r[0], r[1]); err == nil {
			t.Errorf("range %v is read", r)
		}
	}
}

// FuzzReadSlice: whatever comes in, only true bytes of the blob come out. What
// comes in is an honest slice over everything with a patch, cut short.
func FuzzReadSlice(f *testing.F) {
	data := random(3, 2*GroupSize+100)
	root := canon.Sum(data)
	honest, _ := bao.EncodeBuf(data, groupLog, false)
	whole := int64(len(data))
	f.Add([]byte{}, uint16(0), uint16(len(honest)), whole, int64(0), whole)
	f.Add([]byte{1}, uint16(40), uint16(len(honest)), whole, int64(1), int64(3))
	f.Add([]byte{101}, uint16(0), uint16(len(honest)), whole+1, int64(0), int64(1))
	f.Add(bytes.Repeat([]byte{7}, 64), uint16(72), uint16(200), whole, int64(GroupSize), int64(9))
	f.Fuzz(func(t *testing.T, patch []byte, at, cut uint16, size, offset, length int64) {
		in := bytes.Clone(honest)
		copy(in[min(int(at), len(in)):], patch)
		in = in[:min(int(cut), len(in))]
		var out bytes.Buffer
		err := ReadSlice(context.Background(), &out, bytes.NewReader(in), root, size, offset, length)
		if out.Len() > 0 && (offset > whole || !bytes.HasPrefix(data[offset:], out.Bytes())) {
			t.Fatal("forged bytes were written")
		}
		if err == nil && int64(out.Len()) != length {
			t.Fatalf("%d bytes instead of %d", out.Len(), length)
		}
	})
}
