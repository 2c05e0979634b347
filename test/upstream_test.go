package test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"daulat/compute/executor/inference/upstreamtest"
	"daulat/ui/control"
)

// upstreamKey is under which a script's servers of models are kept.
type upstreamKey struct{}

// upstream NAME start MODEL[=DIGEST]… runs an imitated server of models, with a
// digest as an Ollama, and sets NAME_url. upstream NAME stop, again, behave and
// overreport do what they say; upstream NAME pull MODEL… has it have others; upstream
// NAME cut WORDS breaks off its answers; upstream NAME say TEXT is all that it answers
// from then on; upstream NAME asked TEXT wants the server to have been asked with that
// text.
func upstream(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: upstream NAME start|stop|again|pull|behave|overreport|say|asked ...")
	}
	all := ts.Value(upstreamKey{}).(map[string]*upstreamtest.Server)
	name, do, args := args[0], args[1], args[2:]
	if do == "start" {
		s, err := upstreamtest.Start(upstreamModels(args)...)
		ts.Check(err)
		all[name] = s
		ts.Setenv(name+"_url", s.URL)
		return
	}
	s := all[name]
	if s == nil {
		ts.Fatalf("no server of models is called %s", name)
	}
	switch do {
	case "stop":
		s.Stop()
	case "again":
		ts.Check(s.Again())
	case "pull":
		s.Have(upstreamModels(args)...)
	case "overreport":
		s.Behave(upstreamtest.Conduct{Usage: func(int, int) (int, int) { return 1 << 30, 1 << 30 }})
	case "cut":
		words, err := strconv.Atoi(args[0])
		ts.Check(err)
		s.Behave(upstreamtest.Conduct{Cut: words})
	case "call":
		s.Behave(upstreamtest.Conduct{Call: args[0]})
	case "say":
		s.Behave(upstreamtest.Conduct{Raw: fmt.Sprintf("data: {\"choices\":[{\"delta\":{\"content\":%q},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n", args[0])})
	case "behave":
		s.Behave(upstreamtest.Conduct{})
	case "asked":
		for _, body := range s.Asked() {
			if text := string(mustJSON(ts, body)); strings.Contains(text, args[0]) {
				return
			}
		}
		ts.Fatalf("%s was not asked with %q", name, args[0])
	default:
		ts.Fatalf("a server of models can't %s", do)
	}
}

func upstreamModels(args []string) (models []upstreamtest.Model) {
	for _, m := range args {
		model, digest, _ := strings.Cut(m, "=")
		models = append(models, upstreamtest.Model{Name: model, Digest: digest})
	}
	return models
}

// offered [!] NAME waits until somebody, or nobody, offers a model of the name.
func offered(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: [!] offered NAME")
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		ts.Check(ts.Exec("daulat", "provider", "ls", "--json"))
		all, err := parse[[]control.Provider](ts.ReadFile("stdout"))
		ts.Check(err)
		if slices.ContainsFunc(all, func(o control.Provider) bool { return o.Model == args[0] }) != neg {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the offers of %s are not as wanted", args[0])
		}
	}
}

func mustJSON(ts *testscript.TestScript, v any) []byte {
	data, err := json.Marshal(v)
	ts.Check(err)
	return data
}
