// Package mute has a comment, but the package has none.
package mute
