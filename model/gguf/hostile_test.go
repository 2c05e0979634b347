package gguf

import (
	"bytes"
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
)

// raw builds files that Write would refuse.
type raw []byte

func begin(version uint32, tensors, keys uint64) raw {
	return raw(le.AppendUint64(le.AppendUint64(le.AppendUint32([]byte(magic), version), tensors), keys))
}

func (r raw) u32(v uint32) raw    { return le.AppendUint32(r, v) }
func (r raw) u64(v ...uint64) raw { return appendAll(r, v) }
func (r raw) text(s string) raw   { return appendString(r, s) }
func (r raw) zeros(n int) raw     { return append(r, make([]byte, n)...) }

func appendAll(r raw, v []uint64) raw {
	for _, x := range v {
		r = le.AppendUint64(r, x)
	}
	return r
}

// tensor appends a tensor of F32.
func (r raw) tensor(name string, offset uint64, dims ...uint64) raw {
	return r.text(name).u32(uint32(len(dims))).u64(dims...).u32(0).u64(offset)
}

var hostile = []struct {
	name string
	data raw
	want string // part of the error
}{
	{"nothing", nil, "ends"},
	{"other file", raw("GGML0000000000000000000000"), "not a gguf file"},
	{"version 0", begin(0, 0, 0), "version 0"},
	{"version 1", begin(1, 0, 0), "version 1"},
	{"version 4", begin(4, 0, 0), "version 4"},
	{"big endian", begin(3<<24, 0, 0), "big-endian"},
	{"huge tensor count", begin(3, 1<<60, 0).zeros(100), "count"},
	{"huge key count", begin(3, 0, math.MaxUint64).zeros(100), "count"},
	{"counts beyond the file", begin(3, 60000, 60000).zeros(4096), "count"},
	{"too many keys", begin(3, 0, maxKeys+1).zeros(minKeyBytes * (maxKeys + 1)), "count"},
	{"key length", begin(3, 0, 1).u64(1 << 60).zeros(100), "count"},
	{"empty key", begin(3, 0, 1).text("").zeros(100), "key"},
	{"key not UTF-8", begin(3, 0, 1).text("a\xff").u32(0).zeros(1), "UTF-8"},
	{"long key", begin(3, 0, 1).text(strings.Repeat("k", maxKeyBytes+1)).u32(0).zeros(1), "too long"},
	{"value type", begin(3, 0, 1).text("a").u32(13).zeros(100), "type 13"},
	{"boolean", append(begin(3, 0, 1).text("a").u32(7), 2), "boolean"},
	{"boolean array", append(begin(3, 0, 1).text("a").u32(9).u32(7).u64(2), 1, 2), "boolean"},
	{"string length", begin(3, 0, 1).text("a").u32(8).u64(1 << 62).zeros(10), "count"},
	{"array length", begin(3, 0, 1).text("a").u32(9).u32(4).u64(1 << 61).zeros(10), "count"},
	{"array length wraps", begin(3, 0, 1).text("a").u32(9).u32(10).u64(1<<61 + 1).zeros(10), "count"},
	{"array type", begin(3, 0, 1).text("a").u32(9).u32(99).u64(1).zeros(10), "type 99"},
	{"array of arrays", begin(3, 0, 1).text("a").u32(9).u32(9).u64(1).u32(9).u64(1).zeros(30), "arrays of arrays"},
	{"string in an array", begin(3, 0, 1).text("a").u32(9).u32(8).u64(2).u64(0).u64(1 << 40), "count"},
	{"same key", begin(3, 0, 2).text("a").u32(4).u32(1).text("a").u32(4).u32(1), "twice"},
	{"alignment 0", begin(3, 0, 1).text(alignmentKey).u32(4).u32(0), alignmentKey},
	{"alignment 4", begin(3, 0, 1).text(alignmentKey).u32(4).u32(4), alignmentKey},
	{"alignment 12", begin(3, 0, 1).text(alignmentKey).u32(4).u32(12), alignmentKey},
	{"alignment huge", begin(3, 0, 1).text(alignmentKey).u32(4).u32(1 << 31), alignmentKey},
	{"alignment as text", begin(3, 0, 1).text(alignmentKey).u32(8).text("32"), alignmentKey},
	{"tensor name", begin(3, 1, 0).text("").zeros(100), "name"},
	{"long tensor name", begin(3, 1, 0).tensor(strings.Repeat("n", 65), 0, 1).zeros(100), "name"},
	{"tensor name not UTF-8", begin(3, 1, 0).tensor("\xfe", 0, 1).zeros(100), "name"},
	{"same tensor", begin(3, 2, 0).tensor("a", 0, 1).tensor("a", 32, 1).zeros(100), "twice"},
	{"no dimensions", begin(3, 1, 0).tensor("a", 0).zeros(100), "0 dimensions"},
	{"dimensions", begin(3, 1, 0).tensor("a", 0, 1, 1, 1, 1, 1).zeros(100), "5 dimensions"},
	{"many dimensions", begin(3, 1, 0).text("a").u32(math.MaxUint32).zeros(100), "dimensions"},
	{"zero dimension", begin(3, 1, 0).tensor("a", 0, 4, 0).zeros(100), "impossible"},
	{"2^60 elements", begin(3, 1, 0).tensor("a", 0, 1<<60).zeros(100), "impossible"},
	{"product wraps to 1", begin(3, 1, 0).tensor("a", 0, 0xaaaaaaaaaaaaaaab, 3).zeros(100), "impossible"},
	{"product wraps to 1 at last", begin(3, 1, 0).tensor("a", 0, 3, 0xaaaaaaaaaaaaaaab).zeros(100), "impossible"},
	{"product wraps to 0", begin(3, 1, 0).tensor("a", 0, 1<<32, 1<<32).zeros(100), "impossible"},
	{"size beyond the file", begin(3, 1, 0).tensor("a", 0, 1<<30).zeros(100), "outside"},
	{"unknown type", begin(3, 1, 0).text("a").u32(1).u64(256).u32(13).u64(0).zeros(200), "Q5_K"},
	{"type from nowhere", begin(3, 1, 0).text("a").u32(1).u64(256).u32(1 << 31).u64(0).zeros(200), "not supported"},
	{"partial block", begin(3, 1, 0).text("a").u32(1).u64(33).u32(8).u64(0).zeros(200), "multiple"},
	{"row of half a Q4_K block", begin(3, 1, 0).text("a").u32(1).u64(128).u32(12).u64(0).zeros(200), "multiple of 256"},
	{"row of 32 Q6_K elements", begin(3, 1, 0).text("a").u32(2).u64(32, 8).u32(14).u64(0).zeros(400), "multiple of 256"},
	{"Q4_K data cut", begin(3, 1, 0).text("a").u32(1).u64(512).u32(12).u64(0).zeros(280), "outside"},
	{"Q6_K data cut", begin(3, 1, 0).text("a").u32(1).u64(512).u32(14).u64(0).zeros(400), "outside"},
	{"offset beyond the file", begin(3, 1, 0).tensor("a", 1<<20, 1).zeros(100), "outside"},
	{"offset wraps", begin(3, 1, 0).tensor("a", math.MaxUint64-31, 1).zeros(100), "outside"},
	{"offset by one block", begin(3, 1, 0).tensor("a", 64, 16).zeros(100), "outside"},
	{"misaligned", begin(3, 1, 0).tensor("a", 4, 1).zeros(100), "aligned"},
	{"overlap", begin(3, 2, 0).tensor("a", 0, 16).tensor("b", 32, 16).zeros(400), "overlap"},
	{"same place", begin(3, 2, 0).tensor("a", 32, 1).tensor("b", 32, 1).zeros(400), "overlap"},
	{"data cut", begin(3, 1, 0).tensor("a", 0, 16).zeros(63), "outside"},
}

