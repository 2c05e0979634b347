package gguf

import (
	"fmt"
	"math"
	"os"
)

// Open reads a file, mapped into memory where the system can. The file must not be cut short by anyone
// while it is open: reading a mapped page that is gone stops the program. Call Close when done.
func Open(path string) (*File, error) {
	data, release, err := load(path)
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	f, err := Parse(data)
	if err != nil {
		_ = release() // the parse error is the one that matters
		return nil, err
	}
	f.release = release
	return f, nil
}

func load(path string) (data []byte, release func() error, err error) {
	info, err := os.Stat(path) // before opening: a pipe would block there
	if err != nil {
		return nil, nil, err
	}
	if !info.Mode().IsRegular() || info.Size() == 0 || info.Size() > math.MaxInt {
		return nil, nil, fmt.Errorf("%s is not a file, is empty or is too large for this machine", path)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	return contents(file, int(info.Size()))
}
