package sample

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
)

var update = flag.Bool("update", false, "write spec/vectors/sample.json anew")

const vectorFile = "../../spec/vectors/sample.json"

// vectors is the golden file. 64-bit numbers are hexadecimal strings, since JSON
// readers lose their low bits.
type vectors struct {
	Note   string       `json:"note"`
	Weight []weightCase `json:"weight"`
	Fix    []fixCase    `json:"fix"`
	Draw   []drawCase   `json:"draw"`
	Pick   []pickCase   `json:"pick"`
	Log2   []log2Case   `json:"log2"`
	NLL    []nllCase    `json:"nll"`
}

type weightCase struct {
	Distance    uint32 `json:"distance"`
	Temperature uint32 `json:"temperature"`
	Weight      string `json:"weight"`
}

type fixCase struct {
	Float32Bits string `json:"float32_bits"`
	Fixed       int32  `json:"fixed"`
}

type drawCase struct {
	Seed     string `json:"seed"`
	Request  string `json:"request"`
	Position string `json:"position"`
	Draw     string `json:"draw"`
}

type pickCase struct {
	Logits      []int32 `json:"logits"`
	Temperature uint32  `json:"temperature"`
	TopP        uint32  `json:"top_p"`
	Draw        string  `json:"draw"`
	Token       uint32  `json:"token"`
}

type log2Case struct {
	X    string `json:"x"`
	Log2 string `json:"log2"` // unit 2^−32
}

type nllCase struct {
	Logits    []int32  `json:"logits"`
	NLL       []uint32 `json:"nll"`       // of each token, unit 2^−16 nat
	Likeliest []uint32 `json:"likeliest"` // five at the most
}

func hex64(x uint64) string { return "0x" + strconv.FormatUint(x, 16) }

// fixedLogits are the worked example, one token, ties, and all that int32 holds.
var fixedLogits = [][]int32{{0, 2 * One, -One, One}, {-7}, {4, 9, 9, 4, 9, 4, 4}, {math.MaxInt32, math.MinInt32, math.MaxInt32 - 20*One}}

func makeVectors() vectors {
	r := rand.New(rand.NewPCG(2026, 1))
	v := vectors{Note: "see spec/sample.md; logits, distances and temperatures are Q16.16, top_p is in parts per million"}
	for _, c := range [][2]uint32{{0, One}, {1, One}, {One, One}, {One, One / 2}, {10 * One, One}, {28 * One, One}, {29 * One, One}, {math.MaxUint32, MaxTemperature}, {1, 1}, {math.MaxUint32, 1}} {
		v.Weight = append(v.Weight, weightCase{c[0], c[1], hex64(weight(c[0], c[1]))})
	}
	for _, x := range []float32{0, 1, -1, 0.5 / One, 1.5 / One, 2.5 / One, -1.5 / One, 3.1415927, -17.25, 1e-40, 32768, -32768, 1e30, -1e30} {
		v.Fix = append(v.Fix, fixCase{hex64(uint64(math.Float32bits(x))), fix(x)})
	}
	for i := range 6 {
		var seed, request [32]byte
		for j := range seed {
			seed[j], request[j] = byte(i*j), byte(i+j)
		}
		position := uint64(i) * 0x0123456789abcdef
		v.Draw = append(v.Draw, drawCase{hex.EncodeToString(seed[:]), hex.EncodeToString(request[:]), hex64(position), hex64(Draw(seed, request, position))})
	}
	add := func(logits []int32, p Params, draw uint64) {
		v.Pick = append(v.Pick, pickCase{logits, p.Temperature, p.TopP, hex64(draw), Pick(logits, p, draw)})
	}
	example := []int32{0, 2 * One, -One, One}
	for _, draw := range []uint64{0, 0x4000000000000000, 0xc000000000000000, math.MaxUint64} {
		for _, p := range []Params{{0, Million}, {One, Million}, {One, 900_000}, {One / 2, 500_000}} {
			add(example, p, draw)
		}
	}
	for range 48 {
		add(someLogits(r, 1+r.IntN(24)), someParams(r), r.Uint64())
	}
	for _, x := range []uint64{1, 2, 3, 1<<40 + 1, 1<<63 - 1, 1<<62 + 12345678901, math.MaxUint64} {
		v.Log2 = append(v.Log2, log2Case{hex64(x), hex64(log2(x))})
	}
	for _, logits := range append(fixedLogits, someLogits(r, 9), someLogits(r, 20), someLogits(r, 20)) {
		d := Distribute(logits)
		c := nllCase{Logits: logits, Likeliest: d.Likeliest(5)}
		for token := range logits {
			c.NLL = append(c.NLL, d.NLL(uint32(token)))
		}
		v.NLL = append(v.NLL, c)
	}
	return v
}

func TestVectors(t *testing.T) {
	var b bytes.Buffer
	b.WriteString("{\n")
	v := makeVectors()
	note, _ := json.Marshal(v.Note)
	b.WriteString("\"note\": " + string(note))
	lines(&b, "weight", v.Weight)
	lines(&b, "fix", v.Fix)
	lines(&b, "draw", v.Draw)
	lines(&b, "pick", v.Pick)
	lines(&b, "log2", v.Log2)
	lines(&b, "nll", v.NLL)
	b.WriteString("\n}\n")
	if *update {
		if err := os.WriteFile(vectorFile, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(vectorFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(golden, b.Bytes()) {
		t.Fatal("results differ from the golden vectors")
	}
	var back vectors
	if err := json.Unmarshal(golden, &back); err != nil || len(back.Pick) != len(v.Pick) {
		t.Fatalf("vectors are not readable: %v", err)
	}
	for i, c := range back.Pick {
		draw, err := strconv.ParseUint(c.Draw, 0, 64)
		if err != nil {
			t.Fatal(err)
		}
		if got := twin(c.Logits, Params{c.Temperature, c.TopP}, draw); got != c.Token {
			t.Errorf("case %d: the sorting twin gives %d, not %d", i, got, c.Token)
		}
	}
}

// lines writes one case a line, so that a change is readable.
func lines[T any](b *bytes.Buffer, name string, cases []T) {
	b.WriteString(",\n\"" + name + "\": [")
	for i, c := range cases {
		if i > 0 {
			b.WriteByte(',')
		}
		raw, _ := json.Marshal(c)
		b.WriteString("\n  ")
		b.Write(raw)
	}
	b.WriteString("\n]")
}