// recovering parses, and reports a panic.
func recovering(t *testing.T, data []byte) (f *File, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
			t.Error(err)
		}
	}()
	return Parse(data)
}

func TestHostile(t *testing.T) {
	for _, c := range hostile {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		f, err := recovering(t, c.data)
		runtime.ReadMemStats(&after)
		if err == nil || f != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
			t.Errorf("%s: %d bytes were allocated for a file of %d", c.name, grown, len(c.data))
		}
	}
}

// TestEveryCut cuts a good file at every byte: only the padding after the last tensor may go.
func TestEveryCut(t *testing.T) {
	data := write(t, every, tensor(t, "x", Q8_0, []int{32}, make([]float32, 32)))
	last := len(data) - padding(34, defaultAlignment)
	for n := range data {
		if _, err := Parse(data[:n]); (err == nil) != (n >= last) {
			t.Fatalf("cut to %d of %d bytes: %v", n, len(data), err)
		}
	}
}

func TestVersion2(t *testing.T) {
	data := write(t, every)
	data[4] = 2
	if v := parse(t, data).Version(); v != 2 {
		t.Fatalf("version %d", v)
	}
}

func FuzzParse(f *testing.F) {
	for _, c := range hostile {
		f.Add([]byte(c.data))
	}
	f.Add(write(f, every, tensor(f, "x", Q4_1, []int{32, 2}, make([]float32, 64)), tensor(f, "y", BF16, []int{3}, make([]float32, 3))))
	f.Add(write(f, nil, tensor(f, "x", Q4_K, []int{256, 2}, make([]float32, 512)), tensor(f, "y", Q6_K, []int{256}, make([]float32, 256))))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := recovering(t, data)
		if err != nil {
			return
		}
		for _, key := range file.Keys() {
			file.String(key)
			file.Uint(key)
			file.Float(key)
			file.Bool(key)
			file.Strings(key)
			file.Ints(key)
			file.Floats(key)
		}
		var again []TensorData
		for _, x := range file.Tensors() {
			row := make([]float32, x.Dims[0])
			x.Dequantize(row, x.Rows()-1)
			again = append(again, TensorData{x.Name, x.Dims, x.Type, x.Bytes()})
		}
		var b bytes.Buffer
		if err := Write(&b, nil, again); err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		for _, x := range parse(t, b.Bytes()).Tensors() {
			if y, _ := file.Tensor(x.Name); !bytes.Equal(x.Bytes(), y.Bytes()) {
				t.Fatalf("the tensor %q changed", x.Name)
			}
		}
	})
}
