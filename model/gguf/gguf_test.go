package gguf

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

var every = []KV{
	{"general.architecture", "test"},
	{"u8", uint8(255)}, {"i8", int8(-1)}, {"u16", uint16(65535)}, {"i16", int16(7)}, {"u32", uint32(1 << 31)},
	{"i32", int32(-5)}, {"u64", uint64(math.MaxUint64)}, {"i64", int64(math.MinInt64)},
	{"f32", float32(1.5)}, {"f64", 0.1}, {"yes", true}, {"no", false}, {"empty", ""}, {"text", "hé\x00\xff"},
	{"strings", []string{"a", "", "ccc"}}, {"none", []string{}}, {"bools", []bool{true, false}},
	{"u8s", []uint8{1, 255}}, {"i8s", []int8{-1, 2}}, {"u16s", []uint16{65535}}, {"i16s", []int16{-3}},
	{"u32s", []uint32{math.MaxUint32}}, {"i32s", []int32{3, -4}}, {"u64s", []uint64{5}}, {"i64s", []int64{-6}},
	{"huge", []uint64{math.MaxUint64}}, {"f32s", []float32{1, -2}}, {"f64s", []float64{0.25}},
}

func write(t testing.TB, kv []KV, tensors ...TensorData) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, kv, tensors); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func tensor(t testing.TB, name string, kind Type, dims []int, values []float32) TensorData {
	t.Helper()
	data, err := Quantize(kind, values)
	if err != nil {
		t.Fatal(err)
	}
	return TensorData{name, dims, kind, data}
}

