package machine

import "golang.org/x/sys/cpu"

// features names the vector instructions of this processor that models profit
// from, as far as the system lets programs use them.
func features() (names []string) {
	x, a := cpu.X86, cpu.ARM64
	for _, f := range []struct {
		name string
		has  bool
	}{
		{"AVX2", x.HasAVX2}, {"FMA", x.HasFMA}, {"AVX-VNNI", x.HasAVXVNNI},
		{"AVX-512F", x.HasAVX512F}, {"AVX-512VL", x.HasAVX512VL}, {"AVX-512BW", x.HasAVX512BW},
		{"AVX-512-VNNI", x.HasAVX512VNNI}, {"AVX-512-BF16", x.HasAVX512BF16},
		{"AMX-INT8", x.HasAMXInt8}, {"AMX-BF16", x.HasAMXBF16},
		{"NEON", a.HasASIMD}, {"FP16", a.HasASIMDHP}, {"DotProd", a.HasASIMDDP}, {"I8MM", a.HasI8MM},
		{"SVE", a.HasSVE}, {"SVE2", a.HasSVE2},
	} {
		if f.has {
			names = append(names, f.name)
		}
	}
	return names
}
