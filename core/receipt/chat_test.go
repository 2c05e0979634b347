package receipt_test

import (
	"errors"
	"strings"
	"testing"

	"daulat/core/canon"
	"daulat/core/receipt"
)

const hello = `{"messages":[{"content":"hello","role":"user"}]}`

func chatting(chat string) receipt.Request {
	return receipt.Request{Version: canon.Version, Key: canon.PublicKey{1}, Counter: 1, Chat: chat,
		Model: canon.NewCID(canon.Raw, canon.Hash{1}), Params: receipt.Params{MaxTokens: 4, TopP: receipt.MaxTopP}}
}

func TestChatIsCanonical(t *testing.T) {
	parts := func(part string) string {
		return `{"messages":[{"content":[{"text":"what is this?","type":"text"},` + part + `],"role":"user"}]}`
	}
	for _, good := range []string{
		hello,
		`{"messages":[{"content":null,"role":"assistant","tool_calls":[{"id":"1"}]}],"response_format":{"type":"json_object"},"tool_choice":"auto","tools":[{}]}`,
		parts(`{"image_url":{"url":"data:image/png;base64,AAAA"},"type":"image_url"}`),
		parts(`{"image_url":"data:image/png;base64,AAAA","type":"image_url"}`),
		parts(`{"input_audio":{"data":"AAAA"},"type":"input_audio"}`),
	} {
		if err := chatting(good).Validate(); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for bad, why := range map[string]string{
		` ` + hello: "canonical",
		`{"messages":[{"role":"user","content":"hello"}]}`:      "canonical",
		`{"messages":[{"content":"\u0068ello","role":"user"}]}`: "canonical",
		`{"messages":[{"content":"a","content":"b"}]}`:          "twice",
		`{"messages":[]}`:                   "no messages",
		`{"tools":[]}`:                      "no messages",
		`[]`:                                "no messages",
		`{"messages":[{}],"model":"x"}`:     `field "model"`,
		`{"messages":[{}],"temperature":1}`: "field",
		`{"messages":[{"content":"` + strings.Repeat("a", receipt.MaxChat) + `"}]}`: "bytes",
		parts(`{"image_url":{"url":"http://169.254.169.254/"},"type":"image_url"}`): "comes with it",
		parts(`{"image_url":"file:///etc/passwd","type":"image_url"}`):              "comes with it",
		parts(`{"image_url":{"url":"http://a/"},"text":"x","type":"text"}`):         "comes with it",
		parts(`{"image_url":7,"type":"image_url"}`):                                 "comes with it",
		parts(`{"type":"video_url","video_url":{"url":"data:video/mp4,"}}`):         "comes with it",
		parts(`"text"`): "comes with it",
	} {
		if err := chatting(bad).Validate(); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%.80s: %v, want %s", bad, err, why)
		}
	}
}

