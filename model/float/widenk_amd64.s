//go:build !purego

#include "textflag.h"

// The K types to float32: as in widen_amd64.s, with the scales of a block of 256 elements computed together and
// kept on the stack.

#define ROW \
	MOVQ dst_base+0(FP), DI \
	MOVQ dst_len+8(FP), CX \
	MOVQ src_base+24(FP), SI \
	SHLQ $2, CX

#define NEXT(bytes, again) \
	PREFETCHT0 1024(SI) \
	PREFETCHT0 1088(SI) \
	PREFETCHT0 1152(SI) \
	ADDQ $bytes, SI \
	ADDQ $1024, DI \
	SUBQ $1024, CX \
	JGT again \
	VZEROUPPER \
	RET

// SCALES4 stores eight scales at scales-64(SP) and eight minima at minima-32(SP). The packing is unpackQ4_K's
// in package gguf.
#define SCALES4 \
	MOVL 4(SI), AX \
	MOVL 8(SI), BX \
	MOVL 12(SI), R10 \
	MOVL R10, R11 \
	SHRL $4, R11 \
	ANDL $0x0f0f0f0f, R10 \
	ANDL $0x0f0f0f0f, R11 \
	MOVL AX, R8 \
	MOVL BX, R9 \
	SHRL $2, R8 \
	SHRL $2, R9 \
	ANDL $0x30303030, R8 \
	ANDL $0x30303030, R9 \
	ORL R8, R10 \
	ORL R9, R11 \
	ANDL $0x3f3f3f3f, AX \
	ANDL $0x3f3f3f3f, BX \
	SHLQ $32, R10 \
	SHLQ $32, R11 \
	ORQ R10, AX \
	ORQ R11, BX \
	VMOVQ AX, X0 \
	VMOVQ BX, X1 \
	VPMOVZXBD X0, Y0 \
	VPMOVZXBD X1, Y1 \
	VCVTDQ2PS Y0, Y0 \
	VCVTDQ2PS Y1, Y1 \
	VPBROADCASTW (SI), X2 \
	VPBROADCASTW 2(SI), X3 \
	VCVTPH2PS X2, Y2 \
	VCVTPH2PS X3, Y3 \
	VMULPS Y2, Y0, Y0 \
	VMULPS Y3, Y1, Y1 \
	VMOVUPS Y0, scales-64(SP) \
	VMOVUPS Y1, minima-32(SP)

// func widenQ4_KAVX2(dst []float32, src []byte)
// Each 32 bytes hold the elements of one sub-block in their low and of the next in their high halves.
TEXT ·widenQ4_KAVX2(SB), NOSPLIT, $64-48
	ROW
	VPCMPEQD Y15, Y15, Y15
	VPSRLD $28, Y15, Y15
#define PART(from, low, high) \
	VPMOVZXBD from, Y1; VPAND Y15, Y1, Y0; VPSRLD $4, Y1, Y1 \
	VCVTDQ2PS Y0, Y0; VCVTDQ2PS Y1, Y1 \
	VMULPS Y7, Y0, Y0; VMULPS Y5, Y1, Y1 \
	VSUBPS Y6, Y0, Y0; VSUBPS Y4, Y1, Y1 \
	VMOVUPS Y0, low; VMOVUPS Y1, high
#define PAIR(c) \
	VBROADCASTSS scales-(64-8*c)(SP), Y7 \
	VBROADCASTSS minima-(32-8*c)(SP), Y6 \
	VBROADCASTSS scales-(60-8*c)(SP), Y5 \
	VBROADCASTSS minima-(28-8*c)(SP), Y4 \
	PART((16+32*c)(SI), (256*c)(DI), (128+256*c)(DI)) \
	PART((24+32*c)(SI), (32+256*c)(DI), (160+256*c)(DI)) \
	PART((32+32*c)(SI), (64+256*c)(DI), (192+256*c)(DI)) \
	PART((40+32*c)(SI), (96+256*c)(DI), (224+256*c)(DI))
q4_k:
	SCALES4
	PAIR(0)
	PAIR(1)
	PAIR(2)
	PAIR(3)
	NEXT(144, q4_k)
#undef PAIR
#undef PART

// func widenQ4_KAVX512(dst []float32, src []byte)
TEXT ·widenQ4_KAVX512(SB), NOSPLIT, $64-48
	ROW
	VMOVUPS ·levels(SB), Z16
#define PART(from, low, high) \
	VPMOVZXBD from, Z1 \
	VPERMPS Z4, Z1, Z2 \
	VPSRLD $4, Z1, Z1 \
	VPERMPS Z5, Z1, Z3 \
	VMOVUPS Z2, low \
	VMOVUPS Z3, high
#define PAIR(c) \
	VMULPS.BCST scales-(64-8*c)(SP), Z16, Z4 \
	VMULPS.BCST scales-(60-8*c)(SP), Z16, Z5 \
	VSUBPS.BCST minima-(32-8*c)(SP), Z4, Z4 \
	VSUBPS.BCST minima-(28-8*c)(SP), Z5, Z5 \
	PART((16+32*c)(SI), (256*c)(DI), (128+256*c)(DI)) \
	PART((32+32*c)(SI), (64+256*c)(DI), (192+256*c)(DI))
