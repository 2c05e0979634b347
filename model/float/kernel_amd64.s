//go:build !purego

#include "textflag.h"

// Never a fused multiply-add here: products are rounded before they are added.

// FOLD4 finishes four dot products whose sums k and k+8 are joined: a, b, c, d hold eight sums each, as Y
// and X registers of one number. It joins k+4, then k+2 (a0+a2 b0+b2 a1+a3 b1+b3), then k+1 and leaves
// the four results in order in Xa.
#define FOLD4(Ya, Xa, Yb, Xb, Yc, Xc, Yd, Xd, Xs, Xt) \
	VEXTRACTF128 $1, Ya, Xs; VADDPS Xs, Xa, Xa \
	VEXTRACTF128 $1, Yb, Xt; VADDPS Xt, Xb, Xb \
	VEXTRACTF128 $1, Yc, Xs; VADDPS Xs, Xc, Xc \
	VEXTRACTF128 $1, Yd, Xt; VADDPS Xt, Xd, Xd \
	VUNPCKLPS Xb, Xa, Xs; VUNPCKHPS Xb, Xa, Xt; VADDPS Xt, Xs, Xa \
	VUNPCKLPS Xd, Xc, Xs; VUNPCKHPS Xd, Xc, Xt; VADDPS Xt, Xs, Xc \
	VMOVLHPS Xc, Xa, Xs; VMOVHLPS Xa, Xc, Xt; VADDPS Xt, Xs, Xa

// HALVES joins sums k and k+8 of a 512-bit register.
#define HALVES(Z, Y, Ys) VEXTRACTF64X4 $1, Z, Ys; VADDPS Ys, Y, Y

// ROWS4 points R8, R9, R10 at the rows after SI; the stride in elements is in BX and leaves in bytes.
#define ROWS4 SHLQ $2, BX; LEAQ (SI)(BX*1), R8; LEAQ (SI)(BX*2), R9; LEAQ (R8)(BX*2), R10

// func stripAVX2(dst, w []float32, ws int, x []float32, n int)
// Row r has lanes 0–7 in Yr and 8–15 in Y(r+4).
TEXT ·stripAVX2(SB), NOSPLIT, $0-88
	MOVQ dst_base+0(FP), DX
	MOVQ w_base+24(FP), SI
	MOVQ ws+48(FP), BX
	MOVQ x_base+56(FP), DI
	MOVQ n+80(FP), CX
	ROWS4
	SHLQ $2, CX
	XORQ AX, AX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	VXORPS Y6, Y6, Y6
	VXORPS Y7, Y7, Y7
strip2:
	VMOVUPS (DI)(AX*1), Y8
	VMOVUPS 32(DI)(AX*1), Y9
	VMULPS (SI)(AX*1), Y8, Y10
	VMULPS (R8)(AX*1), Y8, Y11
	VMULPS (R9)(AX*1), Y8, Y12
	VMULPS (R10)(AX*1), Y8, Y13
	VADDPS Y10, Y0, Y0
	VADDPS Y11, Y1, Y1
	VADDPS Y12, Y2, Y2
	VADDPS Y13, Y3, Y3
	VMULPS 32(SI)(AX*1), Y9, Y10
	VMULPS 32(R8)(AX*1), Y9, Y11
	VMULPS 32(R9)(AX*1), Y9, Y12
	VMULPS 32(R10)(AX*1), Y9, Y13
	VADDPS Y10, Y4, Y4
	VADDPS Y11, Y5, Y5
	VADDPS Y12, Y6, Y6
	VADDPS Y13, Y7, Y7
	ADDQ $64, AX
	CMPQ AX, CX
	JLT strip2
	VADDPS Y4, Y0, Y0
	VADDPS Y5, Y1, Y1
	VADDPS Y6, Y2, Y2
	VADDPS Y7, Y3, Y3
	FOLD4(Y0, X0, Y1, X1, Y2, X2, Y3, X3, X8, X9)
	VMOVUPS X0, (DX)
	VZEROUPPER
	RET

// func stripAVX512(dst, w []float32, ws int, x []float32, n int)
TEXT ·stripAVX512(SB), NOSPLIT, $0-88
	MOVQ dst_base+0(FP), DX
	MOVQ w_base+24(FP), SI
	MOVQ ws+48(FP), BX
	MOVQ x_base+56(FP), DI
	MOVQ n+80(FP), CX
	ROWS4
	SHLQ $2, CX
	XORQ AX, AX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
strip512:
	VMOVUPS (DI)(AX*1), Z8
	VMULPS (SI)(AX*1), Z8, Z10
	VMULPS (R8)(AX*1), Z8, Z11
	VMULPS (R9)(AX*1), Z8, Z12
	VMULPS (R10)(AX*1), Z8, Z13
	VADDPS Z10, Z0, Z0
	VADDPS Z11, Z1, Z1
	VADDPS Z12, Z2, Z2
	VADDPS Z13, Z3, Z3
	ADDQ $64, AX
	CMPQ AX, CX
	JLT strip512
	HALVES(Z0, Y0, Y8)
	HALVES(Z1, Y1, Y9)
	HALVES(Z2, Y2, Y10)
	HALVES(Z3, Y3, Y11)
	FOLD4(Y0, X0, Y1, X1, Y2, X2, Y3, X3, X8, X9)
	VMOVUPS X0, (DX)
	VZEROUPPER
	RET

