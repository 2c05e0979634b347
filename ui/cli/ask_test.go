package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"daulat/ui/control"
)

// event is a piece of an answer as the gateway streams it.
func event(text string) string {
	data, _ := json.Marshal(text) // a string always has a form
	return fmt.Sprintf(`data: {"model":"noise","choices":[{"delta":{"content":%s}}]}`+"\n\n", data)
}

const last = `data: {"model":"noise","daulat":{"receipt":"1-1","price_udlt":"7","model_id":"bafy"}}` + "\n\ndata: [DONE]\n\n"

// However an answer ends, exactly one blank line follows it.
func TestOneBlankLineFollowsAnAnswer(t *testing.T) {
	for _, end := range []string{"", "\n", "\n\n\n", "\r\n"} {
		var out bytes.Buffer
		a := &app{out: &out}
		got, err := a.follow(strings.NewReader(event("one\n\ntwo")+event(end)+event("")+last), func() {}, false)
		if err != nil {
			t.Fatal(err)
		}
		sayAnswer(&out, got)
		if !strings.HasPrefix(out.String(), "one\n\ntwo\n\n0 tokens for 7 udlt") {
			t.Errorf("an answer that ends in %q looks like %q", end, out.String())
		}
		if got.Text != "one\n\ntwo"+end || got.Model != "noise" || got.ModelID != "bafy" {
			t.Errorf("the document got %+v", got)
		}
	}
}

// A choice that names nobody is the asker's mistake, as it is for "daulat up"; what else
// fails is not.
func TestChoiceOfNobodyIsAWrongInput(t *testing.T) {
	for param, wrong := range map[string]bool{"daulat": true, "messages": false, "": false} {
		refused := `data: {"error":{"message":"no","param":"` + param + `"}}` + "\n\n"
		_, err := (&app{out: io.Discard}).follow(strings.NewReader(refused), func() {}, false)
		if err == nil || err.Error() != "no" || errors.As(err, new(control.WrongInput)) != wrong {
			t.Errorf("an error about %q: %v", param, err)
		}
	}
}

// What a model thinks is shown to those who want it, apart from the answer.
func TestThoughtsAreShownToWhoWantsThem(t *testing.T) {
	events := `data: {"choices":[{"delta":{"reasoning_content":"Let me "}}]}` + "\n\n" + `data: {"choices":[{"delta":{"reasoning_content":"see."}}]}` + "\n\n" + event("Yes") + event(".") + last
	for thinking, want := range map[bool]string{false: "Yes.", true: "Let me see.\n\nYes."} {
		var out bytes.Buffer
		got, err := (&app{out: &out}).follow(strings.NewReader(events), func() {}, thinking)
		if err != nil || out.String() != want || got.Text != "Yes." || (got.Thought != "") != thinking {
			t.Errorf("it shows %q of %+v, %v", out.String(), got, err)
		}
	}
}

// told is a writer that says when it was written to.
type told struct{ lines chan string }

func (w told) Write(p []byte) (int, error) {
	w.lines <- string(p)
	return len(p), nil
}

// TestStandingLedgerIsSpokenOf: once, and not while there are new blocks; a long
// stand ends the wait.
func TestStandingLedgerIsSpokenOf(t *testing.T) {
	said := told{make(chan string, 1)}
	heights := make(chan int64)
	ctx, stop := context.WithCancelCause(t.Context())
	end := (&app{err: said}).waiting(ctx, stop, time.Millisecond, func(ctx context.Context) (int64, error) {
		select {
		case h := <-heights:
			return h, nil
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	})
	<-said.lines // that it waits
	for _, h := range []int64{7, 8, 9} {
		heights <- h
	}
	if len(said.lines) > 0 {
		t.Errorf("with new blocks it says %q", <-said.lines)
	}
	heights <- 9
	if line := <-said.lines; !strings.Contains(line, "makes no blocks") {
		t.Errorf("it says %q", line)
	}
	for ctx.Err() == nil {
		select {
		case heights <- 9:
		case <-ctx.Done():
		}
	}
	if why := context.Cause(ctx); why != control.ErrStanding || len(said.lines) > 0 {
		t.Errorf("the wait ended by %v, with %d more lines", why, len(said.lines))
	}
	end()
}

// An answer that does not begin is spoken of; this one begins only then.
func TestSlowAnswersAreSpokenOf(t *testing.T) {
	said := told{make(chan string, 1)}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case line := <-said.lines:
			if !strings.Contains(line, "waiting for the first token") {
				t.Errorf("it says %q", line)
			}
		case <-time.After(20 * time.Second):
			t.Error("nothing is said")
		}
		fmt.Fprint(w, event("hello"), last)
	}))
	defer server.Close()
	var out bytes.Buffer
	a := &app{out: &out, err: said}
	at := control.Attached{Ready: control.Ready{API: server.URL}}
	if got, err := a.chat(context.Background(), at, struct{}{}, false); err != nil || got.Text != "hello" || out.String() != "hello" {
		t.Errorf("%+v, %v, %q", got, err, out.String())
	}
}

func TestOldBlocksAreSaid(t *testing.T) {
	if said := old(oldBlock - time.Second); said != "" {
		t.Errorf("of a young one: %q", said)
	}
	if said := old(-4 * time.Minute); !strings.Contains(said, "4m0s ahead of this machine's clock") {
		t.Errorf("a block of the future: %q", said)
	}
	if said := old(4 * time.Minute); !strings.Contains(said, "4m0s old: it makes no blocks") {
		t.Errorf("of an old one: %q", said)
	}
}

// TestABrokenAnswerEndsItsLine: and an error that only the log explains names it.
func TestABrokenAnswerEndsItsLine(t *testing.T) {
	const failed = `data: {"error":{"message":"the log says why","code":"answer_failed"}}` + "\n\n"
	for text, want := range map[string]string{"": "", event("history, "): "history, \n"} {
		var out strings.Builder
		_, err := (&app{out: &out, home: "/h"}).follow(strings.NewReader(text+failed), func() {}, false)
		if out.String() != want || err == nil || err.Error() != "the answer failed; /h/daulat.log says why" {
			t.Errorf("%q, %v", out.String(), err)
		}
	}
}

// guest is a home of a network in which nothing runs; it notes which model a visit is
// to get.
type guest struct {
	nobody
	model *string
}

func (guest) Guest(string) bool { return true }

func (g guest) Visit(_ context.Context, o control.UpOptions, _ control.Progress, _ func(context.Context, control.Attached) error) error {
	*g.model = o.Model
	return control.ErrNotRunning
}

// TestAVisitGetsTheModelThatIsAsked: and not the commonest one besides.
func TestAVisitGetsTheModelThatIsAsked(t *testing.T) {
	for _, args := range [][]string{{"ask", "hi", "--model", "mine"}, {"ask", "hi", "--model", "mine", "--network", someInvite()}} {
		var out bytes.Buffer
		var got string
		if status := Run(t.Context(), args, &out, &out, guest{model: &got}); status != 1 || got != "mine" {
			t.Errorf("%q: status %d, a visit to get %q", args, status, got)
		}
	}
}
