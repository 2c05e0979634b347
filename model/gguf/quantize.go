package gguf

import (
	"errors"
	"fmt"
	"math"
)

// Quantize stores rows of numbers as t and returns the bytes of the tensor. src holds whole blocks; every
// number must be finite and inside the range of t. The result is the same on every machine.
func Quantize(t Type, src []float32) ([]byte, error) {
	l := t.layout()
	if l == nil {
		return nil, fmt.Errorf("quantise to %s: the type is not supported", t)
	}
	if len(src)%l.elements != 0 {
		return nil, fmt.Errorf("quantise to %s: %d numbers are not a multiple of %d", t, len(src), l.elements)
	}
	for _, x := range src {
		if x-x != 0 {
			return nil, fmt.Errorf("quantise to %s: %w", t, errNotFinite)
		}
	}
	dst := make([]byte, len(src)/l.elements*l.bytes)
	if !l.encode(dst, src) {
		return nil, fmt.Errorf("quantise to %s: a number is too large for the type", t)
	}
	return dst, nil
}

var errNotFinite = errors.New("a number is not finite")

func encodeF32(dst []byte, src []float32) bool {
	for i, x := range src {
		le.PutUint32(dst[4*i:], math.Float32bits(x))
	}
	return true
}

func encodeF16(dst []byte, src []float32) bool {
	for i, x := range src {
		h := toF16(x)
		if h&0x7fff >= 0x7c00 {
			return false
		}
		le.PutUint16(dst[2*i:], h)
	}
	return true
}

func encodeBF16(dst []byte, src []float32) bool {
	for i, x := range src {
		b := math.Float32bits(x)
		h := uint16((b + 0x7fff + b>>16&1) >> 16) // to nearest, ties to even
		if h&0x7fff >= 0x7f80 {
			return false
		}
		le.PutUint16(dst[2*i:], h)
	}
	return true
}

// The block encoders divide by the scale as it is stored, so that rounding the scale costs as little
// accuracy as it can.

func encodeQ8_0(dst []byte, src []float32) bool {
	for ; len(src) > 0; dst, src = dst[34:], src[32:] {
		low, high := bounds(src[:32])
		d, ok := putScale(dst, float32(max(high, -low)/127))
		if !ok {
			return false
		}
		for i, x := range src[:32] {
			dst[2+i] = byte(int8(level(x, d, -127, 127)))
		}
	}
	return true
}

func encodeQ4_0(dst []byte, src []float32) bool {
	for ; len(src) > 0; dst, src = dst[18:], src[32:] {
		low, high := bounds(src[:32])
		extreme := low // the number furthest from zero becomes level −8, the one with no counterpart
		if high > -low {
			extreme = high
		}
		d, ok := putScale(dst, float32(extreme/-8))
		if !ok {
			return false
		}
		for i := range 16 {
			dst[2+i] = byte(level(src[i], d, -8, 7)+8) | byte(level(src[i+16], d, -8, 7)+8)<<4
		}
	}
	return true
}

func encodeQ4_1(dst []byte, src []float32) bool {
	for ; len(src) > 0; dst, src = dst[20:], src[32:] {
		low, high := bounds(src[:32])
		m, fits := putScale(dst[2:], low)
		d, ok := putScale(dst, float32((high-m)/15))
		if !fits || !ok {
			return false
		}
		for i := range 16 {
			dst[4+i] = byte(level(src[i]-m, d, 0, 15)) | byte(level(src[i+16]-m, d, 0, 15))<<4
		}
	}
	return true
}

func bounds(src []float32) (low, high float32) {
	low, high = src[0], src[0]
	for _, x := range src {
		low, high = min(low, x), max(high, x)
	}
	return low, high
}

// putScale stores a scale as F16 and returns what was stored.
func putScale(dst []byte, x float32) (float32, bool) {
	h := toF16(x)
	le.PutUint16(dst, h)
	return fromF16(h), h&0x7fff < 0x7c00
}

// level is x/d to the nearest integer, halves away from zero, limited to [low, high].
func level(x, d, low, high float32) int {
	if d == 0 {
		return int(max(low, min(high, 0)))
	}
	q := x / d
	if q < 0 {
		q -= 0.5
	} else {
		q += 0.5
	}
	return int(max(low, min(high, q))) // conversion truncates
}

// toF16 rounds to binary16, to nearest and ties to even; what is too large becomes infinite.
func toF16(x float32) uint16 {
	b := math.Float32bits(x)
	sign := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000:
		return sign | 0x7e00
	case b >= 0x477ff000: // 65520, halfway to the first number that does not exist
		return sign | 0x7c00
	case b >= 0x38800000: // normal, at least 2^-14
		return sign | uint16((b+0xfff+b>>13&1-(127-15)<<23)>>13)
	}
	// Subnormal: adding 0.5, whose last place is 2^-24, makes the hardware round the number there.
	rounded := math.Float32frombits(b) + 0.5
	return sign | uint16(math.Float32bits(rounded)-math.Float32bits(0.5))
}