// A declared model is asked in text, and no other is.
func TestTextIsForDeclaredModels(t *testing.T) {
	for name, change := range map[string]func(*receipt.Request){
		"text to a manifest's model": func(r *receipt.Request) { r.Model = canon.NewCID(canon.DagCBOR, canon.Hash{1}) },
		"tokens to a declared model": func(r *receipt.Request) { r.Chat, r.Tokens = "", []uint32{1} },
		"nothing":                    func(r *receipt.Request) { r.Chat = "" },
		"both":                       func(r *receipt.Request) { r.Tokens = []uint32{1} },
		"log-probabilities":          func(r *receipt.Request) { r.Params.Logprobs = 1 },
	} {
		r := chatting(hello)
		if change(&r); r.Validate() == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func told(text string, input, output uint64) receipt.Answer {
	return receipt.Answer{Tokens: []uint32{}, Finish: receipt.FinishStop, Message: receipt.NewMessage(text, nil), Usage: &receipt.Usage{Input: input, Output: output}}
}

// What a provider says that it counted is bounded by what was asked and by what
// came of it.
func TestUsageIsBounded(t *testing.T) {
	r := chatting(hello)
	r.Params.MaxTokens = 1000
	most := uint64(len(hello) + 256)
	text := receipt.NewMessage("abc", nil)
	if most := r.MostFor(receipt.NewMessage("abc", []any{"f"})); most.Output != uint64(len(`abc["f"]`)) {
		t.Errorf("a text and a call have at most %d tokens", most.Output)
	}
	for _, c := range []struct {
		input, output uint64
		fits          bool
	}{
		{0, 0, true}, {most, uint64(len("abc")), true}, {most + 1, 1, false}, {1, uint64(len("abc")) + 1, false}, {1 << 63, 1 << 63, false},
	} {
		err := r.Fits(told("abc", c.input, c.output))
		if (err == nil) != c.fits || !c.fits && !errors.Is(err, receipt.ErrUsage) {
			t.Errorf("%d in and %d out: %v", c.input, c.output, err)
		}
		capped := receipt.Usage{Input: c.input, Output: c.output}.Capped(r.MostFor(text))
		if err := r.Fits(told("abc", capped.Input, capped.Output)); err != nil {
			t.Errorf("capped to %+v: %v", capped, err)
		}
	}
	r.Params.MaxTokens = 2
	if err := r.Fits(told("abc", 1, 3)); !errors.Is(err, receipt.ErrUsage) {
		t.Errorf("more than max tokens: %v", err)
	}
	leaf := receipt.NewLeaf(receipt.Ask{}, r, told("abc", 7, 2))
	if worst := r.Worst(); leaf.Input != 7 || leaf.Output != 2 || worst != (receipt.Usage{Input: most, Output: 2}) {
		t.Errorf("billed for %d and %d, at worst %+v", leaf.Input, leaf.Output, worst)
	}
}

func TestAnswersThatFitNothing(t *testing.T) {
	r := chatting(hello)
	long := told(strings.Repeat("a", r.Params.MessageRoom()), 1, 1)
	for name, c := range map[string]struct {
		change func(*receipt.Answer)
		ok     bool
	}{
		"honest":                {func(*receipt.Answer) {}, true},
		"tools":                 {func(a *receipt.Answer) { a.Message = `{"content":"","tool_calls":[{"id":"1"}]}` }, true},
		"reasoning":             {func(a *receipt.Answer) { a.Message = `{"content":"","reasoning_content":"so"}` }, true},
		"no reasoning":          {func(a *receipt.Answer) { a.Message = `{"content":"","reasoning_content":""}` }, false},
		"reasoning of a kind":   {func(a *receipt.Answer) { a.Message = `{"content":"","reasoning_content":["so"]}` }, false},
		"tokens":                {func(a *receipt.Answer) { a.Tokens = []uint32{1} }, false},
		"log-probabilities":     {func(a *receipt.Answer) { a.Logprobs = make([]receipt.Logprobs, 1) }, false},
		"no usage":              {func(a *receipt.Answer) { a.Usage = nil }, false},
		"no message":            {func(a *receipt.Answer) { a.Message = "" }, false},
		"not canonical":         {func(a *receipt.Answer) { a.Message = `{"content": "a"}` }, false},
		"no text":               {func(a *receipt.Answer) { a.Message = `{"tool_calls":[{}]}` }, false},
		"no calls":              {func(a *receipt.Answer) { a.Message = `{"content":"a","tool_calls":[]}` }, false},
		"calls of another kind": {func(a *receipt.Answer) { a.Message = `{"content":"a","tool_calls":7}` }, false},
		"more":                  {func(a *receipt.Answer) { a.Message = `{"content":"a","role":"assistant"}` }, false},
		"a long one":            {func(a *receipt.Answer) { *a = long }, false},
		"stopped":               {func(a *receipt.Answer) { a.Finish = receipt.FinishCancelled }, true},
		"stopped at once":       {func(a *receipt.Answer) { a.Finish, a.Usage.Output = receipt.FinishCancelled, 0 }, false},
	} {
		a := told("abc", 1, 1)
		c.change(&a)
		if err := r.Fits(a); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	native := receipt.Request{Tokens: []uint32{1}}
	for _, a := range []receipt.Answer{{Message: "x"}, {Usage: &receipt.Usage{}}, {Finish: receipt.FinishCancelled}} {
		if native.Fits(a) == nil {
			t.Errorf("%+v passed for a request in tokens", a)
		}
	}
}

// What was cut off is what was passed on, and fits its request.
func TestCut(t *testing.T) {
	r := chatting(hello)
	a := r.Cut([]receipt.Token{{Text: "a \""}, {Text: "b"}})
	if err := r.Fits(a); err != nil {
		t.Error(err)
	}
	if content, _, err := receipt.ReadMessage(a.Message); err != nil || content != "a \"b" || a.Finish != receipt.FinishCancelled {
		t.Errorf("%+v, %v", a, err)
	}
	if bill := r.Bill(a); bill.Output != 2 || bill.Input == 0 || bill.Input > uint64(len(r.Chat))/4 {
		t.Errorf("billed for %+v", bill)
	}
	picture := chatting(`{"messages":[{"content":[{"image_url":{"url":"data:image/png;base64,` + strings.Repeat("A", 1<<12) + `"},"type":"image_url"}],"role":"user"}]}`)
	if bill := picture.Bill(picture.Cut([]receipt.Token{{Text: "a"}})); bill.Input > 20 {
		t.Errorf("a picture is billed as %d tokens", bill.Input)
	}
	tokens := receipt.Request{Tokens: []uint32{1}, Params: receipt.Params{MaxTokens: 9}}
	shown := receipt.Logprobs{NLL: 1}
	a = tokens.Cut([]receipt.Token{{ID: 7, Logprobs: &shown}, {ID: 8, Logprobs: &shown}})
	if err := tokens.Fits(a); err != nil || len(a.Tokens) != 2 || a.Tokens[1] != 8 || len(a.Logprobs) != 2 || a.Usage != nil {
		t.Errorf("%+v, %v", a, err)
	}
	if err := r.Fits(r.Cut(nil)); err == nil {
		t.Error("nothing came, and it passes")
	}
}

func FuzzReadMessage(f *testing.F) {
	f.Add(`{"content":"a"}`)
	f.Add(`{"content":"","tool_calls":[{"id":"1"}]}`)
	f.Add(`{"content":"","reasoning_content":"so","tool_calls":[{"id":"1"}]}`)
	f.Fuzz(func(t *testing.T, message string) {
		m, err := receipt.DecodeMessage(message)
		if err == nil && m.Encode() != message {
			t.Fatalf("%q was read as %+v", message, m)
		}
	})
}
