package inference

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"daulat/core/canon"
	"daulat/core/receipt"
	"daulat/model/chat"
	"daulat/model/float"
	"daulat/model/gguf"
	"daulat/model/replay"
	"daulat/model/text"
)

// Teacher reads a text and says what it would have gone on with at each of its tokens, whatever the text says.
type Teacher interface {
	// Prompt is the tokens before the model's turn.
	Prompt(ctx context.Context, messages []chat.Message) ([]uint32, error)
	// Tokens is the usual tokens of a text that a model wrote.
	Tokens(ctx context.Context, text string) ([]uint32, error)
	// Rows is what may come at each of tokens, after the prompt and the tokens before it. It tells how many it has.
	Rows(ctx context.Context, prompt, tokens []uint32, tell func(done int)) ([]replay.Row, error)
	// Context is the most tokens that prompt and text may have together.
	Context() int
}

// lesser is a teacher that can also be what somebody might run in its place.
type lesser interface {
	Lesser(kind replay.Kind) (Teacher, error)
}

// Forced is a teacher-forced replay: of the model that was declared, if it is that, and of what may have been run instead.
type Forced struct {
	Reference Teacher
	Against   map[replay.Kind]Teacher
}

// Judge says whether the reference may have given the answer. What the answer says of its own likelihoods is not looked at. With a
// reason, the replay could not be done on this answer.
func (f Forced) Judge(ctx context.Context, r receipt.Request, a receipt.Answer, say func(string)) (result replay.Result, reason string, err error) {
	messages, answer, reason, err := conversation(r, a)
	if reason != "" || err != nil {
		return replay.Result{}, reason, err
	}
	prompt, err := f.Reference.Prompt(ctx, messages)
	if err != nil {
		return replay.Result{}, "", fmt.Errorf("replay: %w", err)
	}
	tokens, err := f.tokens(ctx, answer)
	if err != nil {
		return replay.Result{}, "", fmt.Errorf("replay: %w", err)
	}
	if counted, most := r.Bill(a).Output, uint64(len(tokens)+len(tokens)/8+8); counted > most {
		return replay.Result{}, fmt.Sprintf("the provider's server counts %d tokens, and the text has %d: what it thought is not in the receipt", counted, len(tokens)), nil
	}
	room := min(f.Reference.Context()-len(prompt), replay.MaxTokens)
	if room < 1 || len(prompt) == 0 {
		return replay.Result{}, "", fmt.Errorf("replay: %w: the prompt has %d tokens", ErrPrompt, len(prompt))
	}
	c := replay.Case{Tokens: tokens[:min(room, len(tokens))], Temperature: float64(r.Params.Temperature) / (1 << 16),
		TopP: float64(r.Params.TopP) / receipt.MaxTopP}
	if err := f.read(ctx, prompt, &c, say); err != nil {
		return replay.Result{}, "", fmt.Errorf("replay: %w", err)
	}
	say("comparing, and measuring the power of each test")
	result, err = replay.Judge(c)
	return result, "", err
}

// read fills in the rows.
func (f Forced) read(ctx context.Context, prompt []uint32, c *replay.Case, say func(string)) (err error) {
	c.Alternatives = map[replay.Kind][]replay.Row{}
	if len(c.Tokens) == 0 {
		return nil
	}
	if c.Reference, err = rows(ctx, f.Reference, "the reference", prompt, c.Tokens, say); err != nil {
		return err
	}
	for _, kind := range replay.Kinds {
		teacher, before, err := f.alternative(kind, prompt, say)
		if err != nil {
			return fmt.Errorf("%s: %w", kind, err)
		}
		if teacher == nil {
			continue
		}
		if c.Alternatives[kind], err = rows(ctx, teacher, string(kind), before, c.Tokens, say); err != nil {
			return err
		}
	}
	return nil
}

