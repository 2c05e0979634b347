//go:build !amd64 || purego

package float

func native() []kernel { return nil }
