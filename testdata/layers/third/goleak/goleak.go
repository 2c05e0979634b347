// Package goleak stands for what tests alone may import.
package goleak
