package float

import (
	"fmt"

	"daulat/model/gguf"
)

// What somebody may run in place of a model, to save work. Both share with the model what they do not change.

// Shallow is the model without the later half of its layers.
func (m *Model) Shallow() *Model {
	s := *m
	s.layerCount = (m.layerCount + 1) / 2
	s.layers = m.layers[:s.layerCount]
	return &s
}

// FourBit is the model with the matrices of its layers in Q4_0. One whose rows that type cannot hold stays as it is.
func (m *Model) FourBit() (*Model, error) {
	s := *m
	s.layers = make([]layer, len(m.layers))
	for i, l := range m.layers {
		for _, w := range []**matrix{&l.qkv, &l.attentionOut, &l.gateUp, &l.down} {
			rough, err := (*w).fourBit()
			if err != nil {
				return nil, fmt.Errorf("four bits: layer %d: %w", i, err)
			}
			*w = rough
		}
		s.layers[i] = l
	}
	return &s, nil
}

func (m *matrix) fourBit() (*matrix, error) {
	size := gguf.Q4_0.RowSize(m.columns)
	if m.columns%32 != 0 {
		return m, nil
	}
	k := best()
	row, data := make([]float32, m.stride), make([]byte, 0, m.rows*size)
	for r := range m.rows {
		m.row(&k, row, r)
		packed, err := gguf.Quantize(gguf.Q4_0, row[:m.columns])
		if err != nil {
			return nil, err
		}
		data = append(data, packed...)
	}
	return &matrix{rows: m.rows, columns: m.columns, stride: m.stride, bands: []band{{gguf.Q4_0, 0, size, data}}}, nil
}
