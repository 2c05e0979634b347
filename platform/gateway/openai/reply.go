package openai

import (
	"bytes"
	"encoding/json"
	"maps"
	"unicode/utf8"
)

// Model is one line of the model list: the name to ask for, and which manifest
// stands behind it.
type Model struct{ Name, ID, Label string }

// Usage counts tokens.
type Usage struct{ Input, Output uint64 }

// Daulat is what a reply says beyond OpenAI's fields, under the name "daulat":
// the receipt to verify it by and the price, in udlt as a decimal string.
type Daulat struct {
	Receipt  string `json:"receipt"`
	Price    uint64 `json:"price_udlt,string"`
	ModelID  string `json:"model_id"`
	Label    string `json:"label,omitempty"`
	Provider string `json:"provider,omitempty"`
}

// Reply is what all parts of one reply share.
type Reply struct {
	Receipt string // becomes the ID of the reply
	Model   string
	ModelID string // becomes the system fingerprint
	Created int64  // Unix seconds
	Chat    bool
	Usage   bool // the stream ends with the token counts
	// Logprobs says that tokens are shown with their log-probabilities.
	Logprobs bool
	// Calls are the tools that the answer calls, each a JSON object as OpenAI's; known
	// once the answer is complete.
	Calls []any
	// Reasoning is what the model thought before, where the reply does not stream.
	Reasoning string
}

type envelope struct {
	ID          string   `json:"id"`
	Object      string   `json:"object"`
	Created     int64    `json:"created"`
	Model       string   `json:"model"`
	Fingerprint string   `json:"system_fingerprint,omitempty"`
	Choices     []choice `json:"choices"`
	Usage       any      `json:"usage,omitempty"`
	Daulat      *Daulat  `json:"daulat,omitempty"`
}

type choice struct {
	Index    int      `json:"index"`
	Message  *message `json:"message,omitempty"`
	Delta    *delta   `json:"delta,omitempty"`
	Text     *string  `json:"text,omitempty"`
	Logprobs any      `json:"logprobs"`
	Finish   *string  `json:"finish_reason"`
}

type message struct {
	Role    string  `json:"role"`
	Content *string `json:"content"`
	Refusal *string `json:"refusal"`
	// Reasoning has the name that servers of such models agree on; OpenAI has none.
	Reasoning string `json:"reasoning_content,omitempty"`
	Calls     []any  `json:"tool_calls,omitempty"`
}

type delta struct {
	Role      string  `json:"role,omitempty"`
	Content   *string `json:"content,omitempty"`
	Reasoning string  `json:"reasoning_content,omitempty"`
	Calls     []any   `json:"tool_calls,omitempty"`
}

type usage struct {
	Prompt     uint64 `json:"prompt_tokens"`
	Completion uint64 `json:"completion_tokens"`
	Total      uint64 `json:"total_tokens"`
}

var null = json.RawMessage("null")

// Whole is the reply to a request that does not stream.
func (r Reply) Whole(text string, tokens []Token, finish string, u Usage, d Daulat) []byte {
	c := choice{Finish: &finish}
	if r.Logprobs {
		c.Logprobs = r.logprobs(tokens)
	}
	object := "text_completion"
	if r.Chat {
		object = "chat.completion"
		c.Message = &message{Role: "assistant", Content: &text, Reasoning: r.Reasoning, Calls: r.Calls}
		if text == "" && len(r.Calls) > 0 {
			c.Message.Content = nil
		}
	} else {
		c.Text = &text
	}
	e := r.envelope(object, c)
	e.Usage, e.Daulat = u.encode(), &d
	return encode(e)
}

// Begin is the first event of a stream, which tells the role; a text completion
// has none.
func (r Reply) Begin() []byte {
	if !r.Chat {
		return nil
	}
	empty := ""
	return r.event(&delta{Role: "assistant", Content: &empty}, "", nil)
}

// Pieces are the events for stretches of text, with all that they share encoded
// once.
type Pieces struct{ before, after []byte }

// Pieces prepares the events of a stream.
func (r Reply) Pieces() Pieces {
	text := ""
	whole := r.event(&delta{Content: &text}, text, nil)
	field := []byte(`"text":""`)
	if r.Chat {
		field = []byte(`"content":""`)
	}
	// Within a string quotes are escaped, so this finds the field itself.
	before, after, found := bytes.Cut(whole, field)
	if !found {
		panic("openai: a piece without its text")
	}
	return Pieces{append(before[:len(before):len(before)], field[:len(field)-2]...), after}
}

