package gguf

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"testing"
)

// TestBlocksEqualReference compares each block type with what the Python package gguf 0.19.0, of llama.cpp's
// project, makes of the same 64 blocks of noise.
func TestBlocksEqualReference(t *testing.T) {
	for _, c := range []struct {
		kind   Type
		scales []int // places of the high bytes of F16 numbers
		want   string
	}{
		{Q8_0, []int{1}, "8bb77142f6e98117f808b51152a1c894091da50252039446438316295e8f4dca"},
		{Q4_0, []int{1}, "15980a52040860c6b6e1b88ed4c8e0e9df65058255c856b90e29625b3fd9bd19"},
		{Q4_1, []int{1, 3}, "d85182e3542dad27df10af4ff5cf3885e73b5be8ca540df928f612c4de0ce0b8"},
		{Q4_K, []int{1, 3}, "a5d389ba5bf392796a00fb0a223313b37e171912bea98a070c8d2c68613884d1"},
		{Q6_K, []int{209}, "5c3710ab789f5ecf8470cca72b96c9ab2cb79e1662393caf66fa75ac4d4bebe6"},
	} {
		l := c.kind.layout()
		data, state := make([]byte, 64*l.bytes), uint32(1)
		for i := range data {
			state = state*1664525 + 1013904223
			data[i] = byte(state >> 24)
		}
		for at := 0; at < len(data); at += l.bytes {
			for _, s := range c.scales {
				data[at+s] &= 0xbf // finite
			}
		}
		values := make([]float32, 64*l.elements)
		c.kind.Dequantize(values, data)
		hash := sha256.New()
		for _, x := range values {
			hash.Write(le.AppendUint32(nil, math.Float32bits(x+0))) // +0 for −0
		}
		if got := hex.EncodeToString(hash.Sum(nil)); got != c.want {
			t.Errorf("%s: hash %s, want %s; the first is %g", c.kind, got, c.want, values[0])
		}
	}
}

func TestPackQ4_K(t *testing.T) {
	for i := range 64 {
		var scales, minima [8]byte
		for j := range scales {
			scales[j], minima[j] = byte(i+9*j)&63, byte(5*i+7*j)&63
		}
		var b [12]byte
		packQ4_K(b[:], scales, minima)
		if s, m := unpackQ4_K(&b); s != scales || m != minima {
			t.Fatalf("%v, %v became %v, %v", scales, minima, s, m)
		}
	}
}

// TestQuantizeKIsNear: errors in spans of the superblock, with sub-blocks of unlike sizes and signs.
func TestQuantizeKIsNear(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for kind, step := range map[Type]float64{Q4_K: 0.045, Q6_K: 0.02} {
		values := make([]float32, 4*superblock)
		for i := range values {
			values[i] = float32(random.NormFloat64()) * float32(1+i/32%4)
			switch i / 64 % 4 {
			case 1:
				values[i] = float32(math.Abs(float64(values[i])))
			case 2:
				values[i] = -float32(math.Abs(float64(values[i])))
			}
		}
		clear(values[3*superblock:])
		data, err := Quantize(kind, values)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, len(values))
		kind.Dequantize(got, data)
		for i := range got {
			low, high := bounds(values[i/superblock*superblock:][:superblock])
			if e := math.Abs(float64(got[i] - values[i])); e > step*float64(high-low) {
				t.Errorf("%s: element %d, %g, became %g", kind, i, values[i], got[i])
			}
		}
	}
}

func TestQuantizeKRefuses(t *testing.T) {
	for _, kind := range []Type{Q4_K, Q6_K} {
		for _, x := range []float32{math.MaxFloat32, -math.MaxFloat32, float32(math.NaN()), float32(math.Inf(-1))} {
			block := make([]float32, superblock)
			block[200] = x
			if _, err := Quantize(kind, block); err == nil {
				t.Errorf("%s takes %g", kind, x)
			}
		}
		if _, err := Quantize(kind, make([]float32, superblock-32)); err == nil {
			t.Errorf("%s takes part of a block", kind)
		}
	}
}
