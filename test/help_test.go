package test

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestHelp walks all commands from the root's help on: each explains itself
// with an example of its own, at no cost and without a home.
func TestHelp(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	leaves := help(t, home, nil)
	for _, want := range []string{"up", "provide", "node", "testnet", "validator", "validator ls", "validator unjail", "validator leave", "upgrade propose", "upgrade vote", "upgrade status", "ask", "verify", "receipt export", "model pull", "model import", "model ls",
		"job ls", "job show", "provider ls", "wallet", "wallet send", "token new", "token ls", "token revoke", "key ls", "key rotate", "key revoke", "status", "version"} {
		if !leaves[want] {
			t.Errorf("daulat --help does not lead to %q", want)
		}
	}
	if found, err := filepath.Glob(home); err != nil || len(found) != 0 {
		t.Errorf("help made a home: %v, %v", found, err)
	}
}

var subcommand = regexp.MustCompile(`(?m)^  ([a-z]+) +\S`)

// help checks one command and those below it, and returns all that can be run.
func help(t *testing.T, home string, command []string) map[string]bool {
	name := strings.Join(append([]string{"daulat"}, command...), " ")
	r := run(t.Context(), t, home, append(command, "--help")...)
	if r.status != 0 || r.stderr != "" {
		t.Errorf("%s --help ended with status %d and said %q", name, r.status, r.stderr)
	}
	for _, part := range []string{"Usage:\n  " + name, "Flags:\n", "--home", "--json"} {
		if !strings.Contains(r.stdout, part) {
			t.Errorf("%s --help does not show %q", name, part)
		}
	}
	for row := range strings.Lines(r.stdout) {
		if len([]rune(row)) > 101 && !strings.Contains(row, home) { // with the newline
			t.Errorf("%s --help has a row wider than 100 columns: %s", name, row)
		}
	}
	all := map[string]bool{}
	_, list, group := strings.Cut(r.stdout, "\nAvailable Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	for _, m := range subcommand.FindAllStringSubmatch(list, -1) {
		if m[1] == "help" {
			continue
		}
		for leaf := range help(t, home, append(command[:len(command):len(command)], m[1])) {
			all[leaf] = true
		}
	}
	if runs := strings.Contains(r.stdout, "Usage:\n  "+name+" [flags]") || !group; runs {
		all[strings.Join(command, " ")] = true
		example := regexp.MustCompile(`\nExamples:\n(?:  .*\n)*?  .*` + regexp.QuoteMeta(name))
		if !example.MatchString(r.stdout) {
			t.Errorf("%s --help has no example of %s", name, name)
		}
	}
	return all
}
