package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"daulat/test/child"
)

// story is what three people type. LINE is the newest invite; a command that stays
// has said until once the next one may be typed.
var story = []struct{ who, typed, until string }{
	{"friend", "daulat up --noise --link " + relayLink + " --challenge-window 20", "Daulat is up."},
	{"friend", "daulat invite", ""},
	{"laptop", "daulat provide LINE --input-price 100 --output-price 500", "serving noise"},
	{"friend", "daulat invite", ""},
	{"desk", "daulat ask --network LINE --max-tokens 24 'What is the capital of Indonesia?'", ""},
	{"desk", "daulat job ls", ""},
}

var (
	lineOfInvite = regexp.MustCompile(`\bdaulat1[.…]\S*`)
	typedLine    = regexp.MustCompile(`^[a-z]+\$ `)
	releasedLine = regexp.MustCompile(`(?m)^.*earned .* [1-9]\d* released.*$`)
)

// checkReadme types the story on three machines, shows what came of it if it is told
// to, and holds the README to it.
func checkReadme(ctx context.Context, t *trial) (figures string, err error) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		return "", err
	}
	v, err := t.village(preserving)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, v.close()) }()
	told, err := v.tell(ctx)
	if err != nil {
		return "", err
	}
	if t.transcript {
		fmt.Println(told)
	}
	return "readme=ok", shows(string(readme), told)
}

// tell types the story, and returns what a screen would show, except that what a
// command says later comes at the end.
func (v *village) tell(ctx context.Context) (told string, err error) {
	v.trial.say("a friend, a laptop and a desk type what the README says")
	people := map[string]*person{"friend": v.founder, "laptop": v.seller, "desk": v.asker}
	stay := map[string]*child.Process{}
	line := ""
	for _, s := range story {
		typed := strings.ReplaceAll(s.typed, "LINE", line)
		p, err := people[s.who].types(ctx, typed)
		if err != nil {
			return "", err
		}
		said, err := heard(ctx, p, s.until)
		if err != nil {
			return "", err
		}
		if s.until != "" {
			v.running, stay[s.who] = append(v.running, p), p
		}
		if made := lineOfInvite.FindString(said); made != "" {
			line = made
		}
		told += s.who + "$ " + typed + "\n" + said
	}
	err = eventually(ctx, "pay for the laptop", startLimit, func() (bool, error) {
		return releasedLine.MatchString(stay["laptop"].Said()), nil
	})
	return told + "laptop: " + releasedLine.FindString(stay["laptop"].Said()), err
}

// types starts a command as a shell of the person does. All that it prints is what
// the process said.
func (p *person) types(ctx context.Context, typed string) (*child.Process, error) {
	script := `exec "$0"` + strings.TrimPrefix(typed, "daulat") + ` >&2`
	cmd := p.host.command(context.WithoutCancel(ctx), "sh", "-c", script, p.trial.daulat)
	cmd.Env = append(p.trial.environment(), "DAULAT_HOME="+p.home)
	r, err := child.Launch(cmd)
	if err == nil {
		p.trial.running = append(p.trial.running, r)
	}
	return r, err
}

// heard returns what a process says to its end, or until it said something.
func heard(ctx context.Context, p *child.Process, until string) (string, error) {
	for late := time.After(startLimit); until == "" || !strings.Contains(p.Said(), until); {
		select {
		case <-p.Ended():
			if p.Status() != 0 || until != "" {
				return "", fmt.Errorf("%s ended with status %d: %s", p, p.Status(), p.Said())
			}
			return p.Said(), nil
		case <-late:
			return "", fmt.Errorf("%s did not come to its end or to %q: %s", p, until, p.Said())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return p.Said(), nil
}

// shows wants the README to have the commands that were typed, in their order, and
// between them nothing but beginnings of lines that were told. Numbers and IDs may be
// others, and a line in parentheses stands for what is left out.
func shows(readme, told string) error {
	var want, got, lines []string
	for line := range strings.Lines(told) {
		lines = append(lines, masked(line))
		if typedLine.MatchString(line) {
			want = append(want, masked(line))
		}
	}
	_, block, _ := strings.Cut(readme, "\n    "+story[0].who+"$ ")
	block, _, _ = strings.Cut("    "+story[0].who+"$ "+block, "\n\n")
	for line := range strings.Lines(block) {
		shown := masked(line)
		if typedLine.MatchString(shown) {
			got = append(got, shown)
		} else if !strings.HasPrefix(shown, "(") && !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, shown) }) {
			return fmt.Errorf("nobody was told what the README shows: %s", line)
		}
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("the README has people type %q, and they typed %q", got, want)
	}
	return nil
}

var numbered = regexp.MustCompile(`\S*[0-9…]\S*`)

// masked is a line without what differs from run to run: in a command the invite, in
// what is told every word with a number.
func masked(line string) string {
	line = strings.TrimSpace(line)
	if typedLine.MatchString(line) {
		return lineOfInvite.ReplaceAllString(line, "LINE")
	}
	return strings.Join(strings.Fields(numbered.ReplaceAllString(line, "#")), " ")
}
