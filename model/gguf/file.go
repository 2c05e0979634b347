// Package gguf reads and writes GGUF model files, versions 2 and 3, little endian.
//
// A GGUF file is a table of typed metadata, a table of tensors and one aligned data section. Files
// come from strangers: Parse checks every count, length, type, shape and offset against the bytes
// that are really there before it allocates anything in proportion to them, and refuses a bad file
// with one error. A File that Parse returned can be read without further checks.
//
// Start with Open, then File.String and its siblings for metadata and File.Tensor for weights.
// Tensor.Dequantize turns one row into float32, Type.Dequantize any run of blocks; the arithmetic is
// normative (spec/float.md), so the same file gives the same floats on every machine. Write makes files,
// Quantize their tensor data.
package gguf

import (
	"math"
	"slices"
)

// File is a parsed GGUF file. It may be read by any number of goroutines until Close.
type File struct {
	version uint32
	data    []byte // the whole file
	keys    []string
	values  map[string]value
	tensors []Tensor
	index   map[string]int // tensor name to place in tensors
	release func() error   // gives data back; nil if nothing is to be given back
}

// value locates one metadata value in File.data; nothing is decoded before it is asked for.
type value struct {
	kind  kind
	elem  kind // of an array
	count int  // elements of an array, bytes of a string
	start int  // offset of the payload
}

// Version is the format version of the file, 2 or 3.
func (f *File) Version() uint32 { return f.version }

// Keys lists the metadata keys in file order.
func (f *File) Keys() []string { return slices.Clone(f.keys) }

// Close gives the file's memory back. Neither the File nor its tensors may be used afterwards.
func (f *File) Close() error {
	release := f.release
	f.data, f.release, f.values, f.tensors, f.index = nil, nil, nil, nil, nil
	if release == nil {
		return nil
	}
	return release()
}

// String returns a string value. The bytes are as in the file and need not be UTF-8.
func (f *File) String(key string) (string, bool) {
	v, ok := f.values[key]
	if !ok || v.kind != kindString {
		return "", false
	}
	return string(f.data[v.start : v.start+v.count]), true
}

// Uint returns a value of any integer type, if it is not negative.
func (f *File) Uint(key string) (uint64, bool) {
	v, ok := f.values[key]
	if !ok || !v.kind.integer() {
		return 0, false
	}
	n := v.kind.int(f.data[v.start:])
	if n < 0 && v.kind != kindUint64 {
		return 0, false
	}
	return uint64(n), true
}

// Float returns a floating-point value; a 64-bit one is rounded.
func (f *File) Float(key string) (float32, bool) {
	v, ok := f.values[key]
	if !ok || !v.kind.float() {
		return 0, false
	}
	return v.kind.float32(f.data[v.start:]), true
}

// Bool returns a boolean value.
func (f *File) Bool(key string) (value, ok bool) {
	v, ok := f.values[key]
	if !ok || v.kind != kindBool {
		return false, false
	}
	return f.data[v.start] == 1, true
}

// Strings returns an array of strings.
func (f *File) Strings(key string) ([]string, bool) {
	v, ok := f.array(key, func(k kind) bool { return k == kindString })
	if !ok {
		return nil, false
	}
	out := make([]string, v.count)
	c := cursor{data: f.data, pos: v.start}
	for i := range out {
		out[i] = string(c.bytes(c.length("string")))
	}
	return out, true
}

// Ints returns an array of any integer type, if every element fits an int64.
func (f *File) Ints(key string) ([]int64, bool) {
	v, ok := f.array(key, kind.integer)
	if !ok {
		return nil, false
	}
	out := make([]int64, v.count)
	for i := range out {
		out[i] = v.elem.int(f.data[v.start+i*v.elem.size():])
		if v.elem == kindUint64 && out[i] < 0 {
			return nil, false
		}
	}
	return out, true
}

// Floats returns an array of floating-point numbers; 64-bit ones are rounded.
func (f *File) Floats(key string) ([]float32, bool) {
	v, ok := f.array(key, kind.float)
	if !ok {
		return nil, false
	}
	out := make([]float32, v.count)
	for i := range out {
		out[i] = v.elem.float32(f.data[v.start+i*v.elem.size():])
	}
	return out, true
}

func (f *File) array(key string, accept func(kind) bool) (value, bool) {
	v, ok := f.values[key]
	return v, ok && v.kind == kindArray && accept(v.elem)
}

// Tensors lists the tensors in file order.
func (f *File) Tensors() []Tensor { return slices.Clone(f.tensors) }

// Tensor finds a tensor by name.
func (f *File) Tensor(name string) (*Tensor, bool) {
	i, ok := f.index[name]
	if !ok {
		return nil, false
	}
	return &f.tensors[i], true
}

// Tensor is one array of the data section.
type Tensor struct {
	Name string
	Dims []int // GGUF order: Dims[0] is the length of a row, which is contiguous
	Type Type

	file  *File
	start int // offset in file.data
	size  int // bytes
}

// Rows is the number of rows, the product of all dimensions but the first.
func (t *Tensor) Rows() int {
	rows := 1
	for _, d := range t.Dims[1:] {
		rows *= d
	}
	return rows
}

// Bytes is the tensor as stored. It aliases the file: read only, and not after File.Close.
func (t *Tensor) Bytes() []byte { return t.file.data[t.start : t.start+t.size : t.start+t.size] }

// Dequantize writes one row as float32 to dst, which must hold Dims[0] elements. It panics if row is
// not below Rows or dst is too short.
func (t *Tensor) Dequantize(dst []float32, row int) {
	n := t.Dims[0]
	size := t.Type.RowSize(n)
	t.Type.Dequantize(dst[:n], t.Bytes()[row*size:][:size])
}

// Kinds of metadata values, as numbered in the file.
type kind uint32

const (
	kindUint8 kind = iota
	kindInt8
	kindUint16
	kindInt16
	kindUint32
	kindInt32
	kindFloat32
	kindBool
	kindString
	kindArray
	kindUint64
	kindInt64
	kindFloat64
	kinds // first number that means nothing
)

// size in bytes; 0 for strings and arrays, whose length is in the file.
func (k kind) size() int {
	return [kinds]int{1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8}[k]
}

func (k kind) integer() bool {
	return k <= kindInt32 || k == kindUint64 || k == kindInt64
}

func (k kind) float() bool { return k == kindFloat32 || k == kindFloat64 }

// int decodes an integer; a Uint64 above the range of int64 wraps.
func (k kind) int(b []byte) int64 {
	switch k {
	case kindUint8:
		return int64(b[0])
	case kindInt8:
		return int64(int8(b[0]))
	case kindUint16:
		return int64(le.Uint16(b))
	case kindInt16:
		return int64(int16(le.Uint16(b)))
	case kindUint32:
		return int64(le.Uint32(b))
	case kindInt32:
		return int64(int32(le.Uint32(b)))
	default:
		return int64(le.Uint64(b))
	}
}

func (k kind) float32(b []byte) float32 {
	if k == kindFloat32 {
		return math.Float32frombits(le.Uint32(b))
	}
	return float32(math.Float64frombits(le.Uint64(b)))
}
