//go:build !purego

#include "textflag.h"
#include "neon_arm64.h"

// Stored rows to float32, with the roundings of spec/float.md. R1 walks over the blocks, R0 over the row, and
// R2 holds the elements of the row that are left. Every type of integers becomes signed bytes first; V31 is 0.

#define START \
	MOVD dst_base+0(FP), R0 \
	MOVD dst_len+8(FP), R2 \
	MOVD src_base+24(FP), R1 \
	VEOR V31.B16, V31.B16, V31.B16

// NEXT goes on to the next block.
#define NEXT(elements, again) \
	SUBS $elements, R2, R2 \
	BGT again \
	RET

// HALF widens the F16 number at R1 into all lanes.
#define HALF(V, v) VLD1R.P 2(R1), [V.H4]; FCVTL(v, v)

// SPREAD widens sixteen signed bytes into V0–V3. Each becomes the top of a lane, which is then divided by 2^24.
#define SPREAD(from) \
	VZIP1 from.B16, V31.B16, V1.B16 \
	VZIP2 from.B16, V31.B16, V3.B16 \
	VZIP1 V1.H8, V31.H8, V0.H8 \
	VZIP2 V1.H8, V31.H8, V1.H8 \
	VZIP1 V3.H8, V31.H8, V2.H8 \
	VZIP2 V3.H8, V31.H8, V3.H8 \
	SCVTF24(0, 0); SCVTF24(1, 1); SCVTF24(2, 2); SCVTF24(3, 3)

// SCALE multiplies V0–V3 by V6.
#define SCALE FMUL(6, 0, 0); FMUL(6, 1, 1); FMUL(6, 2, 2); FMUL(6, 3, 3)

#define STORE VST1.P [V0.S4, V1.S4, V2.S4, V3.S4], 64(R0)

#define SCALED(from) SPREAD(from); SCALE; STORE

// NIBBLES takes sixteen bytes apart; V30 is fifteens.
#define NIBBLES(from, low, high) VUSHR $4, from.B16, high.B16; VAND V30.B16, from.B16, low.B16

// func widenF16NEON(dst []float32, src []byte)
TEXT ·widenF16NEON(SB), NOSPLIT, $0-48
	START
f16:
	VLD1.P 32(R1), [V4.H8, V5.H8]
	FCVTL(4, 0)
	FCVTL2(4, 1)
	FCVTL(5, 2)
	FCVTL2(5, 3)
	STORE
	NEXT(16, f16)

// func widenBF16NEON(dst []float32, src []byte)
TEXT ·widenBF16NEON(SB), NOSPLIT, $0-48
	START
bf16:
	VLD1.P 32(R1), [V4.H8, V5.H8]
	VZIP1 V4.H8, V31.H8, V0.H8
	VZIP2 V4.H8, V31.H8, V1.H8
	VZIP1 V5.H8, V31.H8, V2.H8
	VZIP2 V5.H8, V31.H8, V3.H8
	STORE
	NEXT(16, bf16)

// func widenQ8_0NEON(dst []float32, src []byte)
TEXT ·widenQ8_0NEON(SB), NOSPLIT, $0-48
	START
q8_0:
	HALF(V6, 6)
	VLD1.P 32(R1), [V4.B16, V5.B16]
	SCALED(V4)
	SCALED(V5)
	NEXT(32, q8_0)

// func widenQ4_0NEON(dst []float32, src []byte)
TEXT ·widenQ4_0NEON(SB), NOSPLIT, $0-48
	START
	VMOVI $15, V30.B16
	VMOVI $8, V29.B16
q4_0:
	HALF(V6, 6)
	VLD1.P 16(R1), [V4.B16]
	NIBBLES(V4, V4, V5)
	VSUB V29.B16, V4.B16, V4.B16
	VSUB V29.B16, V5.B16, V5.B16
	SCALED(V4)
	SCALED(V5)
	NEXT(32, q4_0)

// func widenQ4_1NEON(dst []float32, src []byte)
TEXT ·widenQ4_1NEON(SB), NOSPLIT, $0-48
	START
	VMOVI $15, V30.B16
#define PART(from) \
	SPREAD(from) \
	SCALE \
	FADD(7, 0, 0); FADD(7, 1, 1); FADD(7, 2, 2); FADD(7, 3, 3) \
	STORE
q4_1:
	HALF(V6, 6)
	HALF(V7, 7)
	VLD1.P 16(R1), [V4.B16]
	NIBBLES(V4, V4, V5)
	PART(V4)
	PART(V5)
	NEXT(32, q4_1)
#undef PART

