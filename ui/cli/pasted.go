package cli

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"daulat/core/invite"
	"daulat/ui/control"
)

var (
	inviteStart = regexp.MustCompile(`^\s*daulat[1-9][0-9]{0,8}\.[A-Za-z0-9_-]{16}`)
	inviteMore  = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
)

// whole puts an invite together that a shell made several words of, as it was pasted
// with line breaks and without quotes. It comes before all else that reads the
// words: an invite is a secret, and they repeat what they don't understand.
func whole(args []string) ([]string, error) {
	for i, arg := range args {
		before, text := "", arg
		if name, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(name, "--") {
			before, text = name+"=", value
		}
		if !inviteStart.MatchString(text) {
			continue
		}
		words := args[i+1:]
		n, err := pieces(text, words)
		if errors.Is(err, invite.ErrAltered) {
			err = fmt.Errorf("%w, and put it in quotes", err)
		}
		if err != nil {
			return nil, control.WrongInput{Err: err}
		}
		return slices.Concat(args[:i], []string{before + text + strings.Join(words[:n], "")}, words[n:]), nil
	}
	return args, nil
}

// pieces is how many of the words behind the start of an invite belong to it.
func pieces(start string, words []string) (int, error) {
	_, err := invite.ParseLine(start)
	for n := 0; ; n++ {
		if _, err := invite.ParseLine(start + strings.Join(words[:n], "")); err == nil {
			return n, nil
		}
		if n == len(words) || !inviteMore.MatchString(words[n]) {
			return 0, err
		}
	}
}

var inviteText = regexp.MustCompile(`daulat[1-9][0-9]{0,8}\.[A-Za-z0-9_-]{16,}`)

// unsaid is an error's text without the invites that it repeats.
func unsaid(text string) string { return inviteText.ReplaceAllString(text, "INVITE") }

// checkInvite refuses what is no invite before anything is made for it.
func checkInvite(text string) error {
	if strings.TrimSpace(text) == "" {
		return usage("the INVITE is empty")
	}
	if _, err := invite.ParseLine(text); err != nil {
		return control.WrongInput{Err: err}
	}
	return nil
}
