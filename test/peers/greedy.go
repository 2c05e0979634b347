package main

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"daulat/model/chat"
	"daulat/model/float"
	"daulat/model/gguf"
	"daulat/model/text"
)

// prompts are what the real model is asked beside llama.cpp.
var prompts = []string{
	"What is the capital of Indonesia, and what is it known for?",
	"Write a short poem about rain on a tin roof.",
	"Explain what a prime number is to a child.",
	"List five vegetables that grow in cold weather.",
	"Write a Python function that reverses a string.",
	"Translate into French: The ship leaves the harbour at dawn.",
	"Apa ibu kota Indonesia?",
	"What is 17 + 25? Show your steps.",
	"Summarise the water cycle in three sentences.",
	"Why is the sky blue during the day and red at dusk?",
	"Give me a recipe for fried rice with what most kitchens have.",
	"Who wrote Romeo and Juliet, and when?",
	"Write a polite e-mail that asks for a day off.",
	"What does HTTP status 404 mean?",
	"Complete the sentence: Once upon a time, in a village by the sea,",
	"Name three differences between a frog and a toad.",
	"How do I tie a bowline knot?",
	"{\"task\": \"classify\", \"text\": \"I loved this film!\", \"labels\": [\"good\", \"bad\"]}",
	"What should I visit in Rome in two days?",
	"Tell a joke about a programmer and a rubber duck.",
}

const (
	answerTokens = 64
	nearTie      = 1e-3  // nat
	tiesAllowed  = 0.005 // of all positions
)

// position is one token of an answer: what each engine holds best, and by how
// much we prefer our best to our second.
type position struct {
	ours, theirs uint32
	margin       float64
}

// tally is what came of comparing answers.
type tally struct {
	positions int
	differ    int     // where the best token is another
	clear     int     // of those, where our margin is no near tie
	margin    float64 // the widest of those that differ
	gap       float64 // of logits
}

func (c *tally) add(p position) {
	c.positions++
	if p.ours == p.theirs {
		return
	}
	c.differ++
	c.margin = max(c.margin, p.margin)
	if p.margin >= nearTie {
		c.clear++
	}
}

// agree is the rule: the same token everywhere, near ties apart, and few of those.
func (c *tally) agree() bool {
	return c.positions > 0 && c.clear == 0 && float64(c.differ) <= tiesAllowed*float64(c.positions)
}

func (c *tally) String() string {
	return fmt.Sprintf("%d of %d tokens differ, by at most %.1e nat", c.differ, c.positions, c.margin)
}

// answer is a prompt's tokens and those that llama.cpp follows them with.
type answer struct {
	tokens []uint32
	prompt int // how many of tokens are the prompt
}

// from is the position whose logits give the first token of the answer.
func (a answer) from() int { return a.prompt - 1 }

// greedy compares greedy tokens of the real model at path with llama.cpp's. Both
// read the same answers, those of llama.cpp with the file as it is, so that one
// near tie does not spoil what follows it. The rule holds for llama.cpp with the
// weights widened to F32: with the file it rounds the input of each matrix to
// 8 bits, so its own tokens are not those of the weights.
func (t *tools) greedy(ctx context.Context, path string) (strict, packed tally, err error) {
	f, err := gguf.Open(path)
	if err != nil {
		return strict, packed, err
	}
	defer f.Close()
	answers, err := t.answers(ctx, f, path)
	if err != nil {
		return strict, packed, err
	}
	rows, err := nativeAnswers(ctx, f, answers)
	if err != nil {
		return strict, packed, err
	}
	for i, a := range answers {
		for j, row := range rows[i] {
			packed.add(judge(row, a.tokens[a.prompt+j]))
		}
	}
	t.say("  with the file as it is, " + packed.String())
	wide := filepath.Join(t.temp, "wide.gguf")
	if err := rewrite(f, wide, change{widen: true}); err != nil {
		return strict, packed, err
	}
	defer os.Remove(wide)
	theirs, err := t.best(ctx, wide, answers, rows, &strict)
	if err != nil {
		return strict, packed, err
	}
	t.say(fmt.Sprintf("  widened to F32, %s; logits by %.1e of their spread", &strict, strict.gap))
	if strict.positions != len(prompts)*answerTokens || !strict.agree() {
		return strict, packed, fmt.Errorf("greedy tokens are not llama.cpp's: %s, %d of them clearly", &strict, strict.clear)
	}
	layers, _ := f.Uint(setting(f, "block_count"))
	longest, _ := f.Uint(setting(f, "feed_forward_length"))
	if limit := bound(int(layers), int(longest)); !(strict.gap <= limit) {
		return strict, packed, fmt.Errorf("logits differ from llama.cpp's by %.1e of their spread, more than %.1e", strict.gap, limit)
	}
	return strict, packed, t.wrongBase(ctx, f, answers[:4], theirs[:4])
}

