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
		architecture string
		seed         uint64
		o            Options
		want         string
	}{
		{"llama", 1, Options{}, "e6272e472355f810d149ce664d5491d5e1555826141bce7bcb5bba815d95566d"},
		{"llama", 2, Options{Type: gguf.Q4_1, Untied: true, Factors: true}, "b91bd2ca9201401d039cd128fc80055462ad8787eba7e2ecb1814963d7ee01f6"},
		{"llama", 3, Options{Type: gguf.Q4_K, Mixed: true, Width: 256, FFN: 256}, "8369c70b43cad9abebe7d7296aadaf8af0da1d4a6fceda7710d4f8809d660d60"},
		{"qwen2", 4, Options{}, "607fdd4619e12b1ead98ff08b39241031a904e967307165e08b734ef2c5f84c0"},
		{"qwen3", 5, Options{Type: gguf.Q8_0, HeadDim: 32}, "274f9bd89dc7ec2ae4debf3ee219798c0fd0620b53c87676c5aa51feba4c8576"},
	} {
		data, err := Model(c.architecture, c.seed, c.o)
		if err != nil {
			t.Fatal(err)
		}
		hash := sha256.Sum256(data)
		if got := hex.EncodeToString(hash[:]); got != c.want {
			t.Errorf("%s, seed %d, %+v: %d bytes with hash %s, want %s", c.architecture, c.seed, c.o, len(data), got, c.want)
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

func TestArchitecture(t *testing.T) {
	if _, err := Model("gemma", 1, Options{}); err == nil {
		t.Error("gemma was made")
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
