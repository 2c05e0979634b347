// The vector float instructions that Go's assembler does not know, on four float32 each. Arguments are register
// numbers in the assembler's own order: the destination d comes last, and m and n are the manual's Vm and Vn.
// There is no FMLA here: products are rounded before they are added.

#define THREE(code, m, n, d) WORD $(code | (m)<<16 | (n)<<5 | (d))
#define TWO(code, n, d) WORD $(code | (n)<<5 | (d))

#define FMUL(m, n, d) THREE(0x6e20dc00, m, n, d)  // fmul  vd.4s, vn.4s, vm.4s
#define FDIV(m, n, d) THREE(0x6e20fc00, m, n, d)  // fdiv  vd.4s, vn.4s, vm.4s: n/m
#define FADD(m, n, d) THREE(0x4e20d400, m, n, d)  // fadd  vd.4s, vn.4s, vm.4s
#define FSUB(m, n, d) THREE(0x4ea0d400, m, n, d)  // fsub  vd.4s, vn.4s, vm.4s: n−m
#define FADDP(m, n, d) THREE(0x6e20d400, m, n, d) // faddp vd.4s, vn.4s, vm.4s: n0+n1 n2+n3 m0+m1 m2+m3
#define FMAX(m, n, d) THREE(0x4e20f400, m, n, d)  // fmax  vd.4s, vn.4s, vm.4s
#define FMIN(m, n, d) THREE(0x4ea0f400, m, n, d)  // fmin  vd.4s, vn.4s, vm.4s
#define FCMGT(m, n, d) THREE(0x6ea0e400, m, n, d) // fcmgt vd.4s, vn.4s, vm.4s: n > m

#define FMAXV(n, d) TWO(0x6e30f800, n, d)  // fmaxv  sd, vn.4s
#define FNEG(n, d) TWO(0x6ea0f800, n, d)   // fneg   vd.4s, vn.4s
#define FLOOR(n, d) TWO(0x4e219800, n, d)  // frintm vd.4s, vn.4s
#define FCVTZS(n, d) TWO(0x4ea1b800, n, d) // fcvtzs vd.4s, vn.4s
#define SCVTF24(n, d) TWO(0x4f28e400, n, d) // scvtf vd.4s, vn.4s, #24: of n/2^24
#define FCVTL(n, d) TWO(0x0e217800, n, d)  // fcvtl  vd.4s, vn.4h
#define FCVTL2(n, d) TWO(0x4e217800, n, d) // fcvtl2 vd.4s, vn.8h
