package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// stream builds what go test -json prints from short lines: package, action,
// and perhaps a test.
func stream(lines ...string) string {
	var b strings.Builder
	for _, l := range lines {
		f := strings.Fields(l)
		b.WriteString(`{"Package":"` + f[0] + `","Action":"` + f[1] + `"`)
		if len(f) > 2 {
			b.WriteString(`,"Test":"` + f[2] + `"`)
		}
		if f[1] == "output" {
			b.WriteString(`,"Output":"` + strings.Join(f[3:], " ") + `\n"`)
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// good is a stream of three passed tests; the cases below spoil it.
var good = []string{
	"p start", "p run TestA", "p run TestA/one", "p pause TestA/one", "p cont TestA/one",
	"p pass TestA/one", "p pass TestA", "p pass",
	"q start", "q skip", // no test files
	"r start", "r run TestB", "r pass TestB", "r pass",
}

func TestJudge(t *testing.T) {
	spoil := func(from, to string) string {
		return strings.Replace(stream(good...), strings.TrimSpace(stream(from)), strings.TrimSpace(stream(to)), 1)
	}
	for name, c := range map[string]struct {
		in    string
		least int
		ok    bool
		want  string // part of the output
		last  string
	}{
		"all pass":        {stream(good...), 3, true, "ok    p  2 tests", "3 passed, 0 failed"},
		"no test files":   {stream(good...), 3, true, "none  q", "3 passed, 0 failed"},
		"fewer tests":     {stream(good...), 4, false, "3 tests passed, but the repository has at least 4", "3 passed, 1 failed"},
		"a skip":          {spoil("r pass TestB", "r skip TestB"), 1, false, "TestB was skipped", "2 passed, 1 failed"},
		"a skip below":    {spoil("p pass TestA/one", "p skip TestA/one"), 1, false, "TestA/one was skipped", "2 passed, 1 failed"},
		"two failures":    {stream("p run A", "p fail A", "p run B", "p fail B", "p fail"), 0, false, "FAIL  p", "0 passed, 2 failed"},
		"a failure":       {spoil("r pass TestB", "r fail TestB"), 1, false, "FAIL  r", "2 passed, 1 failed"},
		"package fails":   {spoil("r pass", "r fail"), 1, false, "FAIL  r", "3 passed, 1 failed"},
		"test never ends": {spoil("r pass TestB", "r pause TestB"), 1, false, "TestB did not end", "2 passed, 1 failed"},
		"cut off":         {stream(good[:len(good)-1]...), 1, false, "r did not end", "3 passed, 1 failed"},
		"empty":           {"", 1, false, "0 tests passed", "0 passed, 1 failed"},
		"not json":        {stream(good...) + "panic: out of memory\n", 1, false, "panic: out of memory", "3 passed, 1 failed"},
		"half a line":     {stream(good...) + `{"Action":"pa`, 1, false, "not an event", "3 passed, 1 failed"},
		"does not build": {stream(good...) + `{"ImportPath":"s","Action":"build-output","Output":"s.go:1: undefined: x\n"}
{"ImportPath":"s","Action":"build-fail"}
`, 1, false, "undefined: x", "3 passed, 1 failed"},
		"output of a failure": {stream("p run TestA", "p output TestA too small", "p fail TestA", "p fail"), 0, false,
			"too small", "0 passed, 1 failed"},
	} {
		t.Run(name, func(t *testing.T) {
			var out strings.Builder
			ok := judge(strings.NewReader(c.in), &out, c.least)
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			if ok != c.ok || !strings.Contains(out.String(), c.want) || lines[len(lines)-1] != c.last {
				t.Errorf("judged %v, want %v, with %q and last %q:\n%s", ok, c.ok, c.want, c.last, &out)
			}
		})
	}
}

// The output of tests that passed is not shown, as it would hide the rest.
func TestJudgeIsQuietAboutPassedTests(t *testing.T) {
	var out strings.Builder
	in := stream("p run TestA", "p output TestA chatter", "p pass TestA", "p pass")
	if !judge(strings.NewReader(in), &out, 1) || strings.Contains(out.String(), "chatter") {
		t.Errorf("printed:\n%s", &out)
	}
}

// After a long output stands in short what was complained of, with the lines before,
// once each; what follows a complaint and what went well is not said again.
func TestJudgeSaysInShortWhatFailed(t *testing.T) {
	in := []string{"p run TestA"}
	for i := range 40 {
		in = append(in, fmt.Sprintf("p output TestA > step-%d", i))
	}
	in = append(in, "p output TestA FAIL: script:7: too small", "p output TestA x_test.go:3: too late", "p output TestA later")
	var out strings.Builder
	judge(strings.NewReader(stream(append(in, "p fail TestA", "p run TestB", "p fail TestB", "p fail", "q run TestC", "q pass TestC", "q pass")...)), &out, 0)
	_, short, found := strings.Cut(out.String(), "ok    q")
	_, short, _ = strings.Cut(short, "\n")
	want := "FAIL  p TestA\n"
	for i := 40 - before; i < 40; i++ {
		want += fmt.Sprintf("> step-%d\n", i)
	}
	want += "FAIL: script:7: too small\nx_test.go:3: too late\n1 passed, 2 failed\n"
	if !found || short != want {
		t.Errorf("in short:\n%s\nwant:\n%s", short, want)
	}
}

func TestFloor(t *testing.T) {
	for text, want := range map[string]int{"12\n": 12, "1": 1, "": 0, "0\n": 0, "-3": 0, "many": 0} {
		file := filepath.Join(t.TempDir(), "COUNT")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := floor(file)
		if got != want && err == nil || (want == 0) != (err != nil) {
			t.Errorf("%q: %d, %v, want %d", text, got, err, want)
		}
	}
	if _, err := floor(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing file was accepted")
	}
}

func FuzzJudge(f *testing.F) {
	f.Add(stream(good...))
	f.Add(`{"Action":"fail","Test":"x"}`)
	f.Add("\n\n{}")
	f.Fuzz(func(t *testing.T, in string) {
		var out strings.Builder
		ok := judge(strings.NewReader(in), &out, 1)
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		var passed, failed int
		if _, err := fmt.Sscanf(lines[len(lines)-1], "%d passed, %d failed", &passed, &failed); err != nil {
			t.Fatalf("closes with %q", lines[len(lines)-1])
		}
		if ok && (passed < 1 || failed > 0) {
			t.Errorf("passed with\n%s", &out)
		}
	})
}
