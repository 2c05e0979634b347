//go:build !purego

#include "textflag.h"
#include "neon_arm64.h"

// ROW adds the products of the column in V16–V19 with sixteen elements of a row to four registers.
#define ROW(R, a, b, c, d) \
	VLD1.P 64(R), [V20.S4, V21.S4, V22.S4, V23.S4] \
	FMUL(20, 16, 20); FMUL(21, 17, 21); FMUL(22, 18, 22); FMUL(23, 19, 23) \
	FADD(20, a, a); FADD(21, b, b); FADD(22, c, c); FADD(23, d, d)

// HALVES joins a row's sums k and k+8, then k and k+4, in its first register.
#define HALVES(a, b, c, d) FADD(c, a, a); FADD(d, b, b); FADD(b, a, a)

// func stripNEON(dst, w []float32, ws int, x []float32, n int)
// Row r has lanes 4i to 4i+3 in V(4r+i).
TEXT ·stripNEON(SB), NOSPLIT, $0-88
	MOVD dst_base+0(FP), R0
	MOVD w_base+24(FP), R1
	MOVD ws+48(FP), R5
	MOVD x_base+56(FP), R6
	MOVD n+80(FP), R7
	ADD R5<<2, R1, R2
	ADD R5<<2, R2, R3
	ADD R5<<2, R3, R4
	VEOR V0.B16, V0.B16, V0.B16
	VEOR V1.B16, V1.B16, V1.B16
	VEOR V2.B16, V2.B16, V2.B16
	VEOR V3.B16, V3.B16, V3.B16
	VEOR V4.B16, V4.B16, V4.B16
	VEOR V5.B16, V5.B16, V5.B16
	VEOR V6.B16, V6.B16, V6.B16
	VEOR V7.B16, V7.B16, V7.B16
	VEOR V8.B16, V8.B16, V8.B16
	VEOR V9.B16, V9.B16, V9.B16
	VEOR V10.B16, V10.B16, V10.B16
	VEOR V11.B16, V11.B16, V11.B16
	VEOR V12.B16, V12.B16, V12.B16
	VEOR V13.B16, V13.B16, V13.B16
	VEOR V14.B16, V14.B16, V14.B16
	VEOR V15.B16, V15.B16, V15.B16
strip:
	VLD1.P 64(R6), [V16.S4, V17.S4, V18.S4, V19.S4]
	ROW(R1, 0, 1, 2, 3)
	ROW(R2, 4, 5, 6, 7)
	ROW(R3, 8, 9, 10, 11)
	ROW(R4, 12, 13, 14, 15)
	SUBS $16, R7, R7
	BGT strip
	HALVES(0, 1, 2, 3)
	HALVES(4, 5, 6, 7)
	HALVES(8, 9, 10, 11)
	HALVES(12, 13, 14, 15)
	// Of the rows a and b: a0+a2 a1+a3 b0+b2 b1+b3. Then neighbours.
	VZIP1 V4.D2, V0.D2, V16.D2
	VZIP2 V4.D2, V0.D2, V17.D2
	VZIP1 V12.D2, V8.D2, V18.D2
	VZIP2 V12.D2, V8.D2, V19.D2
	FADD(17, 16, 16)
	FADD(19, 18, 18)
	FADDP(18, 16, 0)
	VST1 [V0.S4], (R0)
	RET

// PRODUCTS adds sixteen values, weighed by V20, to four registers.
#define PRODUCTS(a, b, c, d) \
	VLD1.P 64(R5), [V16.S4, V17.S4, V18.S4, V19.S4] \
	FMUL(20, 16, 16); FMUL(20, 17, 17); FMUL(20, 18, 18); FMUL(20, 19, 19) \
	FADD(16, a, a); FADD(17, b, b); FADD(18, c, c); FADD(19, d, d)

// func weighNEON(dst, p, v []float32)
// It takes the width in pieces that fit registers and goes over all positions for each.
TEXT ·weighNEON(SB), NOSPLIT, $0-72
	MOVD dst_base+0(FP), R0
	MOVD dst_len+8(FP), R1
	MOVD p_base+24(FP), R2
	MOVD p_len+32(FP), R3
	MOVD v_base+48(FP), R4
	LSL $2, R1, R8 // from one position to the next, in bytes
wide:
	CMP $64, R1
	BLT narrow
	VLD1.P 64(R0), [V0.S4, V1.S4, V2.S4, V3.S4]
	VLD1.P 64(R0), [V4.S4, V5.S4, V6.S4, V7.S4]
	VLD1.P 64(R0), [V8.S4, V9.S4, V10.S4, V11.S4]
	VLD1 (R0), [V12.S4, V13.S4, V14.S4, V15.S4]
	SUB $192, R0, R0
	SUB $256, R8, R9
	MOVD R4, R5
	MOVD R2, R6
	MOVD R3, R7
wideloop:
	VLD1R.P 4(R6), [V20.S4]
	PRODUCTS(0, 1, 2, 3)
	PRODUCTS(4, 5, 6, 7)
	PRODUCTS(8, 9, 10, 11)
	PRODUCTS(12, 13, 14, 15)
	ADD R9, R5, R5
	SUBS $1, R7, R7
	BGT wideloop
	VST1.P [V0.S4, V1.S4, V2.S4, V3.S4], 64(R0)
	VST1.P [V4.S4, V5.S4, V6.S4, V7.S4], 64(R0)
	VST1.P [V8.S4, V9.S4, V10.S4, V11.S4], 64(R0)
	VST1.P [V12.S4, V13.S4, V14.S4, V15.S4], 64(R0)
	ADD $256, R4, R4
	SUB $64, R1, R1
	B wide
narrow:
	CMP $16, R1
	BLT done
	VLD1 (R0), [V0.S4, V1.S4, V2.S4, V3.S4]
	SUB $64, R8, R9
	MOVD R4, R5
	MOVD R2, R6
	MOVD R3, R7
narrowloop:
	VLD1R.P 4(R6), [V20.S4]
	PRODUCTS(0, 1, 2, 3)
	ADD R9, R5, R5
	SUBS $1, R7, R7
	BGT narrowloop
	VST1.P [V0.S4, V1.S4, V2.S4, V3.S4], 64(R0)
	ADD $64, R4, R4
	SUB $16, R1, R1
	B narrow
done:
	RET
