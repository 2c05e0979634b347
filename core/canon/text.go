package canon

import "unicode/utf8"

// Plain reports that s is UTF-8 that shows as what it is: without control
// characters (C0, DEL, C1), which move a terminal's cursor, and without the
// bidirectional controls of Unicode, which show text in another order than it
// has. Whatever text an account chooses for others to read must be plain.
func Plain(s string) bool {
	for _, r := range s {
		switch {
		case r < 0x20, r >= 0x7f && r <= 0x9f,
			r == 0x061c, r == 0x200e, r == 0x200f, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return false
		}
	}
	return utf8.ValidString(s)
}
