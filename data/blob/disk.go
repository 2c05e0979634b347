package blob

import (
	"io"
	"os"
)

// file is what the store needs of an open file.
type file interface {
	io.Reader
	io.ReaderAt
	io.Writer
	io.WriterAt
	io.Closer
	Stat() (os.FileInfo, error)
	Sync() error
	Truncate(size int64) error
}

// disk is the file system under a store; tests put one that fails in its place.
type disk interface {
	open(name string, flag int) (file, error)
	link(from, to string) error
	rename(from, to string) error
	remove(name string) error
	syncDir(dir string) error
}

type realDisk struct{}

func (realDisk) open(name string, flag int) (file, error) {
	f, err := os.OpenFile(name, flag, 0o600)
	if err != nil {
		return nil, err // not f: a nil *os.File in an interface is not nil
	}
	return f, nil
}

func (realDisk) link(from, to string) error   { return os.Link(from, to) }
func (realDisk) rename(from, to string) error { return os.Rename(from, to) }
func (realDisk) remove(name string) error     { return os.Remove(name) }

func (realDisk) syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
