package synthetic

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"testing"

	"daulat/model/gguf"
)

// TestGolden holds the bytes still: other golden values, such as logits, are computed from these files.
func TestGolden(t *testing.T) {
	for _, c := range []struct {
		seed uint64
		o    Options
		want string
	}{
		{1, Options{}, "e6272e472355f810d149ce664d5491d5e1555826141bce7bcb5bba815d95566d"},
		{2, Options{Type: gguf.Q4_1, Untied: true, Factors: true}, "b91bd2ca9201401d039cd128fc80055462ad8787eba7e2ecb1814963d7ee01f6"},
	} {
		data, err := Llama(c.seed, c.o)
		if err != nil {
			t.Fatal(err)
		}
		hash := sha256.Sum256(data)
		if got := hex.EncodeToString(hash[:]); got != c.want {
			t.Errorf("seed %d, %+v: %d bytes with hash %s, want %s", c.seed, c.o, len(data), got, c.want)
		}
	}
}

func TestSeedMatters(t *testing.T) {
	a, errA := Llama(1, Options{})
	b, errB := Llama(2, Options{})
	if errA != nil || errB != nil || string(a) == string(b) {
		t.Fatalf("errors %v, %v; equal %v", errA, errB, string(a) == string(b))
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"layers":  {Layers: -1},
		"heads":   {Heads: 4, KVHeads: 3},
		"odd":     {HeadDim: 15},
		"huge":    {Width: 1 << 30},
		"blocks":  {Width: 48, FFN: 48, Type: gguf.Q8_0},
		"unknown": {Type: 13},
	} {
		if _, err := Llama(1, o); err == nil {
			t.Errorf("%s: %+v was accepted", name, o)
		}
	}
}

// TestVocabulary checks what a byte-level BPE tokenizer relies on.
func TestVocabulary(t *testing.T) {
	data, err := Llama(1, Options{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	tokens, _ := f.Strings("tokenizer.ggml.tokens")
	types, _ := f.Ints("tokenizer.ggml.token_type")
	merges, _ := f.Strings("tokenizer.ggml.merges")
	id := map[string]int{}
	for i, token := range tokens {
		id[token] = i
	}
	embedding, _ := f.Tensor("token_embd.weight")
	if len(id) != len(tokens) || len(types) != len(tokens) || len(merges) < 24 || embedding.Rows() != len(tokens) {
		t.Fatalf("%d tokens, %d different, %d types, %d merges", len(tokens), len(id), len(types), len(merges))
	}
	for _, m := range merges {
		left, right, ok := strings.Cut(m, " ")
		_, a := id[left]
		_, b := id[right]
		_, joined := id[left+right]
		if !ok || !a || !b || !joined {
			t.Errorf("the merge %q is of unknown tokens", m)
		}
	}
	// GPT-2's characters for a letter, a space, a line feed, a no-break space, a soft hyphen and the last byte.
	for b, want := range map[byte]rune{'a': 'a', ' ': 'Ġ', '\n': 'Ċ', 0: 'Ā', 0x7f: 'ġ', 0xa0: 'ł', 0xad: 'Ń', 0xff: 'ÿ'} {
		if letter(b) != want || tokens[3+int(b)] != string(want) {
			t.Errorf("byte %#x is %q", b, letter(b))
		}
	}
	for i, c := range controls {
		if id[c] != i || types[i] != int64(control) {
			t.Errorf("%s has id %d and type %d", c, id[c], types[i])
		}
	}
	eosID, _ := f.Uint("tokenizer.ggml.eos_token_id")
	if tokens[eosID] != "<|im_end|>" {
		t.Errorf("the end token is %q", tokens[eosID])
	}
}
