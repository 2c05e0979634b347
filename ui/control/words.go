package control

import "fmt"

// Count is a number with its noun, of which an s makes many.
func Count[N int | int64 | uint64](n N, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprint(n, " ", noun)
}

// Thousandths shows n/1000 with one digit, rounded down.
func Thousandths(n uint64) string { return fmt.Sprintf("%d.%d", n/1000, n%1000/100) }
