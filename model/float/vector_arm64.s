//go:build !purego

#include "textflag.h"
#include "neon_arm64.h"

// Softmax and the gated unit.

#define CONSTANT(V) VLD1R.P (R8)(R9), [V.S4]

// CONSTANTS puts the rows of expfTable, 32 bytes each, into V16–V30, and 0 into V31.
#define CONSTANTS \
	MOVD $·expfTable(SB), R8 \
	MOVD $32, R9 \
	CONSTANT(V16); CONSTANT(V17); CONSTANT(V18); CONSTANT(V19); CONSTANT(V20) \
	CONSTANT(V21); CONSTANT(V22); CONSTANT(V23); CONSTANT(V24); CONSTANT(V25) \
	CONSTANT(V26); CONSTANT(V27); CONSTANT(V28); CONSTANT(V29); CONSTANT(V30) \
	VEOR V31.B16, V31.B16, V31.B16

#define HORNER(c) FMUL(0, 2, 2); FADD(c, 2, 2)

// EXP replaces V0 by expf(V0), using V1–V3. A NaN passes the comparison and every step.
#define EXP \
	FCMGT(0, 16, 3) \
	FMIN(17, 0, 0) \
	FMUL(18, 0, 1); FADD(19, 1, 1); FLOOR(1, 1) \
	FMUL(20, 1, 2); FSUB(2, 0, 0) \
	FMUL(21, 1, 2); FSUB(2, 0, 0) \
	FMUL(22, 0, 2); FADD(23, 2, 2) \
	HORNER(24); HORNER(25); HORNER(26); HORNER(27); HORNER(28); HORNER(29) \
	FCVTZS(1, 1) \
	VADD V30.S4, V1.S4, V1.S4 \
	VSHL $23, V1.S4, V1.S4 \
	FMUL(1, 2, 0) \
	VBIT V3.B16, V31.B16, V0.B16

// WEIGHT replaces four scores by their weights before the division and adds these to a sum.
#define WEIGHT(sum) \
	VLD1 (R2), [V0.S4] \
	FSUB(4, 0, 0) \
	EXP \
	VST1.P [V0.S4], 16(R2) \
	FADD(0, sum, sum)

// func softmaxNEON(v []float32, scale float32)
TEXT ·softmaxNEON(SB), NOSPLIT, $0-28
	MOVD v_base+0(FP), R0
	MOVD v_len+8(FP), R1
	FMOVS scale+24(FP), F5
	VDUP V5.S[0], V5.S4
	MOVD $·minusInfinity(SB), R2
	VLD1R (R2), [V4.S4]
	CONSTANTS
	MOVD R0, R2
	MOVD R1, R3
top:
	VLD1 (R2), [V0.S4, V1.S4, V2.S4, V3.S4]
	FMUL(5, 0, 0)
	FMUL(5, 1, 1)
	FMUL(5, 2, 2)
	FMUL(5, 3, 3)
	VST1.P [V0.S4, V1.S4, V2.S4, V3.S4], 64(R2)
	FMAX(1, 0, 0)
	FMAX(3, 2, 2)
	FMAX(2, 0, 0)
	FMAX(0, 4, 4)
	SUBS $16, R3, R3
	BGT top
	FMAXV(4, 4)
	VDUP V4.S[0], V4.S4
	VEOR V8.B16, V8.B16, V8.B16
	VEOR V9.B16, V9.B16, V9.B16
	VEOR V10.B16, V10.B16, V10.B16
	VEOR V11.B16, V11.B16, V11.B16
	MOVD R0, R2
	MOVD R1, R3
exp:
	WEIGHT(8)
	WEIGHT(9)
	WEIGHT(10)
	WEIGHT(11)
	SUBS $16, R3, R3
	BGT exp
	FADD(10, 8, 8)
	FADD(11, 9, 9)
	FADD(9, 8, 8)
	VEXT $8, V8.B16, V8.B16, V9.B16
	FADD(9, 8, 8)
	FADDP(8, 8, 8)
	VDUP V8.S[0], V8.S4
divide:
	VLD1 (R0), [V0.S4, V1.S4, V2.S4, V3.S4]
	FDIV(8, 0, 0)
	FDIV(8, 1, 1)
	FDIV(8, 2, 2)
	FDIV(8, 3, 3)
	VST1.P [V0.S4, V1.S4, V2.S4, V3.S4], 64(R0)
	SUBS $16, R1, R1
	BGT divide
	RET

// func gateNEON(dst, g, u []float32)
TEXT ·gateNEON(SB), NOSPLIT, $0-72
	MOVD dst_base+0(FP), R0
	MOVD dst_len+8(FP), R1
	MOVD g_base+24(FP), R2
	MOVD u_base+48(FP), R3
	CONSTANTS
gate:
	VLD1.P 16(R2), [V4.S4]
	VLD1.P 16(R3), [V5.S4]
	FNEG(4, 0)
	EXP
	FADD(29, 0, 0) // 1
	FDIV(0, 4, 0)
	FMUL(5, 0, 0)
	VST1.P [V0.S4], 16(R0)
	SUBS $4, R1, R1
	BGT gate
	RET
