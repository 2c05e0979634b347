//go:build !purego

#include "textflag.h"

// Stored rows to float32, with the roundings of spec/float.md. SI walks over the blocks, DI over the row, and
// CX holds the bytes of the row that are left. A 4 bit number selects one of sixteen values: with AVX-512 a
// block's values are computed once and looked up, with AVX2 each number is computed.

#define ROW \
	MOVQ dst_base+0(FP), DI \
	MOVQ dst_len+8(FP), CX \
	MOVQ src_base+24(FP), SI \
	SHLQ $2, CX

// func hasF16C() bool
TEXT ·hasF16C(SB), NOSPLIT, $0-1
	MOVL $1, AX
	XORL CX, CX
	CPUID
	SHRL $29, CX
	ANDL $1, CX
	MOVB CX, ret+0(FP)
	RET

// NEXT goes on to the next block of a number of elements and of bytes. The prefetch reaches into the rows that
// follow: the processor's own stops at each page.
#define NEXT(elements, bytes, again) \
	PREFETCHT0 1024(SI) \
	ADDQ $bytes, SI \
	ADDQ $(4*elements), DI \
	SUBQ $(4*elements), CX \
	JGT again \
	VZEROUPPER \
	RET

// HALF2 broadcasts the F16 number at an address.
#define HALF2(address, X, Y) VPBROADCASTW address, X; VCVTPH2PS X, Y
#define HALF512(address, Y, Z) VPBROADCASTW address, Y; VCVTPH2PS Y, Z

// func widenF16AVX2(dst []float32, src []byte)
TEXT ·widenF16AVX2(SB), NOSPLIT, $0-48
	ROW
f16:
	VCVTPH2PS (SI), Y0
	VCVTPH2PS 16(SI), Y1
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	NEXT(16, 32, f16)

// func widenBF16AVX2(dst []float32, src []byte)
TEXT ·widenBF16AVX2(SB), NOSPLIT, $0-48
	ROW
bf16:
	VPMOVZXWD (SI), Y0
	VPMOVZXWD 16(SI), Y1
	VPSLLD $16, Y0, Y0
	VPSLLD $16, Y1, Y1
	VMOVUPS Y0, (DI)
	VMOVUPS Y1, 32(DI)
	NEXT(16, 32, bf16)

// BYTES2 widens eight signed bytes and scales them by Y7.
#define BYTES2(from, to) VPMOVSXBD from, Y0; VCVTDQ2PS Y0, Y0; VMULPS Y7, Y0, Y0; VMOVUPS Y0, to

// func widenQ8_0AVX2(dst []float32, src []byte)
TEXT ·widenQ8_0AVX2(SB), NOSPLIT, $0-48
	ROW
q8_0:
	HALF2((SI), X7, Y7)
	BYTES2(2(SI), (DI))
	BYTES2(10(SI), 32(DI))
	BYTES2(18(SI), 64(DI))
	BYTES2(26(SI), 96(DI))
	NEXT(32, 34, q8_0)

// func widenQ8_0AVX512(dst []float32, src []byte)
TEXT ·widenQ8_0AVX512(SB), NOSPLIT, $0-48
	ROW
q8_0w:
	HALF512((SI), Y7, Z7)
	VPMOVSXBD 2(SI), Z0
	VPMOVSXBD 18(SI), Z1
	VCVTDQ2PS Z0, Z0
	VCVTDQ2PS Z1, Z1
	VMULPS Z7, Z0, Z0
	VMULPS Z7, Z1, Z1
	VMOVUPS Z0, (DI)
	VMOVUPS Z1, 64(DI)
	NEXT(32, 34, q8_0w)

// FIFTEEN fills a register with 15 in each 32 bit lane.
#define FIFTEEN(Y) VPCMPEQD Y, Y, Y; VPSRLD $28, Y, Y

// NIBBLES2 takes eight bytes apart into low (Y0) and high (Y1) halves; Y15 is fifteens.
#define NIBBLES2(from) VPMOVZXBD from, Y1; VPAND Y15, Y1, Y0; VPSRLD $4, Y1, Y1

// func widenQ4_0AVX2(dst []float32, src []byte)
TEXT ·widenQ4_0AVX2(SB), NOSPLIT, $0-48
	ROW
	FIFTEEN(Y15)
	VPCMPEQD Y14, Y14, Y14
	VPSLLD $3, Y14, Y14