// func widenQ4_KNEON(dst []float32, src []byte)
// V16 and V17 hold a block's eight scales, V18 and V19 its minima. Each 32 bytes hold the elements of one
// sub-block in their low and of the next in their high halves.
TEXT ·widenQ4_KNEON(SB), NOSPLIT, $0-48
	START
	VMOVI $15, V30.B16
#define PART(from) \
	SPREAD(from) \
	SCALE \
	FSUB(7, 0, 0); FSUB(7, 1, 1); FSUB(7, 2, 2); FSUB(7, 3, 3) \
	STORE
#define PAIR(scales, minima, i, j) \
	VLD1.P 32(R1), [V4.B16, V5.B16] \
	NIBBLES(V4, V4, V20) \
	NIBBLES(V5, V5, V21) \
	VDUP scales.S[i], V6.S4 \
	VDUP minima.S[i], V7.S4 \
	PART(V4) \
	PART(V5) \
	VDUP scales.S[j], V6.S4 \
	VDUP minima.S[j], V7.S4 \
	PART(V20) \
	PART(V21)
q4_k:
	HALF(V6, 6)
	HALF(V7, 7)
	// The packing is unpackQ4_K's in package gguf. Scales go to R3, minima to R4.
	MOVWU.P 4(R1), R3
	MOVWU.P 4(R1), R4
	MOVWU.P 4(R1), R5
	LSR $4, R5, R6
	AND $0x0f0f0f0f, R5, R5
	AND $0x0f0f0f0f, R6, R6
	LSR $2, R3, R7
	LSR $2, R4, R8
	AND $0x30303030, R7, R7
	AND $0x30303030, R8, R8
	ORR R7, R5, R5
	ORR R8, R6, R6
	AND $0x3f3f3f3f, R3, R3
	AND $0x3f3f3f3f, R4, R4
	ORR R5<<32, R3, R3
	ORR R6<<32, R4, R4
	VMOV R3, V4.D[0]
	VMOV R4, V4.D[1]
	SPREAD(V4)
	FMUL(6, 0, 16)
	FMUL(6, 1, 17)
	FMUL(7, 2, 18)
	FMUL(7, 3, 19)
	PAIR(V16, V18, 0, 1)
	PAIR(V16, V18, 2, 3)
	PAIR(V17, V19, 0, 1)
	PAIR(V17, V19, 2, 3)
	NEXT(256, q4_k)
#undef PAIR
#undef PART

// func widenQ6_KNEON(dst []float32, src []byte)
// R1 walks over the low bits of a block and R3 over the high ones, in halves of 64 and of 32 bytes; V16–V19 hold
// its sixteen scales.
TEXT ·widenQ6_KNEON(SB), NOSPLIT, $0-48
	START
	VMOVI $63, V29.B16
	VMOVI $32, V28.B16
// SIX joins four low bits with the two high ones that are lowest in their bytes.
#define SIX(low, high, scales, i) \
	VSLI $4, high.B16, low.B16 \
	VAND V29.B16, low.B16, low.B16 \
	VSUB V28.B16, low.B16, low.B16 \
	VDUP scales.S[i], V6.S4 \
	SCALED(low)
#define DOWN VUSHR $2, V24.B16, V24.B16; VUSHR $2, V25.B16, V25.B16
#define PART(first, second) \
	VLD1.P 64(R1), [V20.B16, V21.B16, V22.B16, V23.B16] \
	VLD1.P 32(R3), [V24.B16, V25.B16] \
	VUSHR $4, V20.B16, V4.B16 \
	VUSHR $4, V21.B16, V5.B16 \
	VUSHR $4, V22.B16, V26.B16 \
	VUSHR $4, V23.B16, V27.B16 \
	SIX(V20, V24, first, 0) \
	SIX(V21, V25, first, 1) \
	DOWN \
	SIX(V22, V24, first, 2) \
	SIX(V23, V25, first, 3) \
	DOWN \
	SIX(V4, V24, second, 0) \
	SIX(V5, V25, second, 1) \
	DOWN \
	SIX(V26, V24, second, 2) \
	SIX(V27, V25, second, 3)
q6_k:
	ADD $128, R1, R3
	ADD $192, R1, R4
	VLD1.P 16(R4), [V4.B16]
	VLD1R (R4), [V6.H4]
	FCVTL(6, 6)
	SPREAD(V4)
	FMUL(6, 0, 16)
	FMUL(6, 1, 17)
	FMUL(6, 2, 18)
	FMUL(6, 3, 19)
	PART(V16, V17)
	PART(V18, V19)
	ADD $82, R1, R1
	NEXT(256, q6_k)
#undef PART
#undef DOWN
#undef SIX
