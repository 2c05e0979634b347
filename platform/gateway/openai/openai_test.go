package openai

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"daulat/core/canon"
)

var update = flag.Bool("update", false, "write the golden files")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s\n got %s\nwant %s", path, got, want)
	}
}

func decodeNamed(name string, body []byte) (Request, *Error) {
	if strings.HasPrefix(name, "completion") {
		return DecodeCompletion(body)
	}
	return DecodeChat(body)
}

// decodeNative is decodeNamed for a model that runs here.
func decodeNative(name string, body []byte) (Request, *Error) {
	r, err := decodeNamed(name, body)
	if err == nil {
		err = r.Native
	}
	return r, err
}

func TestGoldenRequests(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.json")
	if err != nil || len(paths) < 9 {
		t.Fatalf("found %d request files: %v", len(paths), err)
	}
	for _, path := range paths {
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(path), ".json")
		var got []byte
		if r, refusal := decodeNative(name, body); refusal != nil {
			got = fmt.Appendf(nil, "%d %s", refusal.Status, refusal.Encode())
		} else if got, err = json.Marshal(r); err != nil {
			t.Fatal(err)
		}
		golden(t, name+".read", append(bytes.TrimSpace(got), '\n'))
	}
}

func TestGoldenReplies(t *testing.T) {
	d := Daulat{Receipt: "s1-7", Price: 1234, ModelID: "bafymodel", Label: "<test> model", Provider: "p1"}
	u := Usage{Input: 12, Output: 3}
	chat := Reply{Receipt: "s1-7", Model: "small", ModelID: "bafymodel", Created: 1700000000, Chat: true}
	text := chat
	text.Chat = false
	counted := chat
	counted.Usage = true
	stream := func(r Reply) []byte {
		return bytes.Join([][]byte{r.Begin(), r.Pieces().Append(nil, "a\n\"b\"\u2028"), r.Pieces().Append(nil, "é"), r.End("stop", u, d)}, nil)
	}
	golden(t, "chat.reply", chat.Whole("Hello <b>\n", nil, "stop", u, d))
	golden(t, "chat_stream.reply", stream(chat))
	golden(t, "chat_usage.reply", stream(counted))
	golden(t, "text.reply", text.Whole("Hello", nil, "length", u, d))
	golden(t, "text_stream.reply", stream(text))
	golden(t, "models.reply", Models([]Model{{"small", "bafymodel", "test"}, {"large", "bafylarge", ""}}))
	golden(t, "no_models.reply", Models(nil))
	golden(t, "error.reply", (&Error{404, "no such model", "invalid_request_error", "model", "model_not_found"}).Encode())
	golden(t, "error_event.reply", Bad("", "stopped").Event())
}

// with is a good chat request with one field more.
func with(field string) []byte {
	return []byte(`{"model":"m","messages":[{"role":"user","content":"x"}],` + field + `}`)
}

func saying(json string) []byte { return []byte(`{"model":"m","messages":[` + json + `]}`) }

