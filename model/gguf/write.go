package gguf

import (
	"fmt"
	"io"
	"math"
	"unicode/utf8"
)

// KV is one metadata entry. Value is a bool, a string, an integer of stated size, a float32 or float64,
// or a slice of one of these.
type KV struct {
	Key   string
	Value any
}

// TensorData is one tensor to write: Data as Quantize returns it, Dims in GGUF order.
type TensorData struct {
	Name string
	Dims []int
	Type Type
	Data []byte
}

// Write writes a version 3 file. Equal arguments give equal bytes, and what Write accepts Parse accepts:
// it checks the tables as Parse does before the first byte goes out.
func Write(w io.Writer, metadata []KV, tensors []TensorData) error {
	head, alignment, err := encodeTables(metadata, tensors)
	if err != nil {
		return fmt.Errorf("write gguf: %w", err)
	}
	if _, err := w.Write(pad(head, alignment)); err != nil {
		return fmt.Errorf("write gguf: %w", err)
	}
	zeros := make([]byte, alignment)
	for i := range tensors {
		size := len(tensors[i].Data)
		if _, err := w.Write(tensors[i].Data); err != nil {
			return fmt.Errorf("write gguf: %w", err)
		}
		if _, err := w.Write(zeros[:padding(size, alignment)]); err != nil {
			return fmt.Errorf("write gguf: %w", err)
		}
	}
	return nil
}

func encodeTables(metadata []KV, tensors []TensorData) ([]byte, int, error) {
	if len(metadata) > maxKeys || len(tensors) > maxTensors {
		return nil, 0, fmt.Errorf("there are too many keys or tensors")
	}
	b := le.AppendUint32([]byte(magic), 3)
	b = le.AppendUint64(b, uint64(len(tensors)))
	b = le.AppendUint64(b, uint64(len(metadata)))
	alignment, seen := defaultAlignment, map[string]bool{}
	for _, kv := range metadata {
		if seen[kv.Key] || kv.Key == "" || len(kv.Key) > maxKeyBytes || !utf8.ValidString(kv.Key) {
			return nil, 0, fmt.Errorf("the key %q is empty, too long, not UTF-8 or used twice", kv.Key)
		}
		seen[kv.Key] = true
		var ok bool
		if b, ok = appendValue(appendString(b, kv.Key), kv.Value); !ok {
			return nil, 0, fmt.Errorf("the key %q has a value of type %T", kv.Key, kv.Value)
		}
		if kv.Key == alignmentKey {
			n, _ := kv.Value.(uint32)
			if n < minAlignment || n > maxAlignment || n&(n-1) != 0 {
				return nil, 0, fmt.Errorf("%s is not a power of two of type uint32 that can be used", alignmentKey)
			}
			alignment = int(n)
		}
	}
	b, err := appendTensors(b, tensors, alignment)
	return b, alignment, err
}

func appendTensors(b []byte, tensors []TensorData, alignment int) ([]byte, error) {
	offset, seen := 0, map[string]bool{}
	for _, t := range tensors {
		if seen[t.Name] || t.Name == "" || len(t.Name) > maxNameBytes || !utf8.ValidString(t.Name) {
			return nil, fmt.Errorf("the tensor name %q is empty, too long, not UTF-8 or used twice", t.Name)
		}
		seen[t.Name] = true
		if len(t.Dims) == 0 || len(t.Dims) > maxDims {
			return nil, fmt.Errorf("the tensor %q has %d dimensions", t.Name, len(t.Dims))
		}
		b = le.AppendUint32(appendString(b, t.Name), uint32(len(t.Dims)))
		dims := make([]uint64, len(t.Dims))
		for i, d := range t.Dims {
			dims[i] = uint64(d)
			b = le.AppendUint64(b, dims[i])
		}
		size, err := byteSize(t.Type, dims)
		if err != nil {
			return nil, fmt.Errorf("the tensor %q %w", t.Name, err)
		}
		if size != uint64(len(t.Data)) {
			return nil, fmt.Errorf("the tensor %q has %d bytes of data instead of %d", t.Name, len(t.Data), size)
		}
		b = le.AppendUint64(le.AppendUint32(b, uint32(t.Type)), uint64(offset))
		offset += len(t.Data) + padding(len(t.Data), alignment)
	}
	return b, nil
}

func padding(n, alignment int) int { return (alignment - n%alignment) % alignment }

func pad(b []byte, alignment int) []byte {
	return append(b, make([]byte, padding(len(b), alignment))...)
}

func appendString(b []byte, s string) []byte {
	return append(le.AppendUint64(b, uint64(len(s))), s...)
}

func appendValue(b []byte, v any) ([]byte, bool) {
	switch v := v.(type) {
	case []uint8:
		return appendArray(b, v)
	case []int8:
		return appendArray(b, v)
	case []uint16:
		return appendArray(b, v)
	case []int16:
		return appendArray(b, v)
	case []uint32:
		return appendArray(b, v)
	case []int32:
		return appendArray(b, v)
	case []float32:
		return appendArray(b, v)
	case []bool:
		return appendArray(b, v)
	case []string:
		return appendArray(b, v)
	case []uint64:
		return appendArray(b, v)
	case []int64:
		return appendArray(b, v)
	case []float64:
		return appendArray(b, v)
	}
	k, ok := kindOf(v)
	if !ok {
		return b, false
	}
	return appendScalar(le.AppendUint32(b, uint32(k)), v), true
}

func appendArray[T any](b []byte, v []T) ([]byte, bool) {
	var zero T
	k, ok := kindOf(zero)
	if !ok || len(v) > maxArray {
		return b, false
	}
	b = le.AppendUint32(le.AppendUint32(b, uint32(kindArray)), uint32(k))
	b = le.AppendUint64(b, uint64(len(v)))
	for _, x := range v {
		b = appendScalar(b, x)
	}
	return b, true
}

func kindOf(v any) (kind, bool) {
	switch v.(type) {
	case uint8:
		return kindUint8, true
	case int8:
		return kindInt8, true
	case uint16:
		return kindUint16, true
	case int16:
		return kindInt16, true
	case uint32:
		return kindUint32, true
	case int32:
		return kindInt32, true
	case float32:
		return kindFloat32, true
	case bool:
		return kindBool, true
	case string:
		return kindString, true
	case uint64:
		return kindUint64, true
	case int64:
		return kindInt64, true
	case float64:
		return kindFloat64, true
	}
	return 0, false
}

// appendScalar appends a value of a type that kindOf knows.
func appendScalar(b []byte, v any) []byte {
	switch v := v.(type) {
	case uint8:
		return append(b, v)
	case int8:
		return append(b, byte(v))
	case uint16:
		return le.AppendUint16(b, v)
	case int16:
		return le.AppendUint16(b, uint16(v))
	case uint32:
		return le.AppendUint32(b, v)
	case int32:
		return le.AppendUint32(b, uint32(v))
	case float32:
		return le.AppendUint32(b, math.Float32bits(v))
	case bool:
		if v {
			return append(b, 1)
		}
		return append(b, 0)
	case string:
		return appendString(b, v)
	case uint64:
		return le.AppendUint64(b, v)
	case int64:
		return le.AppendUint64(b, uint64(v))
	case float64:
		return le.AppendUint64(b, math.Float64bits(v))
	}
	panic(fmt.Sprintf("gguf: no encoding for %T", v))
}