// COLUMN adds the products of the column at X with the rows in Z16–Z19 to four registers.
#define COLUMN(X, Za, Zb, Zc, Zd) \
	VMOVUPS (X)(AX*1), Z20 \
	VMULPS Z16, Z20, Z21; VMULPS Z17, Z20, Z22; VMULPS Z18, Z20, Z23; VMULPS Z19, Z20, Z24 \
	VADDPS Z21, Za, Za; VADDPS Z22, Zb, Zb; VADDPS Z23, Zc, Zc; VADDPS Z24, Zd, Zd

// STORE finishes four dot products and stores them at DX, which moves on to the next column.
#define STORE(Za, Ya, Xa, Zb, Yb, Xb, Zc, Yc, Xc, Zd, Yd, Xd) \
	HALVES(Za, Ya, Y16) \
	HALVES(Zb, Yb, Y17) \
	HALVES(Zc, Yc, Y18) \
	HALVES(Zd, Yd, Y19) \
	VEXTRACTF32X4 $1, Ya, X16; VADDPS X16, Xa, Xa \
	VEXTRACTF32X4 $1, Yb, X17; VADDPS X17, Xb, Xb \
	VEXTRACTF32X4 $1, Yc, X18; VADDPS X18, Xc, Xc \
	VEXTRACTF32X4 $1, Yd, X19; VADDPS X19, Xd, Xd \
	VUNPCKLPS Xb, Xa, X16; VUNPCKHPS Xb, Xa, X17; VADDPS X17, X16, X16 \
	VUNPCKLPS Xd, Xc, X18; VUNPCKHPS Xd, Xc, X19; VADDPS X19, X18, X18 \
	VMOVLHPS X18, X16, X17; VMOVHLPS X16, X18, X19; VADDPS X19, X17, X17 \
	VMOVUPS X17, (DX) \
	ADDQ R14, DX

// func blockAVX512(dst []float32, ds int, w []float32, ws int, x []float32, xs, n int)
// Row r of column c is in Z(4c+r).
TEXT ·blockAVX512(SB), NOSPLIT, $0-104
	MOVQ dst_base+0(FP), DX
	MOVQ ds+24(FP), R14
	MOVQ w_base+32(FP), SI
	MOVQ ws+56(FP), BX
	MOVQ x_base+64(FP), DI
	MOVQ xs+88(FP), R15
	MOVQ n+96(FP), CX
	ROWS4
	SHLQ $2, R14
	SHLQ $2, R15
	LEAQ (DI)(R15*1), R11
	LEAQ (DI)(R15*2), R12
	LEAQ (R11)(R15*2), R13
	SHLQ $2, CX
	XORQ AX, AX
	VXORPS Y0, Y0, Y0
	VXORPS Y1, Y1, Y1
	VXORPS Y2, Y2, Y2
	VXORPS Y3, Y3, Y3
	VXORPS Y4, Y4, Y4
	VXORPS Y5, Y5, Y5
	VXORPS Y6, Y6, Y6
	VXORPS Y7, Y7, Y7
	VXORPS Y8, Y8, Y8
	VXORPS Y9, Y9, Y9
	VXORPS Y10, Y10, Y10
	VXORPS Y11, Y11, Y11
	VXORPS Y12, Y12, Y12
	VXORPS Y13, Y13, Y13
	VXORPS Y14, Y14, Y14
	VXORPS Y15, Y15, Y15
block512:
	VMOVUPS (SI)(AX*1), Z16
	VMOVUPS (R8)(AX*1), Z17
	VMOVUPS (R9)(AX*1), Z18
	VMOVUPS (R10)(AX*1), Z19
	COLUMN(DI, Z0, Z1, Z2, Z3)
	COLUMN(R11, Z4, Z5, Z6, Z7)
	COLUMN(R12, Z8, Z9, Z10, Z11)
	COLUMN(R13, Z12, Z13, Z14, Z15)
	ADDQ $64, AX
	CMPQ AX, CX
	JLT block512
	STORE(Z0, Y0, X0, Z1, Y1, X1, Z2, Y2, X2, Z3, Y3, X3)
	STORE(Z4, Y4, X4, Z5, Y5, X5, Z6, Y6, X6, Z7, Y7, X7)
	STORE(Z8, Y8, X8, Z9, Y9, X9, Z10, Y10, X10, Z11, Y11, X11)
	STORE(Z12, Y12, X12, Z13, Y13, X13, Z14, Y14, X14, Z15, Y15, X15)
	VZEROUPPER
	RET

// The weigh functions take the width in pieces that fit registers and go over all positions for each.

// func weighAVX2(dst, p, v []float32)
TEXT ·weighAVX2(SB), NOSPLIT, $0-72
	MOVQ dst_base+0(FP), DX
	MOVQ dst_len+8(FP), BX
	MOVQ p_base+24(FP), SI
	MOVQ p_len+32(FP), CX
	MOVQ v_base+48(FP), DI
	MOVQ BX, R8
	SHLQ $2, R8
