package invite_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"

	"daulat/core/canon"
	"daulat/core/invite"
)

const peerID = "12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN"

var seed = []byte("0123456789abcdefghijklmnopqrstuv")

func line() invite.Line {
	return invite.Line{Version: invite.LineVersion, Chain: "daulat-1", Genesis: canon.Hash{1}, Height: 42, Header: canon.Hash{2},
		Peers: []string{"/ip4/192.0.2.7/tcp/4001/p2p/" + peerID, "/dns4/a.example/udp/4001/quic-v1/p2p/" + peerID},
		Seed:  seed, Grant: 1_000_000, Expires: 1_800_000_000}
}

// encode makes the text of any body, with a good checksum.
func encode(body []byte) string {
	sum := canon.Sum(body)
	return "daulat1." + base64.RawURLEncoding.EncodeToString(append(bytes.Clone(body), sum[:4]...))
}

func TestLineRoundTrip(t *testing.T) {
	l := line()
	text := l.Encode()
	if !strings.HasPrefix(text, "daulat1.") || strings.ContainsAny(text, " \n=+/") {
		t.Fatalf("text %s", text)
	}
	got, err := invite.ParseLine(text)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, l) {
		t.Fatal("another line came back")
	}
	k, err := got.Key()
	if want, _ := canon.KeyFromSeed(seed); err != nil || k.Public() != want.Public() {
		t.Fatalf("another key came back: %v", err)
	}
	most := l
	most.Peers = nil
	for range invite.MaxPeers {
		tail := "/p2p/" + peerID
		most.Peers = append(most.Peers, "/dns/"+strings.Repeat("a", invite.MaxPeerSize-len(tail)-5)+tail)
	}
	text = most.Encode()
	if _, err := invite.ParseLine(text); err != nil {
		t.Fatalf("the longest line, of %d bytes: %v", len(text), err)
	}
}

