package gguf

// The K types: blocks of 256 elements with a scale for each sub-block, itself a small integer times the block's
// F16 scale. spec/float.md has the layouts; a scale times its integer is exact in float32.

const (
	superblock = 256
	bytesQ4_K  = 144 // d, dmin, 12 bytes of scales and minima, 128 of q
	bytesQ6_K  = 210 // 128 bytes of low and 64 of high bits of q, 16 scales, d
)

func decodeQ4_K(dst []float32, src []byte) {
	for ; len(dst) >= superblock; dst, src = dst[superblock:], src[bytesQ4_K:] {
		d, dmin := fromF16(le.Uint16(src)), fromF16(le.Uint16(src[2:]))
		scales, minima := unpackQ4_K((*[12]byte)(src[4:]))
		var level [8][16]float32
		for j := range level {
			scale, least := float32(d*float32(scales[j])), float32(dmin*float32(minima[j]))
			for q := range level[j] {
				level[j][q] = float32(scale*float32(q)) - least
			}
		}
		for j := 0; j < 8; j += 2 {
			for i, q := range src[16+16*j:][:32] {
				dst[32*j+i] = level[j][q&15]
				dst[32*j+32+i] = level[j+1][q>>4]
			}
		}
	}
}

// unpackQ4_K: the first eight bytes hold scales, then minima, of the sub-blocks 0 to 3 in six bits each. The
// last four hold low halves of scale and minimum of the sub-blocks 4 to 7, whose upper two bits lie in the
// upper bits of the first eight.
func unpackQ4_K(b *[12]byte) (scales, minima [8]byte) {
	for j := range 4 {
		scales[j], minima[j] = b[j]&63, b[j+4]&63
		scales[j+4] = b[j+8]&15 | b[j]>>6<<4
		minima[j+4] = b[j+8]>>4 | b[j+4]>>6<<4
	}
	return scales, minima
}

func packQ4_K(b []byte, scales, minima [8]byte) {
	for j := range 4 {
		b[j] = scales[j] | scales[j+4]>>4<<6
		b[j+4] = minima[j] | minima[j+4]>>4<<6
		b[j+8] = scales[j+4]&15 | minima[j+4]<<4
	}
}

// encodeQ4_K gives each sub-block the range from its least number, or 0 if that is less, to its largest.
func encodeQ4_K(dst []byte, src []float32) bool {
	for ; len(src) > 0; dst, src = dst[bytesQ4_K:], src[superblock:] {
		var steps, depths [8]float32
		for j := range steps {
			low, high := bounds(src[32*j:][:32])
			depths[j] = max(-low, 0)
			steps[j] = float32((max(high, 0) + depths[j]) / 15)
		}
		_, step := bounds(steps[:])
		_, depth := bounds(depths[:])
		d, fits := putScale(dst, float32(step/63))
		dmin, ok := putScale(dst[2:], float32(depth/63))
		if !fits || !ok {
			return false
		}
		var scales, minima [8]byte
		for j := range scales {
			scales[j] = byte(level(steps[j], d, 0, 63))
			minima[j] = byte(level(depths[j], dmin, 0, 63))
			scale, least := float32(d*float32(scales[j])), float32(dmin*float32(minima[j]))
			for i, x := range src[32*j:][:32] {
				q := byte(level(x+least, scale, 0, 15))
				at := &dst[16+j/2*32+i]
				if j%2 == 0 {
					*at = q
				} else {
					*at |= q << 4
				}
			}
		}
		packQ4_K(dst[4:16], scales, minima)
	}
	return true
}

// Of each half of a Q6_K block, 64 bytes of low and 32 of high bits, element 32·k + l has its four low bits in
// byte l + 32·(k mod 2), in the upper half if k ≥ 2, and its two high bits in byte l, at bit 2·k.

func decodeQ6_K(dst []float32, src []byte) {
	for ; len(dst) >= superblock; dst, src = dst[superblock:], src[bytesQ6_K:] {
		d := fromF16(le.Uint16(src[208:]))
		for part := range 8 {
			low, high, k := src[part/4*64+part%2*32:][:32], src[128+part/4*32:][:32], part%4
			for l := range 32 {
				scale := float32(d * float32(int8(src[192+2*part+l/16])))
				q := int(low[l]>>(k/2*4)&15 | high[l]>>(2*k)&3<<4)
				dst[32*part+l] = float32(scale * float32(q-32))
			}
		}
	}
}

func encodeQ6_K(dst []byte, src []float32) bool {
	for ; len(src) > 0; dst, src = dst[bytesQ6_K:], src[superblock:] {
		var steps [16]float32
		for j := range steps {
			low, high := bounds(src[16*j:][:16])
			steps[j] = float32(low / -32)
			if high > -low {
				steps[j] = float32(high / -32)
			}
		}
		low, high := bounds(steps[:])
		d, ok := putScale(dst[208:], float32(max(high, -low)/127))
		if !ok {
			return false
		}
		clear(dst[:192])
		for i, x := range src[:superblock] {
			n := level(steps[i/16], d, -127, 127)
			dst[192+i/16] = byte(int8(n))
			q := byte(level(x, float32(d*float32(n)), -32, 31) + 32)
			part, l := i/32, i%32
			k := part % 4
			dst[part/4*64+part%2*32+l] |= q & 15 << (k / 2 * 4)
			dst[128+part/4*32+l] |= q >> 4 << (2 * k)
		}
	}
	return true
}
