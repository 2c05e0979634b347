package openai

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"daulat/core/canon"
)

// Units of the sampling parameters.
const (
	TemperatureOne = 1 << 16   // temperature 1.0, 16.16 fixed point
	TopPAll        = 1_000_000 // top_p 1.0, parts per million
)

const (
	maxMessages = 1024
	maxName     = 256 // bytes of a model name
	maxStop     = 4
	maxStopSize = 1024 // bytes of a stop string

	maxAccounts = 16 // that an order prefers, or excludes

	maxTopChat       = 20 // alternatives to a token
	maxTopCompletion = 5
)

// Message is one turn of a conversation. Role is system, user or assistant
// (developer is read as system).
type Message struct{ Role, Content string }

// Prompt is what a client asks, with every default filled in but MaxTokens and
// Seed. Either Messages or Text is used.
type Prompt struct {
	Model       string
	Messages    []Message
	Text        string
	MaxTokens   uint64 // most tokens of the answer; 0 leaves it to the backend
	Temperature uint64 // 16.16 fixed point, 0 to 2·TemperatureOne; 0 takes the likeliest token
	TopP        uint64 // parts per million, 1 to TopPAll
	Stop        []string
	Seed        *[32]byte // nil asks for a fresh random one
	Logprobs    uint64    // log-probabilities of each token: 1 + the number of likeliest ones beside its own; 0 asks for none
	// Whole is the same conversation with all that Messages can't hold, such as tools
	// and images, for a model that is only declared: the canonical JSON of messages,
	// tools, tool_choice and response_format. A text completion has none.
	Whole string `json:",omitempty"`
	// Native is why Messages can't hold it, and nil if they do.
	Native *Error `json:",omitempty"`
	Choice
}

// Choice is who may answer, where the client says so in the field daulat, which
// OpenAI's protocol does not have.
type Choice struct {
	Providers []string `json:",omitempty"` // accounts; nobody else, if there are any
	Not       []string `json:",omitempty"` // accounts
	Spread    bool     `json:",omitempty"` // different owners one after the other
	PerOwner  uint64   `json:",omitempty"` // sessions that are open with one owner at a time; 0: any number
}

// MaxPerOwner is the highest bound of sessions with one owner: more than any gateway
// has open at a time is none.
const MaxPerOwner = 64

// Request is a prompt and the form of the reply that the client wants.
type Request struct {
	Prompt
	Chat         bool // chat.completion, otherwise text_completion
	Stream       bool
	IncludeUsage bool
}

// DecodeChat reads the body of POST /v1/chat/completions.
func DecodeChat(body []byte) (Request, *Error) {
	o, err := open(body)
	if err != nil {
		return Request{}, err
	}
	r := o.common()
	r.Chat = true
	r.MaxTokens = o.maxTokens()
	r.Logprobs = o.chatLogprobs()
	o.inert("functions", "[]")
	o.inert("function_call", `"none"`, `"auto"`)
	o.inert("modalities", `["text"]`)
	o.inert("audio")
	o.inert("web_search_options")
	r.Whole = o.whole()
	if o.err != nil {
		return Request{}, o.err
	}
	r.Messages, r.Native = o.native()
	return r, nil
}

// native reads what a model that runs here can be asked.
func (o *object) native() ([]Message, *Error) {
	n := &object{fields: o.fields}
	messages := n.messages()
	n.inert("tools", "[]")
	n.inert("tool_choice", `"none"`, `"auto"`)
	if raw := n.get("response_format"); raw != nil {
		format := n.child("response_format", raw)
		if kind := format.string("type"); kind != "text" {
			format.fail("type", "must be \"text\"; other formats are not served here")
		}
		n.adopt(format)
	}
	if n.err != nil {
		return nil, n.err
	}
	return messages, nil
}

// whole is the canonical JSON of what a declared model is asked. The form of
// what lies within messages and tools is its server's to judge.
func (o *object) whole() string {
	chat := map[string]any{"messages": o.turns()}
	for _, name := range []string{"tools", "tool_choice", "response_format"} {
		raw := o.get(name)
		if raw == nil || string(raw) == "[]" {
			continue
		}
		v, err := canon.ReadJSON(raw)
		if err != nil {
			o.fail(name, "is %v", err)
		}
		chat[name] = v
	}
	if o.err != nil {
		return ""
	}
	return string(canon.JSON(chat))
}

// turns are the messages as they are, but that developer is read as system.
func (o *object) turns() []any {
	list := o.list("messages", maxMessages)
	if len(list) == 0 {
		o.fail("messages", "must have at least one message")
	}
	turns := make([]any, 0, len(list))
	for i, raw := range list {
		m := o.child(fmt.Sprintf("messages[%d]", i), raw)
		switch m.string("role") {
		case "system", "developer", "user", "assistant", "tool":
		case "function":
			m.fail("role", "is \"function\", which is not served here")
		default:
			m.fail("role", "must be system, developer, user, assistant or tool")
		}
		m.inert("function_call")
		m.inert("audio")
		o.adopt(m)
		v, err := canon.ReadJSON(raw)
		if err != nil {
			o.fail("messages", "are %v", err)
		}
		if o.err != nil {
			return nil
		}
		turn := v.(map[string]any) // child has opened it
		if turn["role"] == "developer" {
			turn["role"] = "system"
		}
		turns = append(turns, turn)
	}
	return turns
}

