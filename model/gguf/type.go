package gguf

import (
	"fmt"
	"math"
)

// Type is how a tensor's elements are stored, as numbered in the file.
type Type uint32

const (
	F32  Type = 0
	F16  Type = 1
	Q4_0 Type = 2  // blocks of 32: a F16 scale d, 32 × 4 bit q; value (q−8)·d
	Q4_1 Type = 3  // blocks of 32: a F16 scale d, a F16 minimum m, 32 × 4 bit q; value q·d + m
	Q8_0 Type = 8  // blocks of 32: a F16 scale d, 32 × int8 q; value q·d
	Q4_K Type = 12 // blocks of 256: F16 d and dmin, 6 bit scales s and minima m of 8 sub-blocks; value d·s·q − dmin·m
	Q6_K Type = 14 // blocks of 256: a F16 scale d, int8 scales s of 16 sub-blocks; value d·s·(q−32)
	BF16 Type = 30
)

// layout says how a run of elements lies in bytes and how to read and make it. Rows consist of whole
// runs. A further type is one more layout.
type layout struct {
	name     string
	elements int
	bytes    int
	decode   func(dst []float32, src []byte)           // whole row
	encode   func(dst []byte, src []float32) (ok bool) // whole row of finite numbers; false if one does not fit
}

var layouts = [...]*layout{
	F32:  {"F32", 1, 4, decodeF32, encodeF32},
	F16:  {"F16", 1, 2, decodeF16, encodeF16},
	BF16: {"BF16", 1, 2, decodeBF16, encodeBF16},
	Q8_0: {"Q8_0", 32, 34, decodeQ8_0, encodeQ8_0},
	Q4_0: {"Q4_0", 32, 18, decodeQ4_0, encodeQ4_0},
	Q4_1: {"Q4_1", 32, 20, decodeQ4_1, encodeQ4_1},
	Q4_K: {"Q4_K", superblock, bytesQ4_K, decodeQ4_K, encodeQ4_K},
	Q6_K: {"Q6_K", superblock, bytesQ6_K, decodeQ6_K, encodeQ6_K},
}

// layout is nil for a type that is not supported.
func (t Type) layout() *layout {
	if t >= Type(len(layouts)) {
		return nil
	}
	return layouts[t]
}

// Block is the number of elements that are stored together, a power of two. It panics if the type is not
// supported.
func (t Type) Block() int { return t.layout().elements }

// RowSize is the number of bytes that store the whole blocks of n elements. It panics if the type is not
// supported.
func (t Type) RowSize(n int) int {
	l := t.layout()
	return n / l.elements * l.bytes
}

// Dequantize writes the elements that src stores as float32 to dst, which holds whole blocks. It panics if src
// has another size than RowSize(len(dst)).
func (t Type) Dequantize(dst []float32, src []byte) {
	if len(src) != t.RowSize(len(dst)) {
		panic(fmt.Sprintf("gguf: %d bytes are not %d elements of %s", len(src), len(dst), t))
	}
	t.layout().decode(dst, src)
}

// String is the type's usual name.
func (t Type) String() string {
	if l := t.layout(); l != nil {
		return l.name
	}
	if name, ok := foreign[t]; ok {
		return name
	}
	return fmt.Sprintf("number %d", uint32(t))
}

// foreign names types that are met in the wild and not read, so that the error says which it is.
var foreign = map[Type]string{6: "Q5_0", 7: "Q5_1", 10: "Q2_K", 11: "Q3_K", 13: "Q5_K"}

func decodeF32(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(le.Uint32(src[4*i:]))
	}
}

func decodeF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = fromF16(le.Uint16(src[2*i:]))
	}
}

func decodeBF16(dst []float32, src []byte) {
	for i := range dst {
		dst[i] = math.Float32frombits(uint32(le.Uint16(src[2*i:])) << 16)
	}
}

func decodeQ8_0(dst []float32, src []byte) {
	for ; len(dst) >= 32; dst, src = dst[32:], src[34:] {
		d := fromF16(le.Uint16(src))
		for i, q := range src[2:34] {
			dst[i] = float32(float32(int8(q)) * d)
		}
	}
}

func decodeQ4_0(dst []float32, src []byte) {
	for ; len(dst) >= 32; dst, src = dst[32:], src[18:] {
		d := fromF16(le.Uint16(src))
		var level [16]float32
		for q := range level {
			level[q] = float32(float32(q-8) * d)
		}
		lookUp((*[32]float32)(dst), (*[16]byte)(src[2:]), &level)
	}
}

func decodeQ4_1(dst []float32, src []byte) {
	for ; len(dst) >= 32; dst, src = dst[32:], src[20:] {
		d, m := fromF16(le.Uint16(src)), fromF16(le.Uint16(src[2:]))
		var level [16]float32
		for q := range level {
			level[q] = float32(float32(q)*d) + m
		}
		lookUp((*[32]float32)(dst), (*[16]byte)(src[4:]), &level)
	}
}

// lookUp replaces the low and the high four bits of each byte by their levels.
func lookUp(dst *[32]float32, src *[16]byte, level *[16]float32) {
	for i, q := range src {
		dst[i] = level[q&15]
		dst[i+16] = level[q>>4]
	}
}

// fromF16 widens an IEEE 754 binary16 number; every one is a float32.
func fromF16(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	exponent, fraction := uint32(h>>10&31), uint32(h&0x3ff)
	switch exponent {
	case 0: // zero and subnormals: fraction · 2^-24, exact
		magnitude := float32(float32(fraction) * (1.0 / (1 << 24)))
		return math.Float32frombits(sign | math.Float32bits(magnitude))
	case 31: // infinity and NaN
		return math.Float32frombits(sign | 0x7f800000 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
}