// Append appends the event for a stretch of text to b.
func (p Pieces) Append(b []byte, text string) []byte {
	b = append(b, p.before...)
	b = appendString(b, text)
	return append(b, p.after...)
}

// Piece is the event for a stretch of text with the tokens that it shows.
func (r Reply) Piece(text string, tokens []Token) []byte {
	e := r.chunk(&delta{Content: &text}, text, nil)
	e.Choices[0].Logprobs = r.logprobs(tokens)
	return event(e)
}

// Thought is the event for a stretch of what the model thinks before it answers.
func (r Reply) Thought(text string) []byte { return r.event(&delta{Reasoning: text}, "", nil) }

// appendString appends text as a JSON string.
func appendString(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			return append(b, bytes.TrimSuffix(encode(text), []byte{'\n'})...)
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}

// End closes the stream: the reason, the counts if they were asked for, and [DONE].
// The last chunk carries the daulat object.
func (r Reply) End(finish string, u Usage, d Daulat) []byte {
	const done = "data: [DONE]\n\n"
	var events []byte
	if len(r.Calls) > 0 {
		events = r.event(&delta{Calls: numbered(r.Calls)}, "", nil)
	}
	last := r.chunk(&delta{}, "", &finish)
	if !r.Usage {
		last.Daulat = &d
		return append(append(events, event(last)...), done...)
	}
	counts := r.envelope(last.Object)
	counts.Usage, counts.Daulat = u.encode(), &d
	return append(append(append(events, event(last)...), event(counts)...), done...)
}

// numbered is the calls as a stream has them, each with its place.
func numbered(calls []any) []any {
	all := make([]any, len(calls))
	for i, call := range calls {
		all[i] = call
		if fields, ok := call.(map[string]any); ok {
			fields = maps.Clone(fields)
			fields["index"] = i
			all[i] = fields
		}
	}
	return all
}

func (r Reply) event(d *delta, text string, finish *string) []byte {
	return event(r.chunk(d, text, finish))
}

func (r Reply) chunk(d *delta, text string, finish *string) envelope {
	c := choice{Finish: finish}
	object := "text_completion"
	if r.Chat {
		object, c.Delta = "chat.completion.chunk", d
	} else {
		c.Text = &text
	}
	e := r.envelope(object, c)
	if r.Usage {
		e.Usage = null
	}
	return e
}

func (r Reply) envelope(object string, choices ...choice) envelope {
	prefix := "cmpl-"
	if r.Chat {
		prefix = "chatcmpl-"
	}
	if choices == nil {
		choices = []choice{}
	}
	return envelope{ID: prefix + r.Receipt, Object: object, Created: r.Created, Model: r.Model, Fingerprint: r.ModelID, Choices: choices}
}

func (u Usage) encode() usage { return usage{u.Input, u.Output, u.Input + u.Output} }

type modelLine struct {
	ID      string `json:"id"`
	Object  string `json:"object"`
	Created int64  `json:"created"`
	Owner   string `json:"owned_by"`
	Daulat  struct {
		ModelID string `json:"model_id"`
		Label   string `json:"label,omitempty"`
	} `json:"daulat"`
}

func (m Model) line() modelLine {
	line := modelLine{ID: m.Name, Object: "model", Owner: "daulat"}
	line.Daulat.ModelID, line.Daulat.Label = m.ID, m.Label
	return line
}

// Encode is the reply to GET /v1/models/NAME.
func (m Model) Encode() []byte { return encode(m.line()) }

// Models is the reply to GET /v1/models.
func Models(models []Model) []byte {
	lines := make([]modelLine, 0, len(models))
	for _, m := range models {
		lines = append(lines, m.line())
	}
	return encode(struct {
		Object string      `json:"object"`
		Data   []modelLine `json:"data"`
	}{"list", lines})
}

// event frames a value as a server-sent event. JSON has no raw line ends, so
// one data line holds it.
func event(v any) []byte {
	line := append([]byte("data: "), encode(v)...)
	return append(line, '\n') // encode ends with the other one
}

func encode(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("openai: a reply of our own types does not encode: " + err.Error())
	}
	return b.Bytes()
}
