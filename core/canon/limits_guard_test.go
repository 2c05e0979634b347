package canon_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"daulat/core/canon"
)

// What the specification allows is read, and one more is refused with the limit
// in the error: a decoder with other limits would disagree with its peers about
// what is valid.
func TestLimits(t *testing.T) {
	array := func(n uint32) []byte {
		return append(binary.BigEndian.AppendUint32([]byte{0x9a}, n), make([]byte, n)...)
	}
	pairs := func(n int) []byte {
		m := map[string]uint64{}
		for i := range n {
			m[fmt.Sprint(i)] = 0
		}
		return canon.MustMarshal(m)
	}
	levels := func(n int) []byte {
		return append(bytes.Repeat([]byte{0x81}, n), 0)
	}
	for name, c := range map[string]struct {
		most, beyond []byte
		into         func() any
	}{
		"elements of an array": {array(1 << 20), array(1<<20 + 1), func() any { return new([]uint64) }},
		"pairs of a map":       {pairs(1 << 12), pairs(1<<12 + 1), func() any { return new(map[string]uint64) }},
		"levels":               {levels(16), levels(17), func() any { return new(any) }},
	} {
		if err := canon.Unmarshal(c.most, c.into()); err != nil {
			t.Errorf("%s, as many as there may be: %v", name, err)
		}
		if err := canon.Unmarshal(c.beyond, c.into()); err == nil || !strings.Contains(err.Error(), "exceeded max") {
			t.Errorf("%s, one more than there may be: %v", name, err)
		}
		if err := canon.Restore(c.beyond, c.into()); err == nil {
			t.Errorf("%s, one more than there may be, are restored", name)
		}
	}
}
