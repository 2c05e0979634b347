// Package tested imports upward in its test.
package tested
