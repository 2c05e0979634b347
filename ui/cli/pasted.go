package cli

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"daulat/core/invite"
	"daulat/ui/control"
)

var (
	inviteStart = regexp.MustCompile(`^\s*daulat[1-9][0-9]{0,8}\.[A-Za-z0-9_-]{16}`)
	inviteMore  = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)
	inviteIn    = regexp.MustCompile(`daulat[1-9][0-9]{0,8}\.[A-Za-z0-9_-]{16,}(?:\s+[A-Za-z0-9_-]+)*`)
	quoting     = regexp.MustCompile(`(?m)^[ \t]*[>|][>| \t]*`) // of mail
)

// cutOut is the invite in a text that a mail program or a page put things around:
// quotes, brackets, the marks of quoted mail, characters without width. A text in
// which none is whole stays as it is, but for marks before the start of one.
func cutOut(text string) string {
	plain := quoting.ReplaceAllString(visible(text), "")
	at := inviteIn.FindStringIndex(plain)
	if at == nil {
		return text
	}
	joined := ""
	for _, piece := range strings.Fields(plain[at[0]:at[1]]) {
		if joined += piece; len(joined) > invite.MaxText {
			break
		}
		if isInvite(joined) {
			return joined
		}
	}
	if strings.ContainsFunc(plain[:at[0]], inWord) {
		return text
	}
	return strings.TrimRightFunc(plain[at[0]:], notInInvite)
}

func isInvite(text string) bool {
	_, err := invite.ParseLine(text)
	return err == nil
}

// visible leaves out characters that have no width.
func visible(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) {
			return -1
		}
		return r
	}, text)
}

func inWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

func notInInvite(r rune) bool {
	return r != '-' && r != '_' && (r > unicode.MaxASCII || !inWord(r))
}

// whole puts an invite together that a shell made several words of, as it was pasted
// with line breaks and without quotes. It comes before all else that reads the
// words: an invite is a secret, and they repeat what they don't understand.
func whole(args []string) ([]string, error) {
	for i, arg := range args {
		before, text := "", arg
		if name, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(name, "--") {
			before, text = name+"=", value
		}
		if text = cutOut(text); !inviteStart.MatchString(text) {
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
		return slices.Concat(args[:i], []string{before + text + joined(words[:n])}, words[n:]), nil
	}
	return args, nil
}

// pieces is how many of the words behind the start of an invite belong to it.
func pieces(start string, words []string) (int, error) {
	_, err := invite.ParseLine(start)
	for n := 0; ; n++ {
		if isInvite(start + joined(words[:n])) {
			return n, nil
		}
		if n == len(words) || !inviteMore.MatchString(joined(words[n:n+1])) {
			return 0, err
		}
	}
}

// joined are words without what was put around them.
func joined(words []string) string {
	var all strings.Builder
	for _, w := range words {
		all.WriteString(strings.TrimFunc(visible(w), notInInvite))
	}
	return all.String()
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