// answers are llama.cpp's to the prompts.
func (t *tools) answers(ctx context.Context, f *gguf.File, path string) (all []answer, err error) {
	words, err := text.FromGGUF(f)
	if err != nil {
		return nil, err
	}
	err = t.withLlama(ctx, path, fast, func(l *llama) error {
		for _, p := range prompts {
			tokens, err := words.Chat([]chat.Message{{Role: "user", Content: p}})
			if err != nil {
				return err
			}
			more, err := l.greedy(tokens, answerTokens)
			if err != nil {
				return err
			}
			all = append(all, answer{slices.Concat(tokens, more), len(tokens)})
		}
		return nil
	})
	return all, err
}

// nativeAnswers are our logits for each token of the answers.
func nativeAnswers(ctx context.Context, f *gguf.File, answers []answer) (rows [][][]float32, err error) {
	m, err := float.Load(f)
	if err != nil {
		return nil, err
	}
	for _, a := range answers {
		r, err := native(ctx, m, a.tokens[:len(a.tokens)-1], a.from())
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
	}
	return rows, nil
}

// best gives the tokens that llama.cpp with the file at path holds best, and
// compares its logits with rows.
func (t *tools) best(ctx context.Context, path string, answers []answer, rows [][][]float32, c *tally) (best [][]uint32, err error) {
	err = t.withLlama(ctx, path, exact, func(l *llama) error {
		for i, a := range answers {
			var tokens []uint32
			err := l.logits(a.tokens[:len(a.tokens)-1], a.from(), func(j int, row []float32) error {
				ours := rows[i][j-a.from()]
				tokens = append(tokens, argmax(row))
				c.add(judge(ours, argmax(row)))
				c.gap = max(c.gap, gap(ours, row))
				return nil
			})
			if err != nil {
				return err
			}
			best = append(best, tokens)
		}
		return nil
	})
	return best, err
}

// wrongBase wants the rule to fail for a model with another RoPE base.
func (t *tools) wrongBase(ctx context.Context, f *gguf.File, answers []answer, theirs [][]uint32) error {
	path := filepath.Join(t.temp, "wrong.gguf")
	if err := rewrite(f, path, change{base: 0.1}); err != nil {
		return err
	}
	defer os.Remove(path)
	wrong, err := gguf.Open(path)
	if err != nil {
		return err
	}
	defer wrong.Close()
	rows, err := nativeAnswers(ctx, wrong, answers)
	if err != nil {
		return err
	}
	var c tally
	for i := range rows {
		for j, row := range rows[i] {
			c.add(judge(row, theirs[i][j]))
		}
	}
	if c.agree() {
		return fmt.Errorf("a wrong RoPE base is not noticed: %s", &c)
	}
	return nil
}

// argmax is the first of the largest.
func argmax(row []float32) uint32 { return uint32(slices.Index(row, slices.Max(row))) }

func judge(ours []float32, theirs uint32) position {
	best := argmax(ours)
	second := float32(math.Inf(-1))
	for i, x := range ours {
		if uint32(i) != best {
			second = max(second, x)
		}
	}
	return position{best, theirs, float64(ours[best]) - float64(second)}
}