q4_kw:
	SCALES4
	PAIR(0)
	PAIR(1)
	PAIR(2)
	PAIR(3)
	NEXT(144, q4_kw)
#undef PAIR
#undef PART

// Q6_K: of each half of a block, 64 bytes of low and 32 of high bits, PART makes the elements l, l+32, l+64 and
// l+96 for a run of l; their scales are two apart.

// func widenQ6_KAVX2(dst []float32, src []byte)
TEXT ·widenQ6_KAVX2(SB), NOSPLIT, $64-48
	ROW
	VPCMPEQD Y15, Y15, Y15
	VPSRLD $28, Y15, Y15
	VPCMPEQD Y14, Y14, Y14
	VPSRLD $30, Y14, Y14
	VPSLLD $4, Y14, Y14
	VPCMPEQD Y13, Y13, Y13
	VPSLLD $5, Y13, Y13
#define SIX(low, high, scale, to) \
	VPAND Y14, high, high \
	VPAND Y15, low, low \
	VPOR low, high, high \
	VPADDD Y13, high, high \
	VCVTDQ2PS high, high \
	VBROADCASTSS scale, Y5 \
	VMULPS Y5, high, high \
	VMOVUPS high, to
#define PART(h, l) \
	VPMOVZXBD (64*h+l)(SI), Y0 \
	VPMOVZXBD (64*h+l+32)(SI), Y1 \
	VPMOVZXBD (128+32*h+l)(SI), Y2 \
	VPSRLD $4, Y0, Y6 \
	VPSRLD $4, Y1, Y7 \
	VPSLLD $4, Y2, Y3 \
	SIX(Y0, Y3, scales-(64-32*h-l/16*4)(SP), (512*h+4*l)(DI)) \
	VPSLLD $2, Y2, Y3 \
	SIX(Y1, Y3, scales-(56-32*h-l/16*4)(SP), (512*h+4*l+128)(DI)) \
	VPSRLD $2, Y2, Y4 \
	SIX(Y6, Y2, scales-(48-32*h-l/16*4)(SP), (512*h+4*l+256)(DI)) \
	SIX(Y7, Y4, scales-(40-32*h-l/16*4)(SP), (512*h+4*l+384)(DI))
q6_k:
	VPMOVSXBD 192(SI), Y0
	VPMOVSXBD 200(SI), Y1
	VPBROADCASTW 208(SI), X2
	VCVTPH2PS X2, Y2
	VCVTDQ2PS Y0, Y0
	VCVTDQ2PS Y1, Y1
	VMULPS Y2, Y0, Y0
	VMULPS Y2, Y1, Y1
	VMOVUPS Y0, scales-64(SP)
	VMOVUPS Y1, more-32(SP)
	PART(0, 0)
	PART(0, 8)
	PART(0, 16)
	PART(0, 24)
	PART(1, 0)
	PART(1, 8)
	PART(1, 16)
	PART(1, 24)
	NEXT(210, q6_k)
#undef PART
#undef SIX

// func widenQ6_KAVX512(dst []float32, src []byte)
TEXT ·widenQ6_KAVX512(SB), NOSPLIT, $64-48
	ROW
	VPTERNLOGD $0xff, Z15, Z15, Z15
	VPSRLD $30, Z15, Z14
	VPSLLD $4, Z14, Z14
	VPSLLD $5, Z15, Z13
	VPSRLD $28, Z15, Z15
#define SIX(low, high, scale, to) \
	VPANDD Z14, high, high \
	VPANDD Z15, low, low \
	VPORD low, high, high \
	VPADDD Z13, high, high \
	VCVTDQ2PS high, high \
	VMULPS.BCST scale, high, high \
	VMOVUPS high, to
#define PART(h, l) \
	VPMOVZXBD (64*h+l)(SI), Z0 \
	VPMOVZXBD (64*h+l+32)(SI), Z1 \
	VPMOVZXBD (128+32*h+l)(SI), Z2 \
	VPSRLD $4, Z0, Z6 \
	VPSRLD $4, Z1, Z7 \
	VPSLLD $4, Z2, Z3 \
	SIX(Z0, Z3, scales-(64-32*h-l/16*4)(SP), (512*h+4*l)(DI)) \
	VPSLLD $2, Z2, Z3 \
	SIX(Z1, Z3, scales-(56-32*h-l/16*4)(SP), (512*h+4*l+128)(DI)) \
	VPSRLD $2, Z2, Z4 \
	SIX(Z6, Z2, scales-(48-32*h-l/16*4)(SP), (512*h+4*l+256)(DI)) \
	SIX(Z7, Z4, scales-(40-32*h-l/16*4)(SP), (512*h+4*l+384)(DI))
q6_kw:
	VPMOVSXBD 192(SI), Z0
	VPBROADCASTW 208(SI), Y2
	VCVTPH2PS Y2, Z2
	VCVTDQ2PS Z0, Z0
	VMULPS Z2, Z0, Z0
	VMOVUPS Z0, scales-64(SP)
	PART(0, 0)
	PART(0, 16)
	PART(1, 0)
	PART(1, 16)
	NEXT(210, q6_kw)
#undef PART
#undef SIX
