package daulat_test

import (
	"errors"
	"flag"
	"fmt"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the trusted line count into ARCHITECTURE.md anew")

// trustedCount is where ARCHITECTURE.md states the number.
var trustedCount = regexp.MustCompile(`\*\*(\d+) lines\*\*`)

// TestTrustedLines keeps the number in ARCHITECTURE.md true: the lines of code
// that everything rests on, without tests, comments and empty lines.
func TestTrustedLines(t *testing.T) {
	const file = "ARCHITECTURE.md"
	n := 0
	for _, folder := range []string{"core", "referee"} {
		lines, err := codeLines(os.DirFS("."), folder)
		if err != nil {
			t.Fatal(err)
		}
		n += lines
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		text = trustedCount.ReplaceAll(text, fmt.Appendf(nil, "**%d lines**", n))
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	stated := trustedCount.FindAllSubmatch(text, -1)
	if len(stated) != 1 || string(stated[0][1]) != strconv.Itoa(n) {
		t.Errorf("core and referee have %d lines of code, which %s must state once as **%d lines**: go test -run TestTrustedLines . -update", n, file, n)
	}
}

// codeLines counts the lines below folder that hold code; the folder may be absent.
func codeLines(fsys fs.FS, folder string) (n int, err error) {
	err = fs.WalkDir(fsys, folder, func(name string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && name == folder:
			return nil
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "testdata":
			return fs.SkipDir
		case d.IsDir() || path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go"):
			return nil
		}
		src, err := fs.ReadFile(fsys, name)
		n += linesOf(src)
		return err
	})
	return n, err
}

func linesOf(src []byte) int {
	f := token.NewFileSet().AddFile("", -1, len(src))
	var s scanner.Scanner
	s.Init(f, src, nil, 0)
	held := map[int]bool{}
	for {
		pos, tok, text := s.Scan()
		switch {
		case tok == token.EOF:
			return len(held)
		case tok == token.SEMICOLON && text == "\n":
			continue // put in by the scanner
		}
		for i := range strings.Count(text, "\n") + 1 {
			held[f.Line(pos)+i] = true
		}
	}
}

func TestTrustedLinesAreCode(t *testing.T) {
	const src = "// Package a.\npackage a\n\n/* two\nlines */\nvar (\n\ta = 1 // one\n\tb = `x\n\ny`\n)\n"
	if n := linesOf([]byte(src)); n != 7 {
		t.Errorf("%d lines, not 7", n)
	}
}