// DecodeCompletion reads the body of POST /v1/completions.
func DecodeCompletion(body []byte) (Request, *Error) {
	o, err := open(body)
	if err != nil {
		return Request{}, err
	}
	r := o.common()
	r.MaxTokens = o.count("max_tokens")
	if top, asked := o.upTo("logprobs", maxTopCompletion); asked {
		r.Logprobs = 1 + top
	}
	o.inert("best_of", "1")
	o.inert("echo", "false")
	o.inert("suffix", `""`)
	if prompts := o.strings("prompt", 1); len(prompts) == 1 {
		r.Text = prompts[0]
	} else {
		o.fail("prompt", "must be one string")
	}
	if o.err != nil {
		return Request{}, o.err
	}
	return r, nil
}

// common reads what both calls share.
func (o *object) common() (r Request) {
	r.Model = o.string("model")
	if r.Model == "" || len(r.Model) > maxName {
		o.fail("model", "must have 1 to %d bytes", maxName)
	}
	r.Temperature = o.scaled("temperature", 2, TemperatureOne, TemperatureOne)
	r.TopP = max(o.scaled("top_p", 1, TopPAll, TopPAll), 1) // the likeliest token always stays
	r.Stop = o.strings("stop", maxStop)
	for _, stop := range r.Stop {
		if stop == "" || len(stop) > maxStopSize {
			o.fail("stop", "must hold strings of 1 to %d bytes", maxStopSize)
		}
	}
	r.Seed = o.seed()
	if raw := o.get("daulat"); raw != nil {
		r.Choice = o.choice(raw)
	}
	r.Stream = o.bool("stream")
	if raw := o.get("stream_options"); raw != nil {
		options := o.child("stream_options", raw)
		r.IncludeUsage = options.bool("include_usage")
		o.adopt(options)
		if !r.Stream {
			o.fail("stream_options", "needs stream to be true")
		}
	}
	o.inert("n", "1")
	o.inert("logit_bias", "{}")
	o.inert("frequency_penalty", "0")
	o.inert("presence_penalty", "0")
	return r
}

func (o *object) choice(raw json.RawMessage) Choice {
	c := o.child("daulat", raw)
	defer o.adopt(c)
	for _, name := range slices.Sorted(maps.Keys(c.fields)) {
		if !slices.Contains([]string{"providers", "not", "spread", "per_owner"}, name) {
			c.fail(name, "is not known here")
		}
	}
	perOwner, _ := c.upTo("per_owner", MaxPerOwner)
	return Choice{Providers: c.accounts("providers"), Not: c.accounts("not"), Spread: c.bool("spread"), PerOwner: perOwner}
}

// accounts reads names of accounts, which the backend checks.
func (o *object) accounts(name string) []string {
	all := o.strings(name, maxAccounts)
	for _, account := range all {
		if account == "" || len(account) > maxName {
			o.fail(name, "must hold accounts of 1 to %d bytes", maxName)
		}
	}
	return all
}

// chatLogprobs reads whether log-probabilities are wanted, and how many.
func (o *object) chatLogprobs() uint64 {
	wanted := o.bool("logprobs")
	top, _ := o.upTo("top_logprobs", maxTopChat)
	if wanted {
		return 1 + top
	}
	if top > 0 {
		o.fail("top_logprobs", "needs logprobs to be true")
	}
	return 0
}

// maxTokens reads the older and the newer name of one limit.
func (o *object) maxTokens() uint64 {
	older, newer := o.count("max_tokens"), o.count("max_completion_tokens")
	if older != 0 && newer != 0 && older != newer {
		o.fail("max_completion_tokens", "differs from max_tokens; send one of them")
	}
	return max(older, newer)
}

// strings reads a string or a list of at most most strings.
func (o *object) strings(name string, most int) []string {
	raw := o.get(name)
	if raw == nil {
		return nil
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}
	}
	var all []string
	for _, raw := range o.list(name, most) {
		if string(raw) == "null" || json.Unmarshal(raw, &one) != nil {
			o.fail(name, "must be a string or a list of strings")
			return nil
		}
		all = append(all, one)
	}
	return all
}

// seed spreads the 64-bit seed of the API over the 32 bytes that sampling uses.
func (o *object) seed() *[32]byte {
	raw := o.get("seed")
	if raw == nil {
		return nil
	}
	var n int64
	if json.Unmarshal(raw, &n) != nil {
		o.fail("seed", "must be a whole number of 64 bits")
		return nil
	}
	seed := [32]byte(canon.Digest("gateway/seed", struct {
		Seed int64 `cbor:"seed"`
	}{n}))
	return &seed
}

func (o *object) messages() []Message {
	list := o.list("messages", maxMessages)
	if len(list) == 0 {
		o.fail("messages", "must have at least one message")
	}
	messages := make([]Message, 0, len(list))
	for i, raw := range list {
		m := o.child(fmt.Sprintf("messages[%d]", i), raw)
		messages = append(messages, m.message())
		if o.adopt(m); o.err != nil {
			return nil
		}
	}
	return messages
}

func (o *object) message() Message {
	role := o.string("role")
	switch role {
	case "system", "user", "assistant":
	case "developer":
		role = "system"
	default: // turns has seen to it that it is a tool's
		o.fail("role", "is %q, but tools are not served here", role)
	}
	o.inert("tool_calls", "[]")
	return Message{role, o.content()}
}

// content reads a string, or a list of text parts, which are joined as they are.
func (o *object) content() string {
	raw := o.get("content")
	if raw == nil || raw[0] != '[' {
		return o.string("content")
	}
	parts := o.list("content", maxMessages)
	if len(parts) == 0 {
		o.fail("content", "must not be an empty list")
	}
	var text strings.Builder
	for i, raw := range parts {
		part := o.child(fmt.Sprintf("content[%d]", i), raw)
		if kind := part.string("type"); kind != "text" {
			part.fail("type", "is %.64q, but only text is served here", kind)
		}
		text.WriteString(part.string("text"))
		if o.adopt(part); o.err != nil {
			return ""
		}
	}
	return text.String()
}
