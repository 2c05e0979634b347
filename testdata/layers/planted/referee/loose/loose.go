// Package loose starts a goroutine.
package loose

func start(f func()) { go f() }