func parse(t testing.TB, data []byte) *File {
	t.Helper()
	f, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestMetadata(t *testing.T) {
	f := parse(t, write(t, every))
	if f.Version() != 3 || len(f.Keys()) != len(every) || f.Keys()[1] != "u8" {
		t.Fatalf("version %d, keys %q", f.Version(), f.Keys())
	}
	// For each accessor, what it must give for each key; for every other key it must give nothing.
	check(t, "String", f.String, map[string]string{"general.architecture": "test", "empty": "", "text": "hé\x00\xff"})
	check(t, "Uint", f.Uint, map[string]uint64{"u8": 255, "u16": 65535, "i16": 7, "u32": 1 << 31, "u64": math.MaxUint64})
	check(t, "Float", f.Float, map[string]float32{"f32": 1.5, "f64": 0.1})
	check(t, "Bool", f.Bool, map[string]bool{"yes": true, "no": false})
	check(t, "Strings", f.Strings, map[string][]string{"strings": {"a", "", "ccc"}, "none": {}})
	check(t, "Ints", f.Ints, map[string][]int64{"u8s": {1, 255}, "i8s": {-1, 2}, "u16s": {65535}, "i16s": {-3},
		"u32s": {math.MaxUint32}, "i32s": {3, -4}, "u64s": {5}, "i64s": {-6}})
	check(t, "Floats", f.Floats, map[string][]float32{"f32s": {1, -2}, "f64s": {0.25}})
}

func check[T any](t *testing.T, name string, get func(string) (T, bool), want map[string]T) {
	t.Helper()
	for _, kv := range append(every, KV{Key: "absent"}) {
		w, expected := want[kv.Key]
		got, ok := get(kv.Key)
		if ok != expected || ok && !reflect.DeepEqual(got, w) {
			t.Errorf("%s(%s) = %v, %v; want %v, %v", name, kv.Key, got, ok, w, expected)
		}
	}
}

func TestTensors(t *testing.T) {
	values := make([]float32, 64*3)
	for i := range values {
		values[i] = float32(i)
	}
	for _, alignment := range []uint32{8, 32, 4096} {
		f := parse(t, write(t, []KV{{alignmentKey, alignment}},
			tensor(t, "a", F32, []int{3}, values[:3]), tensor(t, "b", F16, []int{32, 2, 3}, values)))
		b, ok := f.Tensor("b")
		if !ok || b.Rows() != 6 || !reflect.DeepEqual(b.Dims, []int{32, 2, 3}) || len(b.Bytes()) != 384 || b.start%int(alignment) != 0 {
			t.Fatalf("tensor b: %+v", b)
		}
		row := make([]float32, 32)
		b.Dequantize(row, 5)
		if !reflect.DeepEqual(row, values[160:]) {
			t.Fatalf("row 5: %v", row)
		}
		if _, ok := f.Tensor("c"); ok || len(f.Tensors()) != 2 {
			t.Fatal("there are two tensors")
		}
	}
}

// TestLayouts pins the meaning of stored bytes.
func TestLayouts(t *testing.T) {
	half, two := []byte{0x00, 0x38}, []byte{0x00, 0x40} // 0.5 and 2 as F16
	nibbles := make([]byte, 16)
	for i := range nibbles {
		nibbles[i] = byte(i | (15-i)<<4)
	}
	bytes8 := make([]byte, 32)
	for i := range bytes8 {
		bytes8[i] = byte(int8(i*8 - 128))
	}
	cat := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for _, c := range []struct {
		kind Type
		n    int
		data []byte
		want func(i int) float32
	}{
		{F32, 1, []byte{0, 0, 0xc0, 0x3f}, func(int) float32 { return 1.5 }},
		{F16, 1, half, func(int) float32 { return 0.5 }},
		{BF16, 1, []byte{0xc0, 0x3f}, func(int) float32 { return 1.5 }},
		{Q8_0, 32, cat(half, bytes8), func(i int) float32 { return float32(i*8-128) / 2 }},
		{Q4_0, 32, cat(half, nibbles), func(i int) float32 { return float32(level4(i)-8) / 2 }},
		{Q4_1, 32, cat(half, two, nibbles), func(i int) float32 { return float32(level4(i))/2 + 2 }},
	} {
		f := parse(t, write(t, nil, TensorData{"x", []int{c.n, 2}, c.kind, cat(c.data, c.data)}))
		x, _ := f.Tensor("x")
		got := make([]float32, c.n)
		x.Dequantize(got, 1)
		for i := range got {
			if got[i] != c.want(i) {
				t.Errorf("%s element %d is %g, want %g", c.kind, i, got[i], c.want(i))
			}
		}
	}
}

func level4(i int) int {
	if i < 16 {
		return i
	}
	return 15 - (i - 16)
}

func TestF16(t *testing.T) {
	for i := range 1 << 16 {
		h := uint16(i)
		want := math.Ldexp(float64(h&0x3ff|0x400), int(h>>10&31)-25)
		switch {
		case h&0x7c00 == 0:
			want = math.Ldexp(float64(h&0x3ff), -24)
		case h&0x7fff == 0x7c00:
			want = math.Inf(1)
		case h&0x7c00 == 0x7c00:
			if x := fromF16(h); x == x {
				t.Fatalf("%#x is a number", h)
			}
			continue
		}
		if h&0x8000 != 0 {
			want = -want
		}
		x := fromF16(h)
		if float64(x) != want || math.Signbit(float64(x)) != math.Signbit(want) {
			t.Fatalf("%#x is %g, want %g", h, x, want)
		}
		if toF16(x) != h {
			t.Fatalf("%g is stored as %#x, not %#x", x, toF16(x), h)
		}
		if h&0x7fff >= 0x7bff {
			continue
		}
		// Halfway to the next number goes to the even one, a hair more or less to the nearer.
		next := fromF16(h + 1)
		middle := (x + next) / 2
		even := h + h&1
		if toF16(middle) != even || toF16(math.Nextafter32(middle, x)) != h || toF16(math.Nextafter32(middle, next)) != h+1 {
			t.Fatalf("rounding around %#x", h)
		}
	}
}

func TestQuantizeIsNear(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		kind Type
		step float64 // of a number's error, in spans of its block
	}{{F32, 0}, {F16, 1e-3}, {BF16, 8e-3}, {Q8_0, 0.0045}, {Q4_0, 0.08}, {Q4_1, 0.04}} {
		values := make([]float32, 320)
		for i := range values {
			values[i] = float32(random.NormFloat64()) * float32(int(1)<<(i/32))
		}
		clear(values[288:]) // a block of zeros
		data := tensor(t, "x", c.kind, []int{320}, values)
		x, _ := parse(t, write(t, nil, data)).Tensor("x")
		got := make([]float32, 320)
		x.Dequantize(got, 0)
		for i := range got {
			low, high := bounds(values[i/32*32:][:32])
			if e := math.Abs(float64(got[i] - values[i])); e > c.step*float64(max(high, -low, high-low)) {
				t.Errorf("%s: %g became %g", c.kind, values[i], got[i])
			}
		}
	}
}

