package main

import (
	"slices"
	"testing"
)

func TestUnusedFeatures(t *testing.T) {
	const cpuinfo = "model name\t: x\nflags\t\t: fpu pni avx avx2 avx512f avx512_vnni\n\nflags\t\t: fpu pni avx avx2 avx512f avx512_vnni\n"
	const all = "CPU : SSE3 = 1 | AVX = 1 | AVX2 = 1 | AVX512 = 1 | AVX512_VNNI = 1 | REPACK = 1 | "
	if names := unused(cpuinfo, all); names != nil {
		t.Errorf("unused: %q", names)
	}
	const some = "CPU : SSE3 = 1 | AVX = 1 | AVX2 = 1 | AVX512_VNNI = 0 | "
	if names := unused(cpuinfo, some); !slices.Equal(names, []string{"AVX512", "AVX512_VNNI"}) {
		t.Errorf("unused: %q", names)
	}
	if names := unused("Features\t: fp asimd asimddp\n", "CPU : NEON = 1 | "); !slices.Equal(names, []string{"DOTPROD"}) {
		t.Errorf("unused on arm64: %q", names)
	}
}
