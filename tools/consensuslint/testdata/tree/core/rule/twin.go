//go:build purego

package rule

var share = 0.5
