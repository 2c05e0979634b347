package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"daulat/compute/executor/inference/upstreamtest"
	"daulat/core/canon"
	"daulat/core/receipt"
	"daulat/core/verify"
	"daulat/model/gguf"
	"daulat/model/synthetic"
	"daulat/node"
	"daulat/ui/control"
	"daulat/ui/web"
)

// TestScripts runs testdata/*.txtar. Besides testscript's own commands they
// have those of the map below.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		ContinueOnError:     true, // each line that fails is a fault of its own
		Setup: func(e *testscript.Env) error {
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("DAULAT_HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("PATH", bin())               // no Python: nothing can be downloaded
			e.Setenv("DAULAT_UPSTREAM_PROBE", "") // whatever else runs on this machine
			e.Values[upstreamKey{}] = map[string]*upstreamtest.Server{}
			e.Defer(func() {
				for _, s := range e.Values[upstreamKey{}].(map[string]*upstreamtest.Server) {
					s.Stop()
				}
			})
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "ready": ready, "field": field, "array": array, "provides": provides, "account": account, "gguf": writeGGUF, "cut": cut, "mangle": mangle, "alter": alter, "forge": forge, "chat": chat, "inforce": inForce, "earnedpage": earnedPage, "page": pageCall, "control": controlled, "nowhere": nowhere, "upstream": upstream, "offered": offered,
		},
	})
}

// exits STATUS COMMAND… runs a command and wants that exit status. Where it is
// not 0, the last words on stderr are one sentence that names the program, or
// with --json one document.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits STATUS COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("status %d, want %d", got, want)
	}
	if (got == 1 || got == 2) && slices.Contains(args, "--json") {
		lines := strings.Split(strings.TrimRight(ts.ReadFile("stderr"), "\n"), "\n")
		failed, err := parse[struct {
			Error  string
			Status int
		}](lines[len(lines)-1])
		if err != nil || failed.Error == "" || failed.Status != got {
			ts.Fatalf("the last line on stderr is no JSON document with status %d: %v", got, err)
		}
		return
	}
	if got == 1 || got == 2 {
		if complaints := strings.Count("\n"+ts.ReadFile("stderr"), "\ndaulat: "); complaints != 1 {
			ts.Fatalf("%d lines of stderr start with the program's name, want 1", complaints)
		}
	}
}

// ready HOME waits until the daulat of that home serves, and sets HOME_api,
// HOME_address, HOME_page, HOME_pagetoken, HOME_token, HOME_control, HOME_trust, HOME_model and HOME_ledger.
func ready(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: ready HOME")
	}
	var r control.Attached
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		var err error
		if r, err = (node.Runtime{}).Attach(ts.MkAbs(args[0])); err == nil {
			break
		}
		if time.Now().After(deadline) {
			ts.Fatalf("no daulat serves from %s: %v", args[0], err)
		}
	}
	name := filepath.Base(args[0])
	ts.Setenv(name+"_api", r.API)
	base, key, _ := strings.Cut(r.Page, "/#token=")
	ts.Setenv(name+"_address", strings.TrimPrefix(base, "http://"))
	ts.Setenv(name+"_page", r.Page)
	ts.Setenv(name+"_pagetoken", key)
	ts.Setenv(name+"_token", r.Token)
	ts.Setenv(name+"_control", r.Operations.(control.Client).Secret)
	ts.Setenv(name+"_trust", r.Trust)
	ts.Setenv(name+"_model", r.ModelID)
	ts.Setenv(name+"_ledger", r.Ledger)
}

// account NAME COMMAND… runs a command until it names an address on stderr, for
// which it waits, and puts the address into the environment.
func account(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: account NAME COMMAND...")
	}
	cmd := exec.Command(args[1], args[2:]...)
	cmd.Dir, cmd.Env = ts.MkAbs("."), environment(ts.Getenv("DAULAT_HOME"))
	stderr, err := cmd.StderrPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	address := ""
	for lines := bufio.NewScanner(stderr); address == "" && lines.Scan(); {
		address = regexp.MustCompile(`daulat1[a-z0-9]{38,}`).FindString(lines.Text())
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	if address == "" {
		ts.Fatalf("%s named no account", args[1])
	}
	ts.Setenv(args[0], address)
}

