package synthetic

import "daulat/model/gguf"

// Token types, as numbered in GGUF.
const (
	normal  int32 = 1
	control int32 = 3
)

// Control tokens come first, so their IDs are 0, 1 and 2.
var controls = []string{"<|endoftext|>", "<|im_start|>", "<|im_end|>"}

const (
	bos, eos, pad uint32 = 1, 2, 2
)

// mergeable holds the words that the merges build up, letter by letter from the left. A space begins a word.
var mergeable = []string{" the", " and", " of", " to", " in", " is", " that", " you", " what", "hello", " world",
	"user", "assistant", "system", "ing", "ed", "er", "10", "  "}

// Template is the chat template of every synthetic model: ChatML without a default system message.
const Template = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}" +
	"{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"

// vocabulary is a byte-level BPE vocabulary: controls, the 256 bytes, one token for each merge.
type vocabulary struct {
	tokens []string
	types  []int32
	merges []string
}

func newVocabulary(letters bool) *vocabulary {
	v := &vocabulary{}
	for _, c := range controls {
		v.add(c, control)
	}
	if letters {
		for b := ' '; b <= '~'; b++ {
			v.add(string(letter(byte(b))), normal)
		}
		v.add(string(letter('\n')), normal)
		return v
	}
	for b := range 256 {
		v.add(string(letter(byte(b))), normal)
	}
	known := map[string]bool{}
	for _, word := range mergeable {
		letters := encode(word)
		for i := 1; i < len(letters); i++ {
			left, right := string(letters[:i]), string(letters[i])
			if known[left+right] {
				continue
			}
			known[left+right] = true
			v.merges = append(v.merges, left+" "+right)
			v.add(left+right, normal)
		}
	}
	return v
}

func (v *vocabulary) add(token string, kind int32) {
	v.tokens = append(v.tokens, token)
	v.types = append(v.types, kind)
}

func (v *vocabulary) metadata(split string) []gguf.KV {
	return []gguf.KV{
		{Key: "tokenizer.ggml.model", Value: "gpt2"},
		{Key: "tokenizer.ggml.pre", Value: split},
		{Key: "tokenizer.ggml.tokens", Value: v.tokens},
		{Key: "tokenizer.ggml.token_type", Value: v.types},
		{Key: "tokenizer.ggml.merges", Value: v.merges},
		{Key: "tokenizer.ggml.bos_token_id", Value: bos},
		{Key: "tokenizer.ggml.eos_token_id", Value: eos},
		{Key: "tokenizer.ggml.padding_token_id", Value: pad},
		{Key: "tokenizer.ggml.add_bos_token", Value: false},
		{Key: "tokenizer.ggml.add_space_prefix", Value: false},
		{Key: "tokenizer.chat_template", Value: Template},
	}
}

// letter is the visible character that stands for a byte in GPT-2's vocabulary: itself if it is printable,
// else the next unused one from U+0100 on.
func letter(b byte) rune {
	printable := func(b int) bool { return b > ' ' && b <= '~' || b >= 0xa1 && b <= 0xac || b >= 0xae }
	if printable(int(b)) {
		return rune(b)
	}
	r := rune(0x100)
	for i := range int(b) {
		if !printable(i) {
			r++
		}
	}
	return r
}

func encode(word string) []rune {
	out := make([]rune, len(word))
	for i := range out {
		out[i] = letter(word[i])
	}
	return out
}
