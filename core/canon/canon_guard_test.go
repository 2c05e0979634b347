package canon_test

import (
	"strings"
	"testing"

	"daulat/core/canon"
)

// The re-encoding would refuse unknown fields too, but only this says which.
func TestUnknownFieldsAreNamed(t *testing.T) {
	type more struct {
		A     uint64 `cbor:"a"`
		Extra uint64 `cbor:"extra"`
	}
	var known struct {
		A uint64 `cbor:"a"`
	}
	err := canon.Unmarshal(canon.MustMarshal(more{1, 2}), &known)
	if err == nil || !strings.Contains(err.Error(), "unknown field") {
		t.Errorf("an unknown field gives %v", err)
	}
}

func TestTextMustBeUTF8(t *testing.T) {
	var s string
	if err := canon.Unmarshal([]byte{0x62, 'a', 0xff}, &s); err == nil {
		t.Errorf("%q was accepted", s)
	}
}

func TestNestingIsBounded(t *testing.T) {
	var v any
	if err := canon.Unmarshal([]byte(strings.Repeat("\x81", 1000)+"\x00"), &v); err == nil {
		t.Error("1000 nested arrays were accepted")
	}
}

func TestCIDOfAnotherKind(t *testing.T) {
	good := canon.NewCID(canon.DagCBOR, canon.Hash{1})
	for i := range 4 { // version, codec, hash function, its length
		bad := good
		bad[i]++
		if c, err := canon.ParseCID(bad.String()); err == nil {
			t.Errorf("%s was accepted", c)
		}
	}
}