// provides MODEL PRICE waits until somebody offers the model's answers for PRICE
// udlt per 1,000 tokens.
func provides(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] provides MODEL PRICE")
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		ts.Check(ts.Exec("daulat", "provider", "ls", "--json"))
		offers, err := parse[[]control.Provider](ts.ReadFile("stdout"))
		ts.Check(err)
		offered := slices.ContainsFunc(offers, func(o control.Provider) bool { return o.ModelID == args[0] && fmt.Sprint(o.Price.Output) == args[1] })
		if offered != neg {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("somebody offers %s for %s udlt: %v", args[0], args[1], offered)
		}
	}
}

// chat STATUS API TOKEN asks a short question and wants that HTTP status.
func chat(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: chat STATUS API TOKEN")
	}
	posts(ts, args[0], args[1]+"/chat/completions", args[2], `{"model":"noise","max_tokens":4,"messages":[{"role":"user","content":"hello"}]}`)
}

// control STATUS API TOKEN OPERATION [BODY] wants that HTTP status of a control
// operation.
func controlled(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 && len(args) != 5 {
		ts.Fatalf("usage: control STATUS API TOKEN OPERATION [BODY]")
	}
	body := "{}"
	if len(args) == 5 {
		body = args[4]
	}
	posts(ts, args[0], strings.TrimSuffix(args[1], "/v1")+path.Join(control.Prefix, args[3]), args[2], body)
}

// nowhere TEXT DIR wants no file below a folder to hold the text.
func nowhere(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 || args[0] == "" {
		ts.Fatalf("usage: nowhere TEXT DIR")
	}
	ts.Check(filepath.WalkDir(ts.MkAbs(args[1]), func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if bytes.Contains(data, []byte(args[0])) {
			return fmt.Errorf("%s holds it", path)
		}
		return err
	}))
}

func posts(ts *testscript.TestScript, want, url, token, body string) {
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	ts.Check(err)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	said, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if strconv.Itoa(resp.StatusCode) != want {
		ts.Fatalf("status %d, want %s: %s", resp.StatusCode, want, said)
	}
}

// inforce KEY [HOME] waits until the ledger takes an identity key of the home.
func inForce(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: inforce KEY [HOME]")
	}
	home := "home"
	if len(args) == 2 {
		home = args[1]
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		ts.Check(ts.Exec("daulat", "--home", ts.MkAbs(home), "key", "ls", "--json"))
		keys, err := parse[[]control.Key](ts.ReadFile("stdout"))
		ts.Check(err)
		if slices.ContainsFunc(keys, func(k control.Key) bool { return k.Key == args[0] && k.State == control.KeyInForce }) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("key %s did not take over", args[0])
		}
	}
}

// page STATUS METHOD PATH ADDRESS [TOKEN [HOST]] wants that HTTP status where a page is
// served, and puts what comes into stdout.
func pageCall(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 4 || len(args) > 6 {
		ts.Fatalf("usage: page STATUS METHOD PATH ADDRESS [TOKEN [HOST]]")
	}
	_, err := ts.Stdout().Write(pageAnswer(ts, args))
	ts.Check(err)
}

func pageAnswer(ts *testscript.TestScript, args []string) []byte {
	req, err := http.NewRequest(args[1], "http://"+args[3]+args[2], strings.NewReader("{}"))
	ts.Check(err)
	if len(args) > 4 {
		req.Header.Set("Authorization", "Bearer "+args[4])
	}
	if len(args) > 5 {
		req.Host = args[5]
	}
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if strconv.Itoa(resp.StatusCode) != args[0] {
		ts.Fatalf("status %d, want %s: %s", resp.StatusCode, args[0], body)
	}
	return body
}

