package canon

import (
	"math/rand/v2"
	"testing"

	"lukechampine.com/blake3"
)

// The library is the peer of the portable twin, whichever of them Sum uses.
func agree(t *testing.T, data []byte) {
	t.Helper()
	want := Hash(blake3.Sum256(data))
	if got := portable(data); got != want {
		t.Fatalf("%d bytes hash to %s, not %s", len(data), got, want)
	}
	if got := Sum(data); got != want {
		t.Fatalf("Sum of %d bytes is %s, not %s", len(data), got, want)
	}
}

func noise(n int) []byte {
	data, r := make([]byte, n), rand.New(rand.NewPCG(uint64(n), 1))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// Sizes around the borders of blocks, chunks, the groups that the library hashes
// at once, and trees of every depth up to several MiB.
func TestPortableHashIsTheLibrarys(t *testing.T) {
	data := noise(5 << 20)
	for n := range 3*blockSize + 2 {
		agree(t, data[:n])
	}
	for _, unit := range []int{blockSize, chunkSize, 8 * chunkSize, 16 * chunkSize} {
		for _, k := range []int{1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33} {
			for d := -1; d <= 1; d++ {
				agree(t, data[:k*unit+d])
			}
		}
	}
	for n := chunkSize; n <= 4<<20; n *= 2 {
		agree(t, data[:n-1])
		agree(t, data[:n+1])
	}
	agree(t, data)
}

// These are of BLAKE3's own test vectors: bytes that count from 0 to 250
// and start again.
func TestKnownHashes(t *testing.T) {
	counting := make([]byte, chunkSize+1)
	for i := range counting {
		counting[i] = byte(i % 251)
	}
	for n, want := range map[int]string{
		0:             "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
		1:             "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
		chunkSize:     "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
		chunkSize + 1: "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
	} {
		if got := Sum(counting[:n]); got.String() != want {
			t.Errorf("%d bytes hash to %s, not %s", n, got, want)
		}
	}
}

// What the fuzzer finds is repeated up to a length it would not reach.
func FuzzPortableHash(f *testing.F) {
	f.Add([]byte(nil), uint32(0))
	f.Add([]byte("a"), uint32(chunkSize))
	f.Add(noise(100), uint32(17*chunkSize+1))
	f.Fuzz(func(t *testing.T, data []byte, n uint32) {
		agree(t, data)
		if size := int(n % (1 << 18)); len(data) > 0 && len(data) < size {
			long := make([]byte, size)
			for i := range long {
				long[i] = data[i%len(data)]
			}
			agree(t, long)
		}
	})
}
