package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

	"daulat/model/gguf"
)

// change says how a rewritten model differs from the one in the file.
type change struct {
	widen bool                             // store every tensor as float32; nothing that the model computes changes
	base  float32                          // factor of the RoPE base; 0 for none
	pair  bool                             // rows of queries and keys so that other numbers turn together
	alter map[string]func(float32) float32 // what becomes of the numbers of a tensor
}

// rewrite writes the model of f, changed, into a file.
func rewrite(f *gguf.File, path string, c change) error {
	metadata, err := c.metadata(f)
	if err != nil {
		return err
	}
	head, _ := f.Uint(setting(f, "attention.key_length"))
	if c.pair && head == 0 {
		return errors.New("the size of a head is not stated")
	}
	var tensors []gguf.TensorData
	for _, t := range f.Tensors() {
		data := gguf.TensorData{Name: t.Name, Dims: t.Dims, Type: t.Type, Data: t.Bytes()}
		if alter := c.alter[t.Name]; c.widen || alter != nil {
			data.Type, data.Data = gguf.F32, widened(&t, alter)
		}
		if c.pair && (strings.Contains(t.Name, ".attn_q") || strings.Contains(t.Name, ".attn_k")) {
			data.Data = paired(data.Data, t.Dims[len(t.Dims)-1], int(head))
		}
		tensors = append(tensors, data)
	}
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer out.Close()
	buffered := bufio.NewWriterSize(out, 1<<20)
	if err := gguf.Write(buffered, metadata, tensors); err != nil {
		return err
	}
	if err := buffered.Flush(); err != nil {
		return err
	}
	return out.Close()
}

// widened is a tensor as float32, altered if alter is given.
func widened(t *gguf.Tensor, alter func(float32) float32) []byte {
	n := t.Dims[0]
	out := make([]byte, 0, 4*n*t.Rows())
	row := make([]float32, n)
	for r := range t.Rows() {
		t.Dequantize(row, r)
		for _, x := range row {
			if alter != nil {
				x = alter(x)
			}
			out = binary.LittleEndian.AppendUint32(out, math.Float32bits(x))
		}
	}
	return out
}

// paired orders n rows, or numbers of a vector, by heads: in each, those of even
// number come first. What then turns as the pair i and i + head/2 was 2i and 2i+1.
func paired(data []byte, n, head int) []byte {
	size := len(data) / n
	out := make([]byte, 0, len(data))
	for i := range n {
		half, place := i%head/(head/2), i%head%(head/2)
		from := i - i%head + 2*place + half
		out = append(out, data[from*size:][:size]...)
	}
	return out
}

// setting is the key of an architecture's setting.
func setting(f *gguf.File, name string) string {
	architecture, _ := f.String("general.architecture")
	return architecture + "." + name
}

// metadata copies what f says. Integers get 32 bits, as every reader takes them.
func (c change) metadata(f *gguf.File) (all []gguf.KV, err error) {
	for _, key := range f.Keys() {
		var value any
		if s, ok := f.String(key); ok {
			value = s
		} else if b, ok := f.Bool(key); ok {
			value = b
		} else if n, ok := f.Uint(key); ok && n <= math.MaxUint32 {
			value = uint32(n)
		} else if x, ok := f.Float(key); ok {
			value = x
			if key == setting(f, "rope.freq_base") && c.base != 0 {
				value = x * c.base
			}
		} else if s, ok := f.Strings(key); ok {
			value = s
		} else if n, ok := f.Ints(key); ok {
			short := make([]int32, len(n))
			for i := range n {
				short[i] = int32(n[i])
			}
			value = short
		} else if x, ok := f.Floats(key); ok {
			value = x
		} else {
			return nil, fmt.Errorf("the setting %s cannot be copied", key)
		}
		all = append(all, gguf.KV{Key: key, Value: value})
	}
	return all, nil
}
