package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// program has a guard, a test that guards it, and tests that do not.
var program = map[string]string{
	"go.mod": "module toy\n\ngo 1.26\n",
	"half/half.go": `package half

import "errors"

// Half halves even numbers.
func Half(n int) (int, error) {
	if n%2 != 0 {
		return 0, errors.New("odd")
	}
	return n / 2, nil
}
`,
	"half/half_test.go": `package half

import (
	"os"
	"testing"
)

func TestOdd(t *testing.T) {
	if _, err := Half(3); err == nil {
		t.Error("3 was halved")
	}
}

func TestEven(t *testing.T) {
	if n, err := Half(4); n != 2 || err != nil {
		t.Error(n, err)
	}
}

func TestSilent(t *testing.T) {
	if _, err := Half(3); err == nil {
		t.Fail()
	}
}

func TestSub(t *testing.T) {
	t.Run("odd", func(t *testing.T) {
		if _, err := Half(5); err == nil {
			t.Error("5 was halved")
		}
	})
}

func TestAlreadyBad(t *testing.T) {
	if os.Getenv("GUARDS_TOY") != "" {
		t.Error("bad from the start")
	}
}
`,
	"outer/outer_test.go": outer,
}

// outer is a folder of tests alone.
const outer = `package outer

import (
	"testing"

	"toy/half"
)

func TestOutside(t *testing.T) {
	if _, err := half.Half(3); err == nil {
		t.Error("3 was halved")
	}
}
`

const gone = "-	if n%2 != 0 {\n+	if false {\n"

// diff is a patch of half.go's guard.
func diff(changes string) string {
	return "--- a/half/half.go\n+++ b/half/half.go\n@@ -6,3 +6,3 @@\n func Half(n int) (int, error) {\n" + changes + " 		return 0, errors.New(\"odd\")\n"
}