func TestRefusals(t *testing.T) {
	deep := strings.Repeat("[", 40) + strings.Repeat("]", 40)
	for _, c := range []struct {
		body   []byte
		status int
		param  string
		text   string
	}{
		{nil, 400, "", "JSON"},
		{[]byte("null"), 400, "", "object"},
		{[]byte("[]"), 400, "", "object"},
		{[]byte(`{"model":"m"`), 400, "", "JSON"},
		{append(with(`"a":1`), '1'), 400, "", "follows"},
		{[]byte("{\"model\":\"m\xff\"}"), 400, "", "UTF-8"},
		{with(`"a":"` + strings.Repeat("x", MaxBody) + `"`), 413, "", "larger"},
		{with(`"a":` + deep), 400, "", "deeper"},
		{with(`"a":[` + strings.Repeat("0,", canon.MaxJSONValues) + `0]`), 400, "", "values"},
		{with(`"a":{"b":1,"\u0062":2}`), 400, "", "twice"},
		{[]byte(`{"messages":[{"role":"user","content":"x"}]}`), 400, "model", "required"},
		{[]byte(`{"model":"","messages":[{"role":"user","content":"x"}]}`), 400, "model", "bytes"},
		{[]byte(`{"model":7,"messages":[{"role":"user","content":"x"}]}`), 400, "model", "string"},
		{[]byte(`{"model":"` + strings.Repeat("m", 257) + `","messages":[]}`), 400, "model", "bytes"},
		{[]byte(`{"model":"m"}`), 400, "messages", "at least one"},
		{[]byte(`{"model":"m","messages":{}}`), 400, "messages", "list"},
		{saying(strings.Repeat(`{"role":"user","content":"x"},`, 1024) + `{"role":"user","content":"x"}`), 400, "messages", "1025"},
		{saying(`7`), 400, "messages[0]", "object"},
		{saying(`null`), 400, "messages[0]", "object"},
		{saying(`{"content":"x"}`), 400, "messages[0].role", "required"},
		{saying(`{"role":"robot","content":"x"}`), 400, "messages[0].role", "must be"},
		{saying(`{"role":"tool","content":"x"}`), 400, "messages[0].role", "tools"},
		{saying(`{"role":"assistant","tool_calls":[{}],"content":"x"}`), 400, "messages[0].tool_calls", "not served"},
		{saying(`{"role":"user"}`), 400, "messages[0].content", "required"},
		{saying(`{"role":"user","content":null}`), 400, "messages[0].content", "required"},
		{saying(`{"role":"user","content":{}}`), 400, "messages[0].content", "string"},
		{saying(`{"role":"user","content":[]}`), 400, "messages[0].content", "empty"},
		{saying(`{"role":"user","content":["x"]}`), 400, "messages[0].content[0]", "object"},
		{saying(`{"role":"user","content":[{"type":"input_audio"}]}`), 400, "messages[0].content[0].type", "only text"},
		{saying(`{"role":"user","content":[{"type":"text"}]}`), 400, "messages[0].content[0].text", "required"},
		{with(`"max_tokens":0`), 400, "max_tokens", "whole number"},
		{with(`"max_tokens":-1`), 400, "max_tokens", "whole number"},
		{with(`"max_tokens":1.5`), 400, "max_tokens", "whole number"},
		{with(`"max_tokens":2147483648`), 400, "max_tokens", "whole number"},
		{with(`"max_tokens":1,"max_completion_tokens":2`), 400, "max_completion_tokens", "differs"},
		{with(`"temperature":2.0000001`), 400, "temperature", "0 to 2"},
		{with(`"temperature":-0.1`), 400, "temperature", "0 to 2"},
		{with(`"temperature":1e999999999`), 400, "temperature", "0 to 2"},
		{with(`"temperature":1e-65`), 400, "temperature", "0 to 2"},
		{with(`"temperature":"1"`), 400, "temperature", "0 to 2"},
		{with(`"temperature":true`), 400, "temperature", "0 to 2"},
		{with(`"top_p":1.01`), 400, "top_p", "0 to 1"},
		{with(`"stop":["a","b","c","d","e"]`), 400, "stop", "more than 4"},
		{with(`"stop":""`), 400, "stop", "bytes"},
		{with(`"stop":[null]`), 400, "stop", "list of strings"},
		{with(`"stop":"` + strings.Repeat("x", 1025) + `"`), 400, "stop", "bytes"},
		{with(`"seed":1.5`), 400, "seed", "whole"},
		{with(`"seed":9223372036854775808`), 400, "seed", "whole"},
		{with(`"stream":"yes"`), 400, "stream", "true or false"},
		{with(`"stream_options":{"include_usage":true}`), 400, "stream_options", "stream"},
		{with(`"stream":true,"stream_options":{"include_usage":1}`), 400, "stream_options.include_usage", "true or false"},
		{with(`"n":2`), 400, "n", "send 1"},
		{with(`"logprobs":1`), 400, "logprobs", "true or false"},
		{with(`"top_logprobs":5`), 400, "top_logprobs", "needs logprobs"},
		{with(`"top_logprobs":5,"logprobs":false`), 400, "top_logprobs", "needs logprobs"},
		{with(`"top_logprobs":21,"logprobs":true`), 400, "top_logprobs", "0 to 20"},
		{with(`"top_logprobs":-1,"logprobs":true`), 400, "top_logprobs", "0 to 20"},
		{with(`"top_logprobs":2.5,"logprobs":true`), 400, "top_logprobs", "0 to 20"},
		{with(`"top_logprobs":18446744073709551616,"logprobs":true`), 400, "top_logprobs", "0 to 20"},
		{with(`"frequency_penalty":0.5`), 400, "frequency_penalty", "send 0"},
		{with(`"presence_penalty":-1e-9`), 400, "presence_penalty", "send 0"},
		{with(`"logit_bias":{"50256":-100}`), 400, "logit_bias", "not served"},
		{with(`"tool_choice":"required"`), 400, "tool_choice", "not served"},
		{with(`"response_format":{"type":"json_object"}`), 400, "response_format.type", "text"},
		{with(`"audio":{}`), 400, "audio", "not served"},
	} {
		r, err := decodeNative("chat", c.body)
		if err == nil {
			t.Errorf("%.90s was read as %+v", c.body, r)
			continue
		}
		if err.Status != c.status || err.Param != c.param || !strings.Contains(err.Message, c.text) || err.Type != "invalid_request_error" {
			t.Errorf("%.90s\n got %d %q %q", c.body, err.Status, err.Param, err.Message)
		}
	}
	for field, param := range map[string]string{`"prompt":["a","b"]`: "prompt", `"prompt":[]`: "prompt", `"n":1`: "prompt", `"prompt":"a","echo":true`: "echo", `"prompt":"a","best_of":2`: "best_of", `"prompt":"a","suffix":"z"`: "suffix", `"prompt":"a","logprobs":6`: "logprobs", `"prompt":"a","logprobs":true`: "logprobs"} {
		if _, err := DecodeCompletion([]byte(`{"model":"m",` + field + `}`)); err == nil || err.Param != param {
			t.Errorf("completion with %s: %v", field, err)
		}
	}
}

