package invite

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"unicode"

	"daulat/core/canon"
)

// Bounds of a line.
const (
	LineVersion = 1
	MaxText     = 8 << 10 // bytes of text, white space included
	MaxPeers    = 8
	MaxPeerSize = 512 // bytes of one address
)

// checksumSize is how much of the hash ends a line, in bytes.
const checksumSize = 4

// Line is an invite as a friend gets it: which ledger, whom to ask, and the
// secret half of the invite's key. Whoever reads it can take the grant, so no
// way of printing shows Seed: [Line.Encode] alone does.
type Line struct {
	Version uint64     `cbor:"v"`     // Encode sets it
	Chain   string     `cbor:"chain"` // the ledger's name
	Genesis canon.Hash `cbor:"genesis"`
	Height  uint64     `cbor:"height"`
	Header  canon.Hash `cbor:"header"` // hash of the header at Height, which the inviter trusts
	Peers   []string   `cbor:"peers"`  // multiaddrs that end in /p2p/ID
	Seed    Secret     `cbor:"seed"`   // of the invite's key
	Grant   uint64     `cbor:"grant"`  // udlt
	Expires uint64     `cbor:"expires"`
}

// Secret is 32 bytes that nothing prints. (What fmt is given inside an
// unexported field it prints without asking: keep secrets and lines out of
// such fields of values that are printed.)
type Secret []byte

// Errors of ParseLine.
var (
	ErrNoInvite  = errors.New("that is no invite: one starts with daulat1.")
	ErrNewer     = errors.New("a newer daulat made this invite")
	ErrAltered   = errors.New("the invite is cut off or altered: copy all of it again")
	ErrMalformed = errors.New("the invite was not made correctly")
)

var (
	lineForm  = regexp.MustCompile(`^daulat([1-9][0-9]{0,8})\.(.*)$`)
	chainForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,49}$`)
	peerForm  = regexp.MustCompile(`^(/[!-.0-~]+)+/p2p/[0-9A-Za-z]+$`)
	lineText  = base64.RawURLEncoding.Strict()
)

// Encode is the one text form, which ParseLine reads. It holds the secret.
func (l Line) Encode() string {
	l.Version = LineVersion
	data := canon.MustMarshal(l)
	sum := canon.Sum(data)
	return fmt.Sprintf("daulat%d.%s", LineVersion, lineText.EncodeToString(append(data, sum[:checksumSize]...)))
}

// ParseLine reads what Encode wrote, whatever white space came in between. Its
// errors never repeat a part of the text.
func ParseLine(text string) (Line, error) {
	if len(text) > MaxText {
		return Line{}, fmt.Errorf("%w and has at most %d bytes", ErrNoInvite, MaxText)
	}
	text = strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, text)
	parts := lineForm.FindStringSubmatch(text)
	if parts == nil {
		return Line{}, ErrNoInvite
	}
	if parts[1] != fmt.Sprint(LineVersion) {
		return Line{}, fmt.Errorf("%w: it has version %s and this one reads %d", ErrNewer, parts[1], LineVersion)
	}
	raw, err := lineText.DecodeString(parts[2])
	if err != nil || len(raw) < checksumSize {
		return Line{}, ErrAltered
	}
	data, end := raw[:len(raw)-checksumSize], raw[len(raw)-checksumSize:]
	if sum := canon.Sum(data); string(sum[:checksumSize]) != string(end) {
		return Line{}, ErrAltered
	}
	var l Line
	if err := canon.Unmarshal(data, &l); err != nil {
		return Line{}, fmt.Errorf("%w: it is not in its canonical form", ErrMalformed)
	}
	if err := l.Validate(); err != nil {
		return Line{}, err
	}
	return l, nil
}

// Validate reports what ParseLine would refuse.
func (l Line) Validate() error {
	if why := l.wrong(); why != "" {
		return fmt.Errorf("%w: %s", ErrMalformed, why)
	}
	return nil
}

func (l Line) wrong() string {
	switch {
	case l.Version != LineVersion:
		return "its version is not that of its start"
	case !chainForm.MatchString(l.Chain):
		return "the ledger's name has 1 to 50 letters, digits, dots and dashes"
	case l.Genesis.IsZero() || l.Header.IsZero():
		return "a hash is missing"
	case l.Height == 0 || l.Height > math.MaxInt64:
		return "the height does not lie between 1 and 2^63 - 1"
	case len(l.Peers) == 0 || len(l.Peers) > MaxPeers:
		return fmt.Sprintf("it names 1 to %d peers", MaxPeers)
	case len(l.Seed) != 32:
		return "the key has another length"
	case l.Grant == 0 || l.Expires == 0:
		return "grant or expiry is missing"
	}
	for i, p := range l.Peers {
		if len(p) > MaxPeerSize || !peerForm.MatchString(p) {
			return fmt.Sprintf("peer %d is not an address of at most %d bytes that ends in /p2p/ID", i+1, MaxPeerSize)
		}
	}
	return ""
}

// Key is the invite's key.
func (l Line) Key() (canon.PrivateKey, error) { return canon.KeyFromSeed(l.Seed) }

// String describes a line without its secret.
func (l Line) String() string {
	return fmt.Sprintf("invite to %q for %d udlt until %d", l.Chain, l.Grant, l.Expires)
}

// Format makes every verb of fmt print String.
func (l Line) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, l.String()) }

// MarshalText makes JSON and logs show String.
func (l Line) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// String hides the secret.
func (Secret) String() string { return "(secret)" }

// Format makes every verb of fmt print String.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText makes JSON and logs show String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
