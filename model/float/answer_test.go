package float

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"

	"daulat/model/gguf"
	"daulat/model/synthetic"
)

// answerTokens is how many tokens of an answer are compared, at the end of the context.
const answerTokens = 64

// answers are golden hashes of the logits of answers, by architecture and tensor type.
var answers = map[string]string{
	"llama F32":  "9c4b4b652335b70bb8b2ee0b103d6cff0245e3787476437d18fbb3b3a4b8cb44",
	"llama F16":  "0117755e45030129022050bc0cf17045af652161586a96fc94c3017213aceb37",
	"llama Q4_0": "c9dd508a945183ede37e9641a2bff896cd3f1288fe5049e3eef572f0825ce06b",
	"llama Q4_1": "589cec462db8112e6d9ce543193b7b3121d9548ff571b6db8a0273d09a914bc2",
	"llama Q8_0": "0a3430370b18d24ec18b37b1cbd825d4f760f8e14fc5275c996231d0396319db",
	"llama Q4_K": "85de05ba66e586714e018889148e64c4ee21cd7a44d47bb9e35b4ae083042ee2",
	"llama Q6_K": "d7c147c45f0634e8b6d4f10af99a658dcf999678c89d7ad4da796aa08a4d0cb6",
	"llama BF16": "b950bd621080e8315cd72aebe80027abce65295f78c40631e28b09b37234acec",
	"qwen2 F32":  "654cdf06cc7cab40f4d81c863acd01c60705a9b0d84b65ff1f3e6a5f39da2b43",
	"qwen2 F16":  "f2b0f46768fd6b7070fa42b67810e8beabc1f00256cd7f2cf13994e59b4b2840",
	"qwen2 Q4_0": "39e418bf4e4a27aa3f074fc7899baa489926f9fad7824dc4019f922792980463",
	"qwen2 Q4_1": "b58d4cb3002fc2a7ecda609b0b66a2942907731ec81ca2fe5c0c0675a777b8fb",
	"qwen2 Q8_0": "ba53815af40fe9d0a97a17d6c84141e6e57e1210dfe5e2be0971b6913c47cd48",
	"qwen2 Q4_K": "c9d104cafd5d08a9da4c81209d89c4f4b4770a402e7fe38ca4b476d91df49c75",
	"qwen2 Q6_K": "2089926c6e47fb0a883ea47831e4e2b7f21ee489218448b3bb90b04c14934279",
	"qwen2 BF16": "47a4c5c66119c7523271e9ed16bda7bce600098c541d24cc2170fb707db06a2e",
	"qwen3 F32":  "a4442a0da8cd570c075bb8a841cf8a99a562faa22aa19c9805c67a4cd16607aa",
	"qwen3 F16":  "0d97ced90528565aa1bd411dc37251a37775d86aabd1d6676cf97fc344b92520",
	"qwen3 Q4_0": "d8802f39c406d2abf65b9bff2f7045ea8ad02fc23c79176dd723423b14405326",
	"qwen3 Q4_1": "a29cb2a9f77cc777cadb892e0c4666e5cad3ac9cb362b446a2bd3aaa2944897d",
	"qwen3 Q8_0": "486dba39491332b99f700a5469d4ab69fc342171200b817dcb2fa52988824c2b",
	"qwen3 Q4_K": "26cbae07ba497241aaacd39a33875f448131e723bde0020daa5ccf29c928e33d",
	"qwen3 Q6_K": "46f15183eb870d5db7df5a37d5faf3c010414afe8048bfc11348dad77d9be7d9",
	"qwen3 BF16": "c8868a22f8e80c392daa96c4fd69c49088a28b27dffbd045f5e10d522e1c302b",
}

// TestGoldenAnswer compares 64 tokens that each kernel of this machine decodes greedily, up to the last
// position of the context, with what another machine computed: for every tensor type of every architecture.
// The hash is of the logits of all of them.
func TestGoldenAnswer(t *testing.T) {
	seen := map[string]bool{}
	for _, arch := range slices.Sorted(maps.Keys(families)) {
		for kind := gguf.Type(0); kind <= gguf.BF16; kind++ {
			if _, err := gguf.Quantize(kind, make([]float32, 256)); err != nil {
				continue // no type that is read
			}
			name := fmt.Sprintf("%s %s", arch, kind)
			seen[name] = true
			m, _ := loadOf(t, arch, 21, synthetic.Options{Type: kind, Width: 256, FFN: 256, Layers: 1, Context: 96, Untied: true})
			for _, k := range available {
				if got := answerHash(t, m, k); got != answers[name] {
					t.Errorf("%s: %s kernel: hash %s, want %s", name, k.name, got, answers[name])
				}
			}
		}
	}
	for name := range answers {
		if !seen[name] {
			t.Errorf("nothing computes %s any more", name)
		}
	}
}

// answerHash decodes an answer behind a prompt that leaves room for just that.
func answerHash(t *testing.T, m *Model, k kernel) string {
	t.Helper()
	s := m.NewState(StateOptions{Threads: 1})
	s.kernel = k
	tokens := prompt(m, m.Context()-answerTokens)
	hash := sha256.New()
	for range answerTokens {
		logits := run(t, s, tokens)
		last := logits[len(logits)-1]
		for _, x := range last {
			hash.Write(binary.LittleEndian.AppendUint32(nil, math.Float32bits(x)))
		}
		tokens = []uint32{likeliest(last)}
	}
	run(t, s, tokens) // the last position
	if s.Len() != m.Context() {
		t.Fatalf("%d of %d positions", s.Len(), m.Context())
	}
	return hex.EncodeToString(hash.Sum(nil))
}

func likeliest(logits []float32) uint32 {
	best := 0
	for i, x := range logits {
		if x > logits[best] {
			best = i
		}
	}
	return uint32(best)
}