func TestLimitsAreReachable(t *testing.T) {
	depth := canon.MaxJSONDepth - 1 // the body is one itself
	for _, body := range [][]byte{
		with(`"a":` + strings.Repeat("[", depth) + strings.Repeat("]", depth)),
		saying(strings.Repeat(`{"role":"user","content":"x"},`, 1023) + `{"role":"user","content":"x"}`),
		with(`"stop":["a","b","c","d"]`),
		with(`"max_tokens":2147483647`),
		with(`"logprobs":true,"top_logprobs":20`),
		with(`"seed":-9223372036854775808`),
	} {
		if _, err := DecodeChat(body); err != nil {
			t.Errorf("%.90s: %v", body, err)
		}
	}
}

func TestDecimalsAreExact(t *testing.T) {
	for text, want := range map[string]uint64{
		"0": 0, "-0": 0, "0.0e5": 0, "1": 65536, "2.0": 131072, "20e-1": 131072, "0.7": 45875, "0.1": 6554,
		"0.00000762939453125":                         1, // half a unit rounds up
		"0.00000762939453124999999999999999999999":    0,
		"1.99999999999999999999999999999999999999999": 131072,
		"1e-64": 0,
	} {
		r, err := DecodeChat(with(`"temperature":` + text))
		if err != nil || r.Temperature != want {
			t.Errorf("temperature %s is %d, want %d: %v", text, r.Temperature, want, err)
		}
	}
	for text, want := range map[string]uint64{"0": 1, "1e-9": 1, "1": 1_000_000, "0.9": 900_000, "0.0000005": 1, "0.95": 950_000, "null": 1_000_000} {
		r, err := DecodeChat(with(`"top_p":` + text))
		if err != nil || r.TopP != want {
			t.Errorf("top_p %s is %d, want %d: %v", text, r.TopP, want, err)
		}
	}
}

func TestSeedsDiffer(t *testing.T) {
	seen := map[[32]byte]string{}
	for _, text := range []string{"0", "1", "-1", "256", "9223372036854775807"} {
		r, err := DecodeChat(with(`"seed":` + text))
		if err != nil || r.Seed == nil {
			t.Fatalf("seed %s: %v", text, err)
		}
		if other, taken := seen[*r.Seed]; taken {
			t.Errorf("seeds %s and %s are one", text, other)
		}
		seen[*r.Seed] = text
	}
	if r, err := DecodeChat(with(`"seed":null`)); err != nil || r.Seed != nil {
		t.Errorf("no seed became %v: %v", r.Seed, err)
	}
}

// FuzzDecode: whatever the bytes, a request that is accepted keeps the limits,
// and a refusal is a well-formed error.
func FuzzDecode(f *testing.F) {
	paths, _ := filepath.Glob("testdata/*.json")
	for _, path := range paths {
		body, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Add([]byte(` {"model" : "m" , "messages" : [ { "role" : "user" , "content" : [ { "type":"text","text":"x" } ] } ] } `))
	f.Add(with(`"temperature":1e64,"stop":[null],"seed":1e3`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, decode := range []func([]byte) (Request, *Error){DecodeChat, DecodeCompletion} {
			r, refusal := decode(body)
			if refusal != nil {
				if !json.Valid(refusal.Encode()) || refusal.Status/100 != 4 || refusal.Message == "" {
					t.Fatalf("refusal %+v", refusal)
				}
				continue
			}
			if r.Temperature > 2*TemperatureOne || r.TopP < 1 || r.TopP > TopPAll || len(r.Stop) > maxStop || len(r.Messages) > maxMessages || r.Model == "" || r.MaxTokens > 1<<31 || r.Logprobs > 21 {
				t.Fatalf("accepted %+v", r)
			}
			if v, err := canon.CheckJSON([]byte(r.Whole)); r.Chat && (err != nil || v.(map[string]any)["messages"] == nil) {
				t.Fatalf("%q is not canonical: %v", r.Whole, err)
			}
			if r.Chat != (r.Whole != "") || (r.Native == nil && r.Chat) != (len(r.Messages) > 0) || !utf8.ValidString(r.Text+r.Model) {
				t.Fatalf("accepted %+v", r)
			}
		}
	})
}

// FuzzPieces: the parts that are encoded once and the text between them are what
// encoding the whole event gives.
func FuzzPieces(f *testing.F) {
	f.Add("plain", "model", true)
	f.Add("a\n\"b\"\u2028<&>\x7f\x00\\", `m","content":""`, false)
	f.Add("\xff\xc3", `"text":""`, true)
	f.Fuzz(func(t *testing.T, text, model string, chat bool) {
		for _, usage := range []bool{false, true} {
			r := Reply{Receipt: "1-2", Model: model, ModelID: model, Created: 7, Chat: chat, Usage: usage}
			want := string(event(r.chunk(&delta{Content: &text}, text, nil)))
			if got := string(r.Pieces().Append([]byte("x"), text)); got != "x"+want {
				t.Fatalf("%s\nis not\nx%s", got, want)
			}
		}
	})
}
