// Package util has a forbidden name.
package util
