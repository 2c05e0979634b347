package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strings"
	"unicode/utf8"
)

var le = binary.LittleEndian

const (
	magic            = "GGUF"
	defaultAlignment = 32
	alignmentKey     = "general.alignment"

	// Limits that no honest file comes near.
	maxKeys      = 1 << 16
	maxTensors   = 1 << 16
	maxArray     = 1 << 24 // elements
	maxKeyBytes  = 1<<16 - 1
	maxNameBytes = 64
	maxDims      = 4
	minAlignment = 8
	maxAlignment = 1 << 16

	// The fewest bytes an entry takes: they bound what a count may claim.
	minKeyBytes    = 8 + 1 + 4 + 1
	minTensorBytes = 8 + 1 + 4 + 8 + 4 + 8
)

// Parse reads a whole file held in memory. The File aliases data, which must not change.
func Parse(data []byte) (*File, error) {
	c := &cursor{data: data}
	f := &File{data: data}
	tensors, keys := c.header(f)
	c.metadata(f, keys)
	c.tensors(f, tensors)
	if c.err == nil {
		c.err = f.place(c.pos)
	}
	if c.err != nil {
		return nil, fmt.Errorf("gguf: %w", c.err)
	}
	return f, nil
}

// cursor reads forward. The first failure sticks: later reads give zeros and move nothing.
type cursor struct {
	data []byte
	pos  int
	err  error
}