// earnedpage ADDRESS TOKEN wants the page of a daulat to show what it earned, by the day.
func earnedPage(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: earnedpage ADDRESS TOKEN")
	}
	body := pageAnswer(ts, append([]string{"200", "GET", "/daulat/v1/status"}, args...))
	s, err := parse[web.Status](string(body))
	ts.Check(err)
	var days uint64
	if s.Provider == nil {
		ts.Fatalf("the page shows no earnings: %s", body)
	}
	for _, d := range s.Provider.Days {
		days += d.Earned
	}
	if s.Provider.Earned == 0 || days != s.Provider.Earned {
		ts.Fatalf("the page shows %d udlt, and by the day %d: %s", s.Provider.Earned, days, body)
	}
}

// field PATH [VALUE] wants stdout to be one JSON document that has a field, such
// as wallet.address, with that value. With -set NAME it puts the value into the
// environment.
func field(ts *testscript.TestScript, neg bool, args []string) {
	set := ""
	if len(args) > 2 && args[0] == "-set" {
		set, args = args[1], args[2:]
	}
	if neg || len(args) < 1 || len(args) > 2 {
		ts.Fatalf("usage: field [-set NAME] PATH [VALUE]")
	}
	v := document(ts)
	for _, name := range strings.Split(args[0], ".") {
		switch parent := v.(type) {
		case map[string]any:
			v = parent[name]
		case []any:
			i, err := strconv.Atoi(name)
			if err != nil || i >= len(parent) {
				ts.Fatalf("no entry %s in a list of %d", name, len(parent))
			}
			v = parent[i]
		default:
			v = nil
		}
	}
	if v == nil {
		ts.Fatalf("stdout has no field %s", args[0])
	}
	text := fmt.Sprint(v)
	if len(args) == 2 && text != args[1] {
		ts.Fatalf("field %s is %q, want %q", args[0], text, args[1])
	}
	if set != "" {
		ts.Setenv(set, text)
	}
}

// array LENGTH wants stdout to be one JSON list of so many entries.
func array(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: array LENGTH")
	}
	list, ok := document(ts).([]any)
	if !ok || strconv.Itoa(len(list)) != args[0] {
		ts.Fatalf("stdout is not a list of %s", args[0])
	}
}

// document is stdout, which is one JSON document and nothing more.
func document(ts *testscript.TestScript) (v any) {
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		ts.Fatalf("stdout is not JSON: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		ts.Fatalf("stdout holds more than one JSON document")
	}
	return v
}

// gguf FILE SEED writes a generated model. Seed 1 is the noise model.
func writeGGUF(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: gguf FILE SEED")
	}
	seed, err := strconv.ParseUint(args[1], 10, 64)
	ts.Check(err)
	data, err := synthetic.Llama(seed, synthetic.Options{})
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), data, 0o600))
}

// alter HOME changes one tensor of the one model in a home, as its dishonest owner
// would: the file keeps the name of the true one.
func alter(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: alter HOME")
	}
	var path string
	var data []byte
	ts.Check(filepath.WalkDir(filepath.Join(ts.MkAbs(args[0]), "blobs"), func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		one, err := os.ReadFile(name)
		if bytes.HasPrefix(one, []byte("GGUF")) {
			path, data = name, one
		}
		return err
	}))
	f, err := gguf.Parse(data)
	ts.Check(err)
	tensor, ok := f.Tensor("blk.0.ffn_down.weight")
	if !ok {
		ts.Fatalf("the model has no such tensor")
	}
	whole := tensor.Bytes() // a window into data
	half := tensor.Rows() / 2 * (len(whole) / tensor.Rows())
	copy(whole, slices.Concat(whole[half:], whole[:half]))
	ts.Check(os.Remove(path)) // another home may share it by a link
	ts.Check(os.WriteFile(path, data, 0o600))
}