wide2:
	CMPQ BX, $64
	JLT narrow2
	VMOVUPS (DX), Y0
	VMOVUPS 32(DX), Y1
	VMOVUPS 64(DX), Y2
	VMOVUPS 96(DX), Y3
	VMOVUPS 128(DX), Y4
	VMOVUPS 160(DX), Y5
	VMOVUPS 192(DX), Y6
	VMOVUPS 224(DX), Y7
	MOVQ DI, R9
	XORQ AX, AX
wide2loop:
	VBROADCASTSS (SI)(AX*4), Y8
	VMULPS (R9), Y8, Y9
	VMULPS 32(R9), Y8, Y10
	VMULPS 64(R9), Y8, Y11
	VMULPS 96(R9), Y8, Y12
	VADDPS Y9, Y0, Y0
	VADDPS Y10, Y1, Y1
	VADDPS Y11, Y2, Y2
	VADDPS Y12, Y3, Y3
	VMULPS 128(R9), Y8, Y9
	VMULPS 160(R9), Y8, Y10
	VMULPS 192(R9), Y8, Y11
	VMULPS 224(R9), Y8, Y12
	VADDPS Y9, Y4, Y4
	VADDPS Y10, Y5, Y5
	VADDPS Y11, Y6, Y6
	VADDPS Y12, Y7, Y7
	ADDQ R8, R9
	INCQ AX
	CMPQ AX, CX
	JLT wide2loop
	VMOVUPS Y0, (DX)
	VMOVUPS Y1, 32(DX)
	VMOVUPS Y2, 64(DX)
	VMOVUPS Y3, 96(DX)
	VMOVUPS Y4, 128(DX)
	VMOVUPS Y5, 160(DX)
	VMOVUPS Y6, 192(DX)
	VMOVUPS Y7, 224(DX)
	ADDQ $256, DX
	ADDQ $256, DI
	SUBQ $64, BX
	JMP wide2
narrow2:
	CMPQ BX, $16
	JLT done2
	VMOVUPS (DX), Y0
	VMOVUPS 32(DX), Y1
	MOVQ DI, R9
	XORQ AX, AX
narrow2loop:
	VBROADCASTSS (SI)(AX*4), Y8
	VMULPS (R9), Y8, Y9
	VMULPS 32(R9), Y8, Y10
	VADDPS Y9, Y0, Y0
	VADDPS Y10, Y1, Y1
	ADDQ R8, R9
	INCQ AX
	CMPQ AX, CX
	JLT narrow2loop
	VMOVUPS Y0, (DX)
	VMOVUPS Y1, 32(DX)
	ADDQ $64, DX
	ADDQ $64, DI
	SUBQ $16, BX
	JMP narrow2
done2:
	VZEROUPPER
	RET

// func weighAVX512(dst, p, v []float32)
TEXT ·weighAVX512(SB), NOSPLIT, $0-72
	MOVQ dst_base+0(FP), DX
	MOVQ dst_len+8(FP), BX
	MOVQ p_base+24(FP), SI
	MOVQ p_len+32(FP), CX
	MOVQ v_base+48(FP), DI
	MOVQ BX, R8
	SHLQ $2, R8
wide512:
	CMPQ BX, $64
	JLT narrow512
	VMOVUPS (DX), Z0
	VMOVUPS 64(DX), Z1
	VMOVUPS 128(DX), Z2
	VMOVUPS 192(DX), Z3
	MOVQ DI, R9
	XORQ AX, AX
wide512loop:
	VBROADCASTSS (SI)(AX*4), Z8
	VMULPS (R9), Z8, Z9
	VMULPS 64(R9), Z8, Z10
	VMULPS 128(R9), Z8, Z11
	VMULPS 192(R9), Z8, Z12
	VADDPS Z9, Z0, Z0
	VADDPS Z10, Z1, Z1
	VADDPS Z11, Z2, Z2
	VADDPS Z12, Z3, Z3
	ADDQ R8, R9
	INCQ AX
	CMPQ AX, CX
	JLT wide512loop
	VMOVUPS Z0, (DX)
	VMOVUPS Z1, 64(DX)
	VMOVUPS Z2, 128(DX)
	VMOVUPS Z3, 192(DX)
	ADDQ $256, DX
	ADDQ $256, DI
	SUBQ $64, BX
	JMP wide512
narrow512:
	CMPQ BX, $16
	JLT done512
	VMOVUPS (DX), Z0
	MOVQ DI, R9
	XORQ AX, AX
narrow512loop:
	VBROADCASTSS (SI)(AX*4), Z8
	VMULPS (R9), Z8, Z9
	VADDPS Z9, Z0, Z0
	ADDQ R8, R9
	INCQ AX
	CMPQ AX, CX
	JLT narrow512loop
	VMOVUPS Z0, (DX)
	ADDQ $64, DX
	ADDQ $64, DI
	SUBQ $16, BX
	JMP narrow512
done512:
	VZEROUPPER
	RET
