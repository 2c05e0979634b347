package test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"daulat/core/job"
	"daulat/model/synthetic"
	"daulat/node"
	"daulat/ui/control"
)

// deep starts a network whose model has so long a context that an eightfold longest
// answer costs more than a default invite grants.
func deep(t *testing.T, dir string) *upward {
	t.Helper()
	data, err := synthetic.Llama(1, synthetic.Options{Context: 32_768})
	path := filepath.Join(dir, "deep.gguf")
	if err == nil {
		err = os.WriteFile(path, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return upwards(t, filepath.Join(dir, "founder"), "up", "--model", path, "--link", "127.0.0.1:0")
}

func upwards(t *testing.T, home string, args ...string) *upward {
	t.Helper()
	p := background[control.Ready](t, home, append(args, "--listen", "127.0.0.1:0")...)
	return &upward{Ready: p.ready, Process: p.Process, home: home}
}

func (u *upward) invite(t *testing.T, args ...string) string {
	t.Helper()
	return must[control.NewInvite](t, u.home, append([]string{"invite"}, args...)...).Line
}

// TestAGuestsPurse: what a default invite grants does for a model of a long context,
// and for who takes over when its provider is killed in mid-answer. What a purse does
// not do for is said in a sentence.
func TestAGuestsPurse(t *testing.T) {
	dir := t.TempDir()
	founder := deep(t, dir)
	seller := background[control.Providing](t, filepath.Join(dir, "seller"), "provide", founder.invite(t), "--output-price", "500")
	const question = `{"model":"deep","stream":true,"seed":7,"temperature":0,"max_tokens":3000,"messages":[{"role":"user","content":"the sea"}]}`

	t.Run("has money for the next provider", func(t *testing.T) {
		g := gateway{upwards(t, filepath.Join(dir, "guest"), "up", "--network", founder.invite(t))}
		broken := g.cutShort(t, question, seller.Kill)
		first := broken.header.Get("Daulat-Receipt")
		whole := g.post(t, "/chat/completions", strings.NewReader(question), nil)
		if broken.finish != "length" || broken.text != whole.text || broken.receipt == "" || broken.receipt == first {
			t.Errorf("%s began and %s ended an answer of %d bytes, %q; a whole one has %d", first, broken.receipt, len(broken.text), broken.err, len(whole.text))
		}
		jobs := must[[]control.Job](t, g.home, "job", "ls")
		if jobs[0].Provider != seller.ready.Account || jobs[0].Escrow > 1_000_000/job.PurseShare {
			t.Errorf("the first session is %+v", jobs[0])
		}
	})
	t.Run("is too small", func(t *testing.T) {
		g := gateway{upwards(t, filepath.Join(dir, "poor"), "up", "--network", founder.invite(t, "--grant", "20000"))}
		r := g.post(t, "/chat/completions", strings.NewReader(question), nil)
		if r.status != http.StatusTooManyRequests || r.code != "insufficient_quota" || r.header.Get("X-Should-Retry") != "false" {
			t.Errorf("status %d, code %q: %s", r.status, r.code, r.err)
		}
		asked := run(t.Context(), t, g.home, "ask", "--max-tokens", "3000", "hello")
		if asked.status != 1 || !strings.Contains(asked.stderr, "this home has 20000 udlt to spend, and this question may cost up to 30") || !strings.Contains(asked.stderr, "--max-tokens") {
			t.Errorf("status %d: %s", asked.status, asked.stderr)
		}
		must[map[string]any](t, g.home, "ask", "--max-tokens", "1000", "hello")
	})
}

// cutShort asks, and calls cut once the answer has begun.
func (g gateway) cutShort(t *testing.T, question string, cut func()) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, g.API+"/chat/completions", strings.NewReader(question))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+g.Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	begun := make([]byte, 2000)
	if _, err := io.ReadFull(resp.Body, begun); err != nil {
		t.Fatal(err)
	}
	cut()
	rest, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
	if err != nil {
		t.Fatal(err)
	}
	r := reply{status: resp.StatusCode, header: resp.Header, body: string(begun) + string(rest)}
	r.follow(t)
	return r
}

// TestAQuestionOutlastsTheCommandItCameThrough: a second question of a guest's home is
// put through the first one's process, which ends when both have their answers.
func TestAQuestionOutlastsTheCommandItCameThrough(t *testing.T) {
	dir := t.TempDir()
	founder, home := deep(t, dir), filepath.Join(dir, "guest")
	invite := founder.invite(t)
	ask := func(tokens string, more ...string) (left chan result) {
		left = make(chan result, 1)
		go func() {
			left <- run(t.Context(), t, home, append([]string{"ask", "--json", "--max-tokens", tokens, "the sea"}, more...)...)
		}()
		return left
	}
	first := ask("3000", "--network", invite)
	eventually(t, func() (bool, string) {
		_, err := node.Runtime{}.Attach(home)
		return err == nil, "the first question's process"
	})
	second := ask("6000")
	for tokens, left := range map[int]chan result{3000: first, 6000: second} {
		r := <-left
		got, err := parse[struct {
			Output int    `json:"output_tokens"`
			Finish string `json:"finish"`
		}](r.stdout)
		if err != nil || r.status != 0 || got.Output != tokens || got.Finish != "length" {
			t.Errorf("%d tokens: status %d, %+v: %s", tokens, r.status, got, r.stderr)
		}
		if joined := strings.Contains(r.stderr, "reaching the network"); joined != (tokens == 3000) {
			t.Errorf("%d tokens: a process of its own: %v", tokens, joined)
		}
	}
}
