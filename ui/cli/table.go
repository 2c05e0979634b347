package cli

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// table is rows of text, the first of which names the columns.
type table [][]string

// add adds a row of values, each in one line.
func (t table) add(values ...any) table {
	row := make([]string, len(values))
	for i, v := range values {
		row[i] = line(fmt.Sprint(v))
	}
	return append(t, row)
}

// write sets the columns as wide as their widest text. The last one is not
// filled up, so that no row ends in spaces.
func (t table) write(w io.Writer) {
	widths := make([]int, len(t[0]))
	for _, row := range t {
		for i, text := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(text))
		}
	}
	for _, row := range t {
		var b strings.Builder
		for i, text := range row {
			fmt.Fprintf(&b, "%-*s  ", widths[i], text)
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
}
