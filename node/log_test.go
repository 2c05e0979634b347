package node

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A log on somebody's machine has two files at the most, whatever is said.
func TestLogIsBounded(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	const most = 100
	f, err := openCappedFile(path, most)
	if err != nil {
		t.Fatal(err)
	}
	line := strings.Repeat("x", 29) + "\n"
	for range 50 {
		if n, err := f.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		data, err := os.ReadFile(filepath.Join(dir, file.Name()))
		if err != nil || len(data) == 0 || len(data) > most || len(data)%len(line) != 0 {
			t.Errorf("%s has %d bytes, %v", file.Name(), len(data), err)
		}
	}
	if f, err = openCappedFile(path, most); err != nil { // as the next start does
		t.Fatal(err)
	}
	if _, err := f.Write([]byte(strings.Repeat("y", 2*most))); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() != 2*most {
		t.Errorf("a line longer than a file may be: %v, %v", info, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

// What is said again and again is left out, and told of later; what differs is not.
func TestLogRepeatsNothingForLong(t *testing.T) {
	home, err := OpenHome(filepath.Join(t.TempDir(), "home"))
	if err != nil {
		t.Fatal(err)
	}
	log, end, err := openLog(home)
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("nobody answers")
	for i := range 5 * logEach {
		log.Warn("settling failed; will try again", "error", gone)
		log.With("part", "other").Info("session opened", "session", i)
	}
	if err := end(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(home.path("daulat.log"))
	if failed, opened := strings.Count(string(data), "settling failed"), strings.Count(string(data), "session opened"); err != nil || failed != logEach || opened != 5*logEach {
		t.Errorf("said %d and %d times, %v", failed, opened, err)
	}
	all := &sayings{of: map[string]saying{}}
	at := time.Now()
	for range logEach + 7 {
		all.count("again", at)
	}
	if missed, ok := all.count("again", at.Add(logPeriod)); missed != 7 || !ok {
		t.Errorf("a minute later: %d were left out, %v", missed, ok)
	}
	if missed, ok := all.count("again", at.Add(logPeriod)); missed != 0 || !ok {
		t.Errorf("and once more: %d were left out, %v", missed, ok)
	}
}