func TestQuantizeRefuses(t *testing.T) {
	block := func(x float32) []float32 {
		b := make([]float32, 32)
		b[7] = x
		return b
	}
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, kind := range []Type{F32, F16, BF16, Q8_0, Q4_0, Q4_1} {
		for _, x := range []float32{nan, inf, -inf} {
			if _, err := Quantize(kind, block(x)); !errors.Is(err, errNotFinite) {
				t.Errorf("%s of %g: %v", kind, x, err)
			}
		}
		if _, err := Quantize(kind, block(math.MaxFloat32)); (err == nil) != (kind == F32) {
			t.Errorf("%s of the largest float32: %v", kind, err)
		}
		if _, err := Quantize(kind, make([]float32, 31)); (err == nil) != (kind.layout().elements == 1) {
			t.Errorf("%s of 31 numbers: %v", kind, err)
		}
	}
	if _, err := Quantize(13, block(1)); err == nil {
		t.Error("Q5_K cannot be made")
	}
}

func TestWriteRefuses(t *testing.T) {
	one := TensorData{"x", []int{1}, F32, make([]byte, 4)}
	for name, c := range map[string]struct {
		kv      []KV
		tensors []TensorData
	}{
		"duplicate key":    {kv: []KV{{"a", true}, {"a", true}}},
		"empty key":        {kv: []KV{{"", true}}},
		"int of no size":   {kv: []KV{{"a", 1}}},
		"nil":              {kv: []KV{{"a", nil}}},
		"alignment":        {kv: []KV{{alignmentKey, uint32(24)}}},
		"alignment type":   {kv: []KV{{alignmentKey, uint64(32)}}},
		"duplicate tensor": {tensors: []TensorData{one, one}},
		"data size":        {tensors: []TensorData{{"x", []int{2}, F32, make([]byte, 4)}}},
		"no dimension":     {tensors: []TensorData{{"x", nil, F32, nil}}},
		"negative":         {tensors: []TensorData{{"x", []int{-1}, F32, nil}}},
		"partial block":    {tensors: []TensorData{{"x", []int{16}, Q8_0, make([]byte, 17)}}},
	} {
		var b bytes.Buffer
		if err := Write(&b, c.kv, c.tensors); err == nil || b.Len() > 0 {
			t.Errorf("%s: error %v after %d bytes", name, err, b.Len())
		}
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "model.gguf")
	if err := os.WriteFile(path, write(t, every, tensor(t, "x", F32, []int{2}, []float32{3, 4})), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	x, _ := f.Tensor("x")
	row := make([]float32, 2)
	x.Dequantize(row, 0)
	if row[1] != 4 {
		t.Fatalf("row %v", row)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatalf("second close: %v", err)
	}
	if _, ok := f.String("text"); ok {
		t.Fatal("a closed file still answers")
	}
	empty, bad := filepath.Join(dir, "empty"), filepath.Join(dir, "bad")
	for path, content := range map[string]string{empty: "", bad: "GGML"} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, path := range []string{dir, empty, bad, filepath.Join(dir, "absent")} {
		if _, err := Open(path); err == nil {
			t.Errorf("%s was opened", path)
		}
	}
}

func TestDequantizeChecksSizes(t *testing.T) {
	for name, call := range map[string]func(){
		"short source":  func() { Q4_1.Dequantize(make([]float32, 64), make([]byte, 39)) },
		"long source":   func() { Q8_0.Dequantize(make([]float32, 32), make([]byte, 68)) },
		"partial block": func() { Q8_0.Dequantize(make([]float32, 16), make([]byte, 17)) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s passes", name)
				}
			}()
			call()
		}()
	}
}
