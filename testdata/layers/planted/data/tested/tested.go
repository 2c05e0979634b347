// Package tested reaches the framework in its test only.
package tested
