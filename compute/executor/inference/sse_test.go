package inference

import (
	"errors"
	"strings"
	"testing"

	"daulat/core/canon"
	"daulat/core/receipt"
)

func TestReadEvents(t *testing.T) {
	for stream, want := range map[string]string{
		"data: a\n\ndata: b\n\n":                    "a|b|",
		"data:a\r\n\r\ndata:  b\r\n\r\n":            "a| b|",
		": comment\nevent: x\nid: 1\ndata: a\n\n":   "a|",
		"data: a\ndata: b\n\n\n\ndata\n\ndata:\n\n": "a\nb||",
		"data: a\n\ndata: torn":                     "a|",
		"":                                          "",
	} {
		var got strings.Builder
		err := readEvents(strings.NewReader(stream), func(data []byte) (bool, error) {
			got.Write(append(data, '|'))
			return false, nil
		})
		if got.String() != want || !errors.Is(err, errStreamEnd) {
			t.Errorf("%q was read as %q, %v", stream, got.String(), err)
		}
	}
	count := 0
	err := readEvents(strings.NewReader("data: a\n\ndata: b\n\ndata: c\n\n"), func(data []byte) (bool, error) {
		count++
		return string(data) == "b", nil
	})
	if err != nil || count != 2 {
		t.Errorf("%d events, %v", count, err)
	}
}

// FuzzEvents: whatever a server sends, what comes of it is an answer that fits
// its request or an error, and no more pieces than tokens were asked for.
func FuzzEvents(f *testing.F) {
	f.Add("data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\ndata: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n", uint64(4))
	f.Add("data: {\"choices\":[{\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"1\",\"function\":{\"name\":\"f\",\"arguments\":\"{}\"}}]}}]}\n\ndata: [DONE]\n\n", uint64(1))
	f.Add("data: {\"choices\":[{\"delta\":{\"reasoning\":\"a\",\"reasoning_content\":\"b\"}}]}\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\",\"reasoning\":{}}}]}\n\ndata: [DONE]\n\n", uint64(0))
	f.Add("data: {\"error\":{}}\n\n", uint64(1))
	f.Add("data: {\"usage\":{\"prompt_tokens\":-1}}\n\ndata: [DONE]\n\n", uint64(2))
	f.Fuzz(func(t *testing.T, stream string, most uint64) {
		r := receipt.Request{Version: canon.Version, Model: canon.NewCID(canon.Raw, canon.Hash{1}), Chat: `{"messages":[{}]}`, Params: receipt.Params{MaxTokens: 1 + most%64}}
		pieces := uint64(0)
		told := telling{request: r, emit: func(receipt.Token) error { pieces++; return nil }}
		if readEvents(strings.NewReader(stream), told.event) != nil {
			return
		}
		a, err := told.end()
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Fits(a); err != nil || pieces > r.Params.MaxTokens {
			t.Fatalf("%d pieces of at most %d: %v", pieces, r.Params.MaxTokens, err)
		}
	})
}
