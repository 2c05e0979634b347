// Package code lies where there should be no code.
package code