func tree(t *testing.T, patch, rows string) string {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{"test/guards/ROWS": rows, "test/guards/p.patch": patch}
	for name, text := range program {
		files[name] = text
	}
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func guards(t *testing.T, patch, test string, timeout time.Duration, named bool) (string, error) {
	t.Helper()
	t.Setenv("GOFLAGS", "")
	var out strings.Builder
	pkg := "./half"
	if test == "TestOutside" {
		pkg = "./outer"
	}
	root := tree(t, patch, "# comment\n\nodd | odd numbers | p.patch | "+pkg+" | "+test+"\n")
	err := run(options{root: root, timeout: timeout, named: named}, &out)
	text, readErr := os.ReadFile(filepath.Join(root, "half/half.go"))
	if readErr != nil || string(text) != program["half/half.go"] {
		t.Error("the tree was changed")
	}
	return out.String(), err
}

func TestCaught(t *testing.T) {
	for _, test := range []string{"TestOdd", "TestSub", "TestSub/odd", "Test(Odd|Sub)", "TestOutside"} {
		for _, named := range []bool{false, true} {
			out, err := guards(t, diff(gone), test, time.Minute, named)
			if err != nil || !strings.HasSuffix(out, "\nRESULT guards rows=1 caught=1 missing=0\n") {
				t.Errorf("%s: %v\n%s", test, err, out)
			}
		}
	}
}

func TestMissing(t *testing.T) {
	edit := func(line string) string { return diff("-	if n%2 != 0 {\n+" + line + "\n") }
	for name, c := range map[string]struct{ patch, test, want string }{
		"a test that does not notice":  {diff(gone), "TestEven", "TestEven does not notice"},
		"one of two does not notice":   {diff(gone), "TestOdd|TestEven", "TestEven does not notice"},
		"no such test":                 {diff(gone), "TestNone", "no test is called"},
		"a test without an assertion":  {diff(gone), "TestSilent", "not by an assertion"},
		"a patch that does not build":  {edit("	if m {"), "TestOdd", "does not build"},
		"a patch that does not vet":    {edit("	if n = n; false {"), "TestOdd", "does not vet"},
		"a panic":                      {edit("	if n == 3 { panic(n) } else if false {"), "TestOdd", "broke off: panic: "},
		"a time-out":                   {edit("	for n == 3 { select {} }; if false {"), "TestOdd", "broke off: panic: test timed out"},
		"a patch that does not apply":  {strings.ReplaceAll(diff(gone), "n%2", "n%3"), "TestOdd", "no longer applies"},
		"a patch of a test":            {strings.ReplaceAll(diff(gone), "half.go", "half_test.go"), "TestOdd", "not a Go file of the program"},
		"a patch outside of the tree":  {strings.ReplaceAll(diff(gone), "half/", "../half/"), "TestOdd", "not a Go file of the program"},
		"a patch that changes nothing": {"--- a/half/half.go\n+++ b/half/half.go\n", "TestOdd", "changes nothing"},
		"a large patch":                {diff(gone + strings.Repeat("+	n++\n", 9)), "TestOdd", "changes 11 lines"},
		"a new file":                   {"--- /dev/null\n+++ b/half/more.go\n@@ -0,0 +1 @@\n+package half\n", "TestOdd", "not of the form"},
	} {
		t.Run(name, func(t *testing.T) {
			out, err := guards(t, c.patch, c.test, 5*time.Second, false)
			if err == nil || !strings.Contains(out, c.want) || !strings.Contains(out, "rows=1 caught=0 missing=1") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

func TestAlreadyFailing(t *testing.T) {
	t.Setenv("GUARDS_TOY", "1")
	out, err := guards(t, diff(gone), "TestAlreadyBad", time.Minute, false)
	if err == nil || !strings.Contains(out, "TestAlreadyBad does not pass without the patch") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, stream := range map[string]string{
		"nothing":        "",
		"no test":        `{"Action":"pass"}`,
		"an open test":   `{"Action":"run","Test":"TestA"}{"Action":"fail"}`,
		"an open stream": `{"Action":"run","Test":"TestA"}{"Action":"pass","Test":"TestA"}`,
		"no build":       `{"Action":"build-fail"}`,
	} {
		if res, err := read([]byte(stream)); err == nil {
			t.Errorf("%s: %v", name, res)
		}
	}
	before := results{"TestA": {ended: "pass"}, "TestB": {ended: "pass"}}
	after := results{"TestA": {ended: "fail", asserted: true}}
	if err := judge(regexp.MustCompile("^TestA$"), before, after); err == nil {
		t.Error("a test that no longer runs was not missed")
	}
}

func TestRows(t *testing.T) {
	for _, bad := range []string{"a | b | c | ./d", "a | b | c | d | E", "a | b | ../c | ./d | E", "a | b | c | ./d | (", "a | | c | ./d | E",
		"a | b | c | ./d | E\na | b | c | ./d | E"} {
		if rows, err := readRows(filepath.Join(tree(t, "", bad), "test/guards")); err == nil {
			t.Errorf("%q gives %+v", bad, rows)
		}
	}
}

// Every patch fits the tree as it is, whichever rows are drawn.
func TestPatchesApply(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	rows, err := readRows(filepath.Join(root, "test", "guards"))
	if err != nil || len(rows) == 0 {
		t.Fatalf("%d rows: %v", len(rows), err)
	}
	for _, r := range rows {
		if !(checker{root: root}).applies(r) {
			t.Errorf("the patch of %s no longer applies", r.name)
		}
	}
}

func TestDraw(t *testing.T) {
	var rows []row
	for _, name := range strings.Split("abcdefghijklmnopqrst", "") {
		rows = append(rows, row{name: name})
	}
	fit := func(row) bool { return true }
	names := func(seed string) (s string) {
		drawn, err := draw(rows, 5, seed, fit)
		if err != nil || len(drawn) != 5 {
			t.Fatal(drawn, err)
		}
		for i, r := range drawn {
			if s += r.name; i > 0 && r.name < drawn[i-1].name {
				t.Errorf("out of order: %s", s)
			}
		}
		return s
	}
	if names("00") != names("00") || names("00") == names("01") {
		t.Error("the seed does not decide")
	}
	if all, err := draw(rows, 99, "00", fit); err != nil || len(all) != len(rows) {
		t.Error(len(all), err)
	}
	stale := func(r row) bool { return r.name != "t" && r.name != "a" }
	if all, err := draw(rows, 1, "00", stale); err != nil || len(all) < 2 || all[0].name != "a" || all[len(all)-1].name != "t" {
		t.Error(len(all), err)
	}
	for _, bad := range []string{"", "xyz", "0"} {
		if _, err := draw(rows, 5, bad, fit); err == nil {
			t.Errorf("seed %q was taken", bad)
		}
	}
}