// Mail and terminals break long lines; people copy what stands around them.
func TestPastedWithLineBreaks(t *testing.T) {
	text := line().Encode()
	var broken strings.Builder
	for i, r := range text {
		if i%40 == 7 {
			broken.WriteString("\r\n\t \u00a0\u2028")
		}
		broken.WriteRune(r)
	}
	for name, pasted := range map[string]string{
		"breaks": broken.String(), "blank lines around it": "\n\n  " + text + " \n", "break in the start": "dau\nlat1\n." + text[8:],
	} {
		if got, err := invite.ParseLine(pasted); err != nil || !reflect.DeepEqual(got, line()) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestLineSaysWhatIsWrong(t *testing.T) {
	text := line().Encode()
	body := canon.MustMarshal(line())
	spoiled := bytes.Clone(body)
	spoiled[0]++ // one field more than there is
	for name, c := range map[string]struct {
		text string
		want error
	}{
		"nothing":            {"", invite.ErrNoInvite},
		"words":              {"hello there", invite.ErrNoInvite},
		"a trust line":       {"daulat-1@00:1:00", invite.ErrNoInvite},
		"quoted":             {"> " + text, invite.ErrNoInvite},
		"version 0":          {"daulat0." + text[8:], invite.ErrNoInvite},
		"version 01":         {"daulat01." + text[8:], invite.ErrNoInvite},
		"version of a novel": {"daulat" + strings.Repeat("1", 99) + "." + text[8:], invite.ErrNoInvite},
		"too long":           {text + strings.Repeat(" ", invite.MaxText), invite.ErrNoInvite},
		"version 2":          {"daulat2." + text[8:], invite.ErrNewer},
		"version 10":         {"daulat10.!!", invite.ErrNewer},
		"start alone":        {"daulat1.", invite.ErrAltered},
		"three bytes":        {"daulat1.AAAA", invite.ErrAltered},
		"cut off":            {text[:len(text)-1], invite.ErrAltered},
		"cut in the middle":  {text[:50] + text[51:], invite.ErrAltered},
		"altered":            {text[:50] + flip(text[50]) + text[51:], invite.ErrAltered},
		"altered end":        {text[:len(text)-1] + flip(text[len(text)-1]), invite.ErrAltered},
		"padded":             {text + "=", invite.ErrAltered},
		"other alphabet":     {text[:50] + "/" + text[51:], invite.ErrAltered},
		"more after it":      {text + "AAAA", invite.ErrAltered},
		"twice":              {text + text, invite.ErrAltered},
		"empty body":         {encode(nil), invite.ErrMalformed},
		"another body":       {encode(canon.MustMarshal(invite.Invite{})), invite.ErrMalformed},
		"field that is lost": {encode(spoiled), invite.ErrMalformed},
		"bytes after it":     {encode(append(bytes.Clone(body), 0)), invite.ErrMalformed},
		"deep":               {encode(bytes.Repeat([]byte{0x81}, 5000)), invite.ErrMalformed},
		"vast array":         {encode([]byte{0x9b, 0, 0, 0, 1, 0, 0, 0, 0}), invite.ErrMalformed},
	} {
		l, err := invite.ParseLine(c.text)
		if !errors.Is(err, c.want) || !reflect.DeepEqual(l, invite.Line{}) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Base64 leaves up to four bits of the last letter unused; only zeros pass.
func TestLineHasOneText(t *testing.T) {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	stray := 0
	for n := range 3 {
		l := line()
		l.Chain += strings.Repeat("x", n)
		text := l.Encode()
		last := strings.IndexByte(alphabet, text[len(text)-1])
		for other := range len(alphabet) {
			_, err := invite.ParseLine(text[:len(text)-1] + alphabet[other:other+1])
			if other != last && !errors.Is(err, invite.ErrAltered) || other == last && err != nil {
				t.Errorf("%q for %q as the last letter: %v", alphabet[other], alphabet[last], err)
			}
		}
		if len(text[8:])%4 != 0 {
			stray++
		}
	}
	if stray != 2 {
		t.Fatalf("%d of the texts have unused bits", stray)
	}
}

// flip is another letter of the alphabet that leaves the low bits as they are.
func flip(c byte) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return string(alphabet[strings.IndexByte(alphabet, c)^32])
}

func TestLineIsBounded(t *testing.T) {
	long := "/dns/" + strings.Repeat("a", invite.MaxPeerSize) + "/p2p/" + peerID
	for name, spoil := range map[string]func(*invite.Line){
		"version":      func(l *invite.Line) { l.Version = 2 },
		"no chain":     func(l *invite.Line) { l.Chain = "" },
		"loud chain":   func(l *invite.Line) { l.Chain = "a\x1b[2J" },
		"long chain":   func(l *invite.Line) { l.Chain = strings.Repeat("a", 51) },
		"dashed chain": func(l *invite.Line) { l.Chain = "-a" },
		"no genesis":   func(l *invite.Line) { l.Genesis = canon.Hash{} },
		"no header":    func(l *invite.Line) { l.Header = canon.Hash{} },
		"no height":    func(l *invite.Line) { l.Height = 0 },
		"vast height":  func(l *invite.Line) { l.Height = 1 << 63 },
		"no peer":      func(l *invite.Line) { l.Peers = nil },
		"many peers":   func(l *invite.Line) { l.Peers = slicesOf(l.Peers[0], invite.MaxPeers+1) },
		"long peer":    func(l *invite.Line) { l.Peers[0] = long },
		"peer unnamed": func(l *invite.Line) { l.Peers[0] = "/ip4/192.0.2.7/tcp/4001" },
		"peer nowhere": func(l *invite.Line) { l.Peers[0] = "/p2p/" + peerID },
		"peer spaced":  func(l *invite.Line) { l.Peers[1] = "/dns/a b/p2p/" + peerID },
		"peer loud":    func(l *invite.Line) { l.Peers[1] = "/dns/\x1b[2J/p2p/" + peerID },
		"peer's ID":    func(l *invite.Line) { l.Peers[1] = "/dns/a/p2p/a-b" },
		"short seed":   func(l *invite.Line) { l.Seed = l.Seed[:31] },
		"long seed":    func(l *invite.Line) { l.Seed = append(bytes.Clone(l.Seed), 0) },
		"no grant":     func(l *invite.Line) { l.Grant = 0 },
		"no expiry":    func(l *invite.Line) { l.Expires = 0 },
	} {
		l := line()
		spoil(&l)
		if l.Validate() == nil {
			t.Errorf("%s: is valid", name)
		}
		_, err := invite.ParseLine(encode(canon.MustMarshal(l)))
		if !errors.Is(err, invite.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		hides(t, name, err.Error())
		if !canon.Plain(err.Error()) {
			t.Errorf("%s: the error is not plain: %q", name, err)
		}
	}
}

func slicesOf(s string, n int) (all []string) {
	for range n {
		all = append(all, s)
	}
	return all
}

// hides reports a text that shows the seed in any usual form.
func hides(t *testing.T, name, text string) {
	t.Helper()
	forms := []string{string(seed), string(seed[:8]), hex.EncodeToString(seed[:8]), strings.ToUpper(hex.EncodeToString(seed[:8])),
		base64.StdEncoding.EncodeToString(seed)[:10], strings.Trim(fmt.Sprint(seed[:8]), "[]"), "0x30, 0x31", "0x30 0x31", "30 31 32", `\x30\x31`}
	for _, f := range forms {
		if strings.Contains(text, f) {
			t.Errorf("%s shows the seed: %s", name, text)
		}
	}
}

func TestNoPrintShowsTheSeed(t *testing.T) {
	l := line()
	type nested struct {
		L invite.Line
		P *invite.Line
		M map[string]invite.Line
		S []invite.Line
	}
	all := []any{l, &l, l.Seed, []invite.Line{l}, nested{l, &l, map[string]invite.Line{"a": l}, []invite.Line{l}}, any(l)}
	for _, v := range all {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%#x", "%d", "%T %[1]v", "%U", "%z"} {
			hides(t, fmt.Sprintf("%s of %T", verb, v), fmt.Sprintf(verb, v))
		}
		data, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		hides(t, fmt.Sprintf("JSON of %T", v), string(data))
		var logged bytes.Buffer
		slog.New(slog.NewTextHandler(&logged, nil)).Info("x", "line", v)
		slog.New(slog.NewJSONHandler(&logged, nil)).Info("x", "line", v)
		hides(t, fmt.Sprintf("log of %T", v), logged.String())
	}
	if l.String() != `invite to "daulat-1" for 1000000 udlt until 1800000000` || fmt.Sprint(l) != l.String() {
		t.Fatalf("it says %s", l)
	}
	for cut := range len(l.Encode()) {
		if _, err := invite.ParseLine(l.Encode()[:cut]); err == nil {
			t.Fatalf("a line of %d bytes passes", cut)
		} else {
			hides(t, "error", err.Error())
		}
	}
}

// Whatever is pasted, ParseLine ends; what it takes is written in one way.
func FuzzParseLine(f *testing.F) {
	text := line().Encode()
	f.Add(text, false)
	f.Add(text[:40]+"\r\n"+text[40:], false)
	f.Add("daulat2."+text[8:], false)
	f.Add("daulat1.", false)
	f.Add(string(canon.MustMarshal(line())), true)
	f.Add("\xa9", true)
	f.Fuzz(func(t *testing.T, text string, body bool) {
		if body { // gets past the checksum
			text = encode([]byte(text))
		}
		l, err := invite.ParseLine(text)
		if err != nil {
			if !reflect.DeepEqual(l, invite.Line{}) {
				t.Fatalf("%v, and a line", err)
			}
			return
		}
		again, err := invite.ParseLine(l.Encode())
		if err != nil || !reflect.DeepEqual(again, l) {
			t.Fatalf("it does not come back: %v", err)
		}
		if got := strings.Join(strings.Fields(text), ""); got != l.Encode() {
			t.Fatalf("%q is another way to write %q", got, l.Encode())
		}
	})
}
