package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// panel is one diagram: a value against the load, one line for each number of
// providers, both axes logarithmic or the upright one linear.
type panel struct {
	title string
	unit  string
	log   bool
	value func(row) int
}

var panels = []panel{
	{"Time to clear one block", "µs, median", true, func(r row) int { return r.ClearMedian }},
	{"Time to rank for one order", "µs, median", true, func(r row) int { return r.RankMedian }},
	{"Order to first token", "virtual ms, p99", false, func(r row) int { return r.WaitWorst }},
	{"Ledger messages", "per 1,000 orders", false, func(r row) int { return r.Operations }},
	{"Audits", "per 1,000 requests", false, func(r row) int { return r.Audits }},
	{"Sessions lost to vanishers", "per 1,000", false, func(r row) int { return r.Vanished }},
}

// Sizes in pixels.
const (
	across      = 3
	panelWidth  = 300
	panelHeight = 220
	left, right = 58, 14
	top, bottom = 40, 40
	legend      = 34
)

var colours = []string{"#1f6feb", "#d1570a"}

// plot draws all panels. It is a function of the rows alone.
func plot(all []row) string {
	var b strings.Builder
	down := (len(panels) + across - 1) / across
	width, height := across*panelWidth, down*panelHeight+legend
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11" fill="#222">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	for i, p := range panels {
		fmt.Fprintf(&b, `<g transform="translate(%d %d)">`+"\n", i%across*panelWidth, i/across*panelHeight)
		p.draw(&b, all)
		b.WriteString("</g>\n")
	}
	for i, n := range sizes(all) {
		x := left + i*190
		fmt.Fprintf(&b, `<rect x="%d" y="%d" width="18" height="4" fill="%s"/><text x="%d" y="%d">%s providers</text>`+"\n",
			x, height-20, colours[i%len(colours)], x+24, height-14, thousands(n))
	}
	b.WriteString("</svg>\n")
	return b.String()
}

func sizes(all []row) (n []int) {
	for _, r := range all {
		if !slices.Contains(n, r.Providers) {
			n = append(n, r.Providers)
		}
	}
	return n
}

func loads(all []row) (n []int) {
	for _, r := range all {
		if !slices.Contains(n, r.Load) {
			n = append(n, r.Load)
		}
	}
	return n
}

func (p panel) draw(b *strings.Builder, all []row) {
	most, least := 1, math.MaxInt
	for _, r := range all {
		most, least = max(most, p.value(r)), min(least, max(1, p.value(r)))
	}
	ticks := p.ticks(least, most)
	low, high := ticks[0], ticks[len(ticks)-1]
	y := func(v int) float64 {
		return top + (panelHeight-top-bottom)*(1-p.scale(v, low, high))
	}
	loads := loads(all)
	x := func(load int) float64 {
		return left + (panelWidth-left-right)*float64(slices.Index(loads, load))/float64(max(1, len(loads)-1))
	}
	fmt.Fprintf(b, `<text x="%d" y="16" font-weight="bold">%s</text><text x="%d" y="30" fill="#666">%s</text>`+"\n", left, p.title, left, p.unit)
	for _, v := range ticks {
		fmt.Fprintf(b, `<line x1="%d" x2="%d" y1="%.1f" y2="%.1f" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			left, panelWidth-right, y(v), y(v), left-6, y(v)+4, thousands(v))
	}
	for _, load := range loads {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">%d</text>`+"\n", x(load), panelHeight-bottom+16, load)
	}
	fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="middle" fill="#666">orders per block</text>`+"\n", (left+panelWidth-right)/2, panelHeight-bottom+31)
	for i, n := range sizes(all) {
		var line []string
		for _, r := range all {
			if r.Providers == n {
				line = append(line, fmt.Sprintf("%.1f,%.1f", x(r.Load), y(p.value(r))))
				fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="3" fill="%s"/>`+"\n", x(r.Load), y(p.value(r)), colours[i%len(colours)])
			}
		}
		fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/>`+"\n", strings.Join(line, " "), colours[i%len(colours)])
	}
}

// scale is where a value lies between low and high, 0 to 1.
func (p panel) scale(v, low, high int) float64 {
	if p.log {
		return (math.Log(float64(max(v, low))) - math.Log(float64(low))) / (math.Log(float64(high)) - math.Log(float64(low)))
	}
	return float64(v-low) / float64(high-low)
}

// ticks are round values from below least, or from 0, to above most.
func (p panel) ticks(least, most int) (all []int) {
	if p.log {
		at := 1
		for at*10 <= least {
			at *= 10
		}
		for ; ; at *= 10 {
			if all = append(all, at); at >= most && len(all) > 1 {
				return all
			}
		}
	}
	step := 1
	for i := 0; step*5 < most; i++ {
		step = []int{1, 2, 5}[(i+1)%3] * int(math.Pow10((i+1)/3))
	}
	for at := 0; ; at += step {
		if all = append(all, at); at >= most {
			return all
		}
	}
}

// thousands writes a number with separators.
func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