func (c *cursor) fail(format string, args ...any) {
	if c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

func (c *cursor) left() int { return len(c.data) - c.pos }

func (c *cursor) bytes(n int) []byte {
	if c.err == nil && n > c.left() {
		c.fail("the file ends at byte %d, inside something that is still %d bytes long", len(c.data), n)
	}
	if c.err != nil {
		return nil
	}
	b := c.data[c.pos : c.pos+n]
	c.pos += n
	return b
}

func (c *cursor) u32() uint32 {
	if b := c.bytes(4); b != nil {
		return le.Uint32(b)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if b := c.bytes(8); b != nil {
		return le.Uint64(b)
	}
	return 0
}

// count reads a number of things that each take at least size bytes, of which at most limit make sense.
func (c *cursor) count(what string, size, limit int) int {
	n := c.u64()
	if n > uint64(limit) || n > uint64(c.left()/size) {
		c.fail("a count of %d %s does not fit the file", n, what)
		return 0
	}
	return int(n)
}

func (c *cursor) length(what string) int { return c.count("bytes in a "+what, 1, math.MaxInt) }

func (c *cursor) header(f *File) (tensors, keys int) {
	if string(c.bytes(len(magic))) != magic {
		c.fail("not a gguf file")
	}
	f.version = c.u32()
	switch {
	case c.err != nil:
		return 0, 0
	case f.version != 0 && bits.ReverseBytes32(f.version) <= 3:
		c.fail("big-endian files are not supported")
	case f.version != 2 && f.version != 3:
		c.fail("format version %d is not supported, only 2 and 3", f.version)
	}
	tensors = c.count("tensors", minTensorBytes, maxTensors)
	keys = c.count("metadata keys", minKeyBytes, maxKeys)
	return tensors, keys
}

func (c *cursor) metadata(f *File, n int) {
	f.values = make(map[string]value, n)
	for range n {
		key := c.key()
		v := c.value()
		if _, twice := f.values[key]; twice {
			c.fail("the key %q appears twice", key)
		}
		if c.err != nil {
			return
		}
		f.keys = append(f.keys, key)
		f.values[key] = v
	}
}

func (c *cursor) key() string {
	key := c.bytes(c.length("key"))
	if len(key) == 0 || len(key) > maxKeyBytes || !utf8.Valid(key) {
		c.fail("a metadata key is empty, too long or not UTF-8")
		return ""
	}
	return string(key)
}

func (c *cursor) kind() kind {
	k := kind(c.u32())
	if k >= kinds {
		c.fail("the metadata type %d does not exist", k)
		return 0
	}
	return k
}

func (c *cursor) value() value {
	k := c.kind()
	switch k {
	case kindString:
		n := c.length("string")
		v := value{kind: k, count: n, start: c.pos}
		c.bytes(n)
		return v
	case kindArray:
		return c.array()
	}
	v := value{kind: k, start: c.pos}
	c.scalars(k, 1)
	return v
}

// array walks an array without keeping it. Arrays of arrays, which no known key uses, are refused.
func (c *cursor) array() value {
	elem := c.kind()
	if elem == kindArray {
		c.fail("arrays of arrays are not supported")
		return value{}
	}
	size := elem.size()
	if elem == kindString {
		size = 8
	}
	n := c.count("array elements", size, maxArray)
	v := value{kind: kindArray, elem: elem, count: n, start: c.pos}
	if elem != kindString {
		c.scalars(elem, n)
		return v
	}
	for range n {
		c.bytes(c.length("string"))
	}
	return v
}

func (c *cursor) scalars(k kind, n int) {
	b := c.bytes(n * k.size())
	if k != kindBool {
		return
	}
	for _, x := range b {
		if x > 1 {
			c.fail("a boolean has the value %d", x)
			return
		}
	}
}

func (c *cursor) tensors(f *File, n int) {
	f.index = make(map[string]int, n)
	f.tensors = make([]Tensor, 0, n)
	for range n {
		t := c.tensor()
		if _, twice := f.index[t.Name]; twice {
			c.fail("the tensor %q appears twice", t.Name)
		}
		if c.err != nil {
			return
		}
		t.file = f
		f.index[t.Name] = len(f.tensors)
		f.tensors = append(f.tensors, t)
	}
}

func (c *cursor) tensor() Tensor {
	name := c.bytes(c.length("tensor name"))
	if len(name) == 0 || len(name) > maxNameBytes || !utf8.Valid(name) {
		c.fail("a tensor name is empty, too long or not UTF-8")
		return Tensor{}
	}
	t := Tensor{Name: string(name)}
	n := c.u32()
	if n == 0 || n > maxDims {
		c.fail("the tensor %q has %d dimensions", t.Name, n)
		return t
	}
	dims := make([]uint64, n)
	for i := range dims {
		dims[i] = c.u64()
	}
	t.Type = Type(c.u32())
	offset := c.u64()
	if c.err != nil {
		return t
	}
	size, err := byteSize(t.Type, dims)
	if err != nil {
		c.fail("the tensor %q %w", t.Name, err)
		return t
	}
	// One bound covers both, before the data section is known to begin: neither can exceed the file.
	if size > uint64(len(c.data)) || offset > uint64(len(c.data)) {
		c.fail("the tensor %q lies outside the file", t.Name)
		return t
	}
	for _, d := range dims {
		t.Dims = append(t.Dims, int(d))
	}
	t.start, t.size = int(offset), int(size)
	return t
}

// byteSize is the stored size of a tensor. Dimensions of zero are refused, and so are element counts
// beyond 2^48, which also keeps every later product of dimensions inside an int on 64-bit machines.
func byteSize(t Type, dims []uint64) (uint64, error) {
	layout := t.layout()
	if layout == nil {
		return 0, fmt.Errorf("has the type %s, which is not supported", t)
	}
	elements := uint64(1)
	for _, d := range dims {
		high, low := bits.Mul64(elements, d)
		if high != 0 || low == 0 || low > 1<<48 || low > math.MaxInt {
			return 0, fmt.Errorf("has impossible dimensions %d", dims)
		}
		elements = low
	}
	if dims[0]%uint64(layout.elements) != 0 {
		return 0, fmt.Errorf("has rows of %d, not a multiple of %d as %s needs", dims[0], layout.elements, t)
	}
	return elements / uint64(layout.elements) * uint64(layout.bytes), nil
}

// place turns tensor offsets into places in the file; end is where the tables stop.
func (f *File) place(end int) error {
	alignment, err := f.alignment()
	if err != nil {
		return err
	}
	base := (end + alignment - 1) / alignment * alignment
	for i := range f.tensors {
		t := &f.tensors[i]
		if t.start%alignment != 0 {
			return fmt.Errorf("the tensor %q is not aligned to %d bytes", t.Name, alignment)
		}
		// Each summand is at most the file's length or an alignment, so an int64 cannot overflow.
		if int64(base)+int64(t.start)+int64(t.size) > int64(len(f.data)) {
			return fmt.Errorf("the tensor %q lies outside the file", t.Name)
		}
		t.start += base
	}
	return f.disjoint()
}

func (f *File) alignment() (int, error) {
	v, ok := f.values[alignmentKey]
	if !ok {
		return defaultAlignment, nil
	}
	n, _ := f.Uint(alignmentKey)
	if v.kind != kindUint32 || n < minAlignment || n > maxAlignment || bits.OnesCount64(n) != 1 {
		return 0, fmt.Errorf("%s is not a power of two between %d and %d", alignmentKey, minAlignment, maxAlignment)
	}
	return int(n), nil
}

func (f *File) disjoint() error {
	order := make([]*Tensor, len(f.tensors))
	for i := range order {
		order[i] = &f.tensors[i]
	}
	slices.SortFunc(order, func(a, b *Tensor) int {
		if a.start != b.start {
			return a.start - b.start
		}
		return strings.Compare(a.Name, b.Name)
	})
	for i := 1; i < len(order); i++ {
		if a, b := order[i-1], order[i]; a.start+a.size > b.start {
			return fmt.Errorf("the tensors %q and %q overlap", a.Name, b.Name)
		}
	}
	return nil
}