// rows are a teacher's; they may take minutes.
func rows(ctx context.Context, t Teacher, name string, prompt, tokens []uint32, say func(string)) ([]replay.Row, error) {
	const often = 64
	say(fmt.Sprintf("reading the answer's %d tokens again: %s", len(tokens), name))
	all, err := t.Rows(ctx, prompt, tokens, func(done int) {
		if done%often == 0 && done < len(tokens) {
			say(fmt.Sprintf("reading the answer again: %s, %d of %d", name, done, len(tokens)))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for i, r := range all {
		if err := r.Check(); err != nil {
			return nil, fmt.Errorf("%s: at token %d: %w", name, i, err)
		}
	}
	return all, nil
}

// alternative is who reads for a kind, and after what; nobody where that is not needed or not to be had.
func (f Forced) alternative(kind replay.Kind, prompt []uint32, say func(string)) (Teacher, []uint32, error) {
	if t := f.Against[kind]; t != nil {
		return t, prompt, nil
	}
	switch kind {
	case replay.CutPrompt:
		if half := prompt[len(prompt)/2:]; len(half) < len(prompt) {
			return f.Reference, half, nil
		}
	case replay.HalfLayers, replay.FourBit:
		if l, ok := f.Reference.(lesser); ok {
			say("deriving a model from the reference: " + string(kind))
			t, err := l.Lesser(kind)
			return t, prompt, err
		}
	}
	return nil, nil, nil
}

// errVocabulary says that an alternative cannot be compared.
var errVocabulary = errors.New("it has another vocabulary than the reference")

// tokens of the answer, which must be the same for all.
func (f Forced) tokens(ctx context.Context, answer string) ([]uint32, error) {
	tokens, err := f.Reference.Tokens(ctx, answer)
	if err != nil {
		return nil, err
	}
	for kind, t := range f.Against {
		other, err := t.Tokens(ctx, answer)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		if !slices.Equal(other, tokens) {
			return nil, fmt.Errorf("%s: %w", kind, errVocabulary)
		}
	}
	return tokens, nil
}

// conversation is what was said, if all of it is text that a chat template takes.
func conversation(r receipt.Request, a receipt.Answer) (messages []chat.Message, answer, reason string, err error) {
	v, err := canon.CheckJSON([]byte(r.Chat))
	if err != nil {
		return nil, "", "", fmt.Errorf("replay: %w", err)
	}
	whole, _ := v.(map[string]any)
	for field := range whole {
		if field != "messages" {
			return nil, "", "tools and forms of answers steer it in a way that cannot be replayed", nil
		}
	}
	list, _ := whole["messages"].([]any)
	for _, m := range list {
		message, ok := plain(m)
		if !ok {
			return nil, "", "a message has more than text, such as an image or a call of a tool, which cannot be replayed", nil
		}
		messages = append(messages, message)
	}
	said, err := receipt.DecodeMessage(a.Message)
	switch {
	case len(said.Calls) > 0:
		return nil, "", "the answer calls tools, which cannot be replayed", err
	case said.Reasoning != "":
		return nil, "", "the model thought before it answered, and how its server wrote that down cannot be told", err
	}
	return messages, strings.TrimRight(said.Content, "\uFFFD"), "", err // of a character that was cut
}

// plain is a message of text alone.
func plain(v any) (chat.Message, bool) {
	m, _ := v.(map[string]any)
	role, ok := m["role"].(string)
	if !ok || len(m) != 2 {
		return chat.Message{}, false
	}
	if content, ok := m["content"].(string); ok {
		return chat.Message{Role: role, Content: content}, true
	}
	parts, ok := m["content"].([]any)
	var all strings.Builder
	for _, v := range parts {
		part, _ := v.(map[string]any)
		words, text := part["text"].(string)
		if part["type"] != "text" || !text {
			return chat.Message{}, false
		}
		all.WriteString(words)
	}
	return chat.Message{Role: role, Content: all.String()}, ok
}

// fileTeacher is a GGUF file that our own engine runs.
type fileTeacher struct {
	weights *float.Model
	words   *text.Text
	hidden  []bool // tokens that a text never shows
	shown   int
}

// OpenTeacher loads a GGUF file.
func OpenTeacher(path string) (Teacher, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("replay by %s: %w", path, err)
	}
	defer f.Close()
	words, err := text.FromGGUF(f)
	if err != nil {
		return nil, fmt.Errorf("replay by %s: %w", path, err)
	}
	weights, err := float.Load(f)
	if err != nil {
		return nil, fmt.Errorf("replay by %s: %w", path, err)
	}
	if words.Size() != weights.Vocab() {
		return nil, fmt.Errorf("replay by %s: %d tokens have text and %d have logits", path, words.Size(), weights.Vocab())
	}
	t := fileTeacher{weights: weights, words: words, hidden: make([]bool, words.Size())}
	for id := range t.hidden {
		t.hidden[id] = words.IsEnd(uint32(id)) || words.IsControl(uint32(id))
		if !t.hidden[id] {
			t.shown++
		}
	}
	return t, nil
}

// Context implements Teacher.
func (t fileTeacher) Context() int { return t.weights.Context() }

// Prompt implements Teacher.
func (t fileTeacher) Prompt(_ context.Context, messages []chat.Message) ([]uint32, error) {
	return t.words.Chat(messages)
}

// Tokens implements Teacher.
func (t fileTeacher) Tokens(_ context.Context, text string) ([]uint32, error) {
	return t.words.Encode(text, false)
}

// Lesser implements lesser.
func (t fileTeacher) Lesser(kind replay.Kind) (Teacher, error) {
	var err error
	switch kind {
	case replay.HalfLayers:
		t.weights = t.weights.Shallow()
	case replay.FourBit:
		t.weights, err = t.weights.FourBit()
	default:
		return nil, fmt.Errorf("no model is derived for %s", kind)
	}
	return t, err
}

// Rows implements Teacher.
func (t fileTeacher) Rows(ctx context.Context, prompt, tokens []uint32, tell func(int)) ([]replay.Row, error) {
	for _, id := range tokens {
		if int64(id) >= int64(len(t.hidden)) {
			return nil, errVocabulary
		}
	}
	feed := append(slices.Clone(prompt), tokens[:len(tokens)-1]...)
	rows := make([]replay.Row, 0, len(tokens))
	best := likeliest{hidden: t.hidden, shown: t.shown}
	err := t.weights.NewState(float.StateOptions{}).Append(ctx, feed, len(prompt)-1, func(_ int, logits []float32) error {
		rows = append(rows, best.row(logits))
		tell(len(rows))
		return nil
	})
	return rows, err
}

// likeliest makes rows of logits.
type likeliest struct {
	hidden []bool
	shown  int
	ids    []uint32
}

func (l *likeliest) row(logits []float32) replay.Row {
	byLogit := func(a, b uint32) int {
		if logits[a] != logits[b] {
			if logits[a] > logits[b] {
				return -1
			}
			return 1
		}
		return int(a) - int(b)
	}
	l.ids = l.ids[:0]
	floor := float32(math.Inf(-1))
	for id, x := range logits {
		if l.hidden[id] || x < floor {
			continue
		}
		if l.ids = append(l.ids, uint32(id)); len(l.ids) == 4*replay.MaxRow {
			slices.SortFunc(l.ids, byLogit)
			l.ids = l.ids[:replay.MaxRow]
			floor = logits[l.ids[replay.MaxRow-1]]
		}
	}
	slices.SortFunc(l.ids, byLogit)
	l.ids = l.ids[:min(len(l.ids), replay.MaxRow)]
	top, sum := float64(logits[l.ids[0]]), 0.0
	for id, x := range logits {
		if !l.hidden[id] {
			sum += math.Exp(float64(x) - top)
		}
	}
	row := replay.Row{IDs: slices.Clone(l.ids), Logprobs: make([]float64, len(l.ids)), Vocabulary: l.shown}
	for i, id := range l.ids {
		row.Logprobs[i] = float64(logits[id]) - top - math.Log(sum)
	}
	return row
}
