// Package keys walks maps: rightly when the order is gone at once.
package keys

import (
	"maps"
	"slices"
	"sort"
)

type named map[string]int

func right(m map[string]int, n named) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	switch {
	case len(n) > 0:
		for k := range n {
			keys = append(keys, k)
		}
		sort.Strings(keys)
	}
	_ = slices.SortedFunc(maps.Keys(m), func(a, b string) int { return len(a) - len(b) })
	_ = maps.Collect(maps.All(m))
	return slices.Sorted(maps.Keys(m))
}

func unsorted(m map[string]int) (keys []string) {
	for k := range m { // want `range over a map`
		keys = append(keys, k)
	}
	return keys
}

func late(m map[string]int) (keys []string) {
	for k := range m { // want `range over a map`
		keys = append(keys, k)
	}
	keys = keys[:1]
	slices.Sort(keys)
	return keys
}

func other(m map[string]int, others []string) (keys []string) {
	for k := range m { // want `range over a map`
		keys = append(keys, k)
	}
	slices.Sort(others)
	return keys
}

func shown(m map[string]int, show func([]string)) (keys []string) {
	for k := range m { // want `range over a map`
		keys = append(keys, k)
	}
	show(keys)
	slices.Sort(keys)
	return keys
}

func values(m map[string]int) (all []int) {
	for _, v := range m { // want `range over a map`
		all = append(all, v)
	}
	slices.Sort(all)
	return all
}

func more(m map[string]int) (keys []string, last string) {
	for k := range m { // want `range over a map`
		keys = append(keys, k)
		last = k
	}
	slices.Sort(keys)
	return keys, last
}

func last(m map[string]int, k string, keys []string) []string {
	for k = range m { // want `range over a map`
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return append(keys, k)
}

func grown(m map[string]int, first, keys []string) []string {
	for k := range m { // want `range over a map`
		keys = append(first, k)
	}
	slices.Sort(keys)
	return keys
}

func mine(m map[string]int, keys []string) []string {
	append := func(s []string, k string) []string { return []string{k} }
	for k := range m { // want `range over a map`
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func iterators(m map[string]int) []string {
	for range maps.Keys(m) { // want `maps.Keys brings in map order`
	}
	_ = maps.Values(m)               // want `maps.Values brings in map order`
	walk := maps.All[map[string]int] // want `maps.All brings in map order`
	_ = walk
	return slices.Collect(maps.Keys(m)) // want `maps.Keys brings in map order`
}