// cut FROM TO LENGTH copies the first bytes of a file; a length in % is a share.
func cut(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: cut FROM TO LENGTH")
	}
	data := []byte(ts.ReadFile(args[0]))
	text, share := strings.CutSuffix(args[2], "%")
	n, err := strconv.Atoi(text)
	ts.Check(err)
	if share {
		n = len(data) * n / 100
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data[:n], 0o600))
}

// mangle NAME TEXT HOW puts a text into the environment as a mail program might
// pass it on: with line breaks in it, or short of its end.
func mangle(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: mangle NAME TEXT quoted|short")
	}
	text := args[1]
	switch args[2] {
	case "quoted":
		var lines []string
		for part := range slices.Chunk([]byte(text), 76) {
			lines = append(lines, string(part))
		}
		text = "\u201cHere it is:\r\n> " + strings.Join(lines, "\u200b\r\n> ") + "\u201d\n"
	case "short":
		text = text[:len(text)-7]
	default:
		ts.Fatalf("no way to mangle is called %s", args[2])
	}
	ts.Setenv(args[0], text)
}

// forge FROM TO WHAT copies a receipt bundle with one lie in it.
func forge(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: forge FROM TO WHAT")
	}
	lie, ok := lies[args[2]]
	if !ok {
		ts.Fatalf("unknown lie %q", args[2])
	}
	data, err := forged([]byte(ts.ReadFile(args[0])), lie)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), data, 0o600))
}

// lies are what somebody might change in a bundle before passing it on. Each
// leaves a well-formed bundle.
var lies = map[string]func(*verify.Bundle){
	"token":    func(b *verify.Bundle) { b.Transcript.Answer.Tokens[0] ^= 1 },
	"shorter":  func(b *verify.Bundle) { a := &b.Transcript.Answer; a.Tokens = a.Tokens[:len(a.Tokens)-1] },
	"finish":   func(b *verify.Bundle) { b.Transcript.Answer.Finish = "stop" },
	"question": func(b *verify.Bundle) { b.Transcript.Request.Tokens[0] ^= 1 },
	"seed":     func(b *verify.Bundle) { b.Transcript.Request.Seed[0] ^= 1 },
	"salt":     func(b *verify.Bundle) { b.Transcript.Ask.Salt[0] ^= 1 },
	"number":   func(b *verify.Bundle) { b.Transcript.Ask.Seq++ },
	"place":    func(b *verify.Bundle) { b.Transcript.Index++ },
	"asker":    func(b *verify.Bundle) { b.Transcript.Signature[0] ^= 1 },
	"path":     func(b *verify.Bundle) { b.Path = append(b.Path, canon.Hash{}) },
	"model":    func(b *verify.Bundle) { b.Manifest = bytes.Replace(b.Manifest, []byte("noise"), []byte("Noise"), 1) },
	"ledger":   func(b *verify.Bundle) { b.Ledger[len(b.Ledger)/2] ^= 1 },
	"message": func(b *verify.Bundle) {
		a := &b.Transcript.Answer
		a.Message = receipt.NewMessage("I never said this.", nil)
	},
	"usage": func(b *verify.Bundle) {
		u := receipt.Usage{Output: 2} // of an answer whose tokens are counted, it is a lie by itself
		if told := b.Transcript.Answer.Usage; told != nil {
			u = *told
		}
		u.Output--
		b.Transcript.Answer.Usage = &u
	},
	"version": func(b *verify.Bundle) { b.Version++ },
}

func forged(data []byte, lie func(*verify.Bundle)) ([]byte, error) {
	b, err := verify.DecodeBundle(data)
	if err != nil {
		return nil, err
	}
	lie(&b)
	changed, err := canon.Marshal(b)
	if err == nil && bytes.Equal(changed, data) {
		err = errors.New("the lie changed nothing")
	}
	return changed, err
}
