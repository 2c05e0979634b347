package canon

import (
	"encoding/binary"
	"math/bits"
)

// The shape of BLAKE3's tree, in bytes, and the flags of its compressions (the
// BLAKE3 paper, sections 2.1 to 2.4). Only the plain hash of 32 bytes is here.
const (
	chunkSize = 1024
	blockSize = 64

	chunkStart = 1 << 0
	chunkEnd   = 1 << 1
	parent     = 1 << 2
	rootFlag   = 1 << 3
)

var (
	initial  = [8]uint32{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}
	reorder  = [16]uint8{2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8}
	quarters = [8][4]uint8{{0, 4, 8, 12}, {1, 5, 9, 13}, {2, 6, 10, 14}, {3, 7, 11, 15},
		{0, 5, 10, 15}, {1, 6, 11, 12}, {2, 7, 8, 13}, {3, 4, 9, 14}}
)

// portable is BLAKE3-256 in plain Go: what the library's assembly must agree
// with, and what takes its place under the tag purego.
func portable(data []byte) (h Hash) {
	for i, word := range subtree(data, 0, rootFlag) {
		binary.LittleEndian.PutUint32(h[4*i:], word)
	}
	return h
}

// subtree is the chaining value of data whose first chunk has number first;
// root is rootFlag for the whole tree and 0 below. The left part holds as many
// chunks as the largest power of two that leaves the right one a byte or more.
func subtree(data []byte, first uint64, root uint32) [8]uint32 {
	if len(data) <= chunkSize {
		return chunk(data, first, root)
	}
	left := uint64(1) << (bits.Len64(uint64(len(data)-1)/chunkSize) - 1)
	a, b := subtree(data[:left*chunkSize], first, 0), subtree(data[left*chunkSize:], first+left, 0)
	var both [16]uint32
	copy(both[:8], a[:])
	copy(both[8:], b[:])
	return compress(initial, both, 0, blockSize, parent|root)
}

// chunk is the chaining value of up to 1024 bytes, block by block; an empty
// chunk has one empty block.
func chunk(data []byte, number uint64, root uint32) [8]uint32 {
	value, flags := initial, uint32(chunkStart)
	for len(data) > blockSize {
		value = compress(value, words(data[:blockSize]), number, blockSize, flags)
		data, flags = data[blockSize:], 0
	}
	return compress(value, words(data), number, uint32(len(data)), flags|chunkEnd|root)
}

// words reads up to 64 bytes, with zeros after them.
func words(data []byte) (m [16]uint32) {
	var block [blockSize]byte
	copy(block[:], data)
	for i := range m {
		m[i] = binary.LittleEndian.Uint32(block[4*i:])
	}
	return m
}

// compress is the compression function: seven rounds over a state of 16 words.
func compress(value [8]uint32, m [16]uint32, counter uint64, length, flags uint32) [8]uint32 {
	var s [16]uint32
	copy(s[:8], value[:])
	copy(s[8:12], initial[:4])
	s[12], s[13], s[14], s[15] = uint32(counter), uint32(counter>>32), length, flags
	for range 7 {
		for i, q := range quarters {
			mix(&s, q, m[2*i], m[2*i+1])
		}
		var next [16]uint32
		for i, from := range reorder {
			next[i] = m[from]
		}
		m = next
	}
	for i := range value {
		value[i] = s[i] ^ s[i+8]
	}
	return value
}

// mix is the quarter round over the words q of the state.
func mix(s *[16]uint32, q [4]uint8, x, y uint32) {
	a, b, c, d := s[q[0]], s[q[1]], s[q[2]], s[q[3]]
	a += b + x
	d = bits.RotateLeft32(d^a, -16)
	c += d
	b = bits.RotateLeft32(b^c, -12)
	a += b + y
	d = bits.RotateLeft32(d^a, -8)
	c += d
	b = bits.RotateLeft32(b^c, -7)
	s[q[0]], s[q[1]], s[q[2]], s[q[3]] = a, b, c, d
}