#define PART(from, low, high) \
	NIBBLES2(from) \
	VPADDD Y14, Y0, Y0; VPADDD Y14, Y1, Y1 \
	VCVTDQ2PS Y0, Y0; VCVTDQ2PS Y1, Y1 \
	VMULPS Y7, Y0, Y0; VMULPS Y7, Y1, Y1 \
	VMOVUPS Y0, low; VMOVUPS Y1, high
q4_0:
	HALF2((SI), X7, Y7)
	PART(2(SI), (DI), 64(DI))
	PART(10(SI), 32(DI), 96(DI))
	NEXT(32, 18, q4_0)
#undef PART

// func widenQ4_1AVX2(dst []float32, src []byte)
TEXT ·widenQ4_1AVX2(SB), NOSPLIT, $8-48
	ROW
	FIFTEEN(Y15)
#define PART(from, low, high) \
	NIBBLES2(from) \
	VCVTDQ2PS Y0, Y0; VCVTDQ2PS Y1, Y1 \
	VMULPS Y7, Y0, Y0; VMULPS Y7, Y1, Y1 \
	VADDPS Y6, Y0, Y0; VADDPS Y6, Y1, Y1 \
	VMOVUPS Y0, low; VMOVUPS Y1, high
q4_1:
	VMOVD (SI), X6
	VCVTPH2PS X6, X6
	VMOVLPS X6, scales-8(SP)
	VBROADCASTSS scales-8(SP), Y7
	VBROADCASTSS scales-4(SP), Y6
	PART(4(SI), (DI), 64(DI))
	PART(12(SI), 32(DI), 96(DI))
	NEXT(32, 20, q4_1)
#undef PART

// LEVELS512 puts the numbers 0 to 15 into Z16.
#define LEVELS512 VMOVUPS ·levels(SB), Z16

// LOOKUP512 stores the values, of sixteen in Z0, that 16 bytes select: for the low halves, then for the high.
#define LOOKUP512(from, low, high) \
	VPMOVZXBD from, Z1 \
	VPERMPS Z0, Z1, Z2 \
	VPSRLD $4, Z1, Z1 \
	VPERMPS Z0, Z1, Z3 \
	VMOVUPS Z2, low \
	VMOVUPS Z3, high

// func widenQ4_0AVX512(dst []float32, src []byte)
TEXT ·widenQ4_0AVX512(SB), NOSPLIT, $0-48
	ROW
	LEVELS512
	VPTERNLOGD $0xff, Z0, Z0, Z0
	VPSLLD $3, Z0, Z0
	VCVTDQ2PS Z0, Z0
	VADDPS Z0, Z16, Z16
q4_0w:
	HALF512((SI), Y7, Z7)
	VMULPS Z7, Z16, Z0
	LOOKUP512(2(SI), (DI), 64(DI))
	NEXT(32, 18, q4_0w)

// func widenQ4_1AVX512(dst []float32, src []byte)
// The scales and minima of four blocks are widened together and broadcast from the stack.
TEXT ·widenQ4_1AVX512(SB), NOSPLIT, $32-48
	ROW
	LEVELS512
q4_1w4:
	CMPQ CX, $(4*4*32)
	JLT q4_1w1
	VMOVD (SI), X6
	VPINSRD $1, 20(SI), X6, X6
	VPINSRD $2, 40(SI), X6, X6
	VPINSRD $3, 60(SI), X6, X6
	VCVTPH2PS X6, Y6
	VMOVUPS Y6, scales-32(SP)
	PREFETCHT0 1024(SI)
	PREFETCHT0 1064(SI)
#define PART(block) \
	VMULPS.BCST scales-(32-8*block)(SP), Z16, Z0 \
	VADDPS.BCST scales-(28-8*block)(SP), Z0, Z0 \
	LOOKUP512((4+20*block)(SI), (128*block)(DI), (64+128*block)(DI))
	PART(0)
	PART(1)
	PART(2)
	PART(3)
#undef PART
	ADDQ $80, SI
	ADDQ $512, DI
	SUBQ $512, CX
	JMP q4_1w4
q4_1w1:
	CMPQ CX, $0
	JLE q4_1w0
	VPBROADCASTW (SI), Y7
	VCVTPH2PS Y7, Z7
	VPBROADCASTW 2(SI), Y6
	VCVTPH2PS Y6, Z6
	VMULPS Z7, Z16, Z0
	VADDPS Z6, Z0, Z0
	LOOKUP512(4(SI), (DI), 64(DI))
	ADDQ $20, SI
	ADDQ $128, DI
	SUBQ $128, CX
	JMP q4_1w1
q4_1w0:
	VZEROUPPER
	RET
