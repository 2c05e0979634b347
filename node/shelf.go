package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"daulat/compute/executor/inference"
	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/data/blob"
	"daulat/model/gguf"
	"daulat/model/text"
	"daulat/ui/control"
)

// ModelEntry is one model that this home knows by name.
type ModelEntry struct {
	Name string    `json:"name"`
	ID   canon.CID `json:"id"` // manifest
	// Source is the address that it was downloaded from, if it was.
	Source string `json:"source,omitempty"`
}

// Shelf is the models of a home: their names, their manifests and weights in
// the blob store, and the words of those in use. What is not on it is fetched by
// its ID, if the shelf was told from where.
type Shelf struct {
	store *blob.Store
	index string // file
	fetch func(ctx context.Context, id canon.CID) error

	mu      sync.Mutex
	entries []ModelEntry
	words   map[canon.CID]*text.Text
}

var _ inference.Artifacts = (*Shelf)(nil)

// ErrNoModel says that no model has the name.
var ErrNoModel = errors.New("no such model")

// OpenShelf reads the index of a home's models. fetch may be nil.
func OpenShelf(h Home, store *blob.Store, fetch func(context.Context, canon.CID) error) (*Shelf, error) {
	s := &Shelf{store: store, index: h.path("models.json"), fetch: fetch, words: map[canon.CID]*text.Text{}}
	return s, s.reload()
}

// List returns all entries, oldest first.
func (s *Shelf) List() []ModelEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.entries)
}

// Find returns the entry for a name, a manifest ID or an address it came from.
func (s *Shelf) Find(name string) (ModelEntry, error) {
	e, ok := find(s.List(), name)
	if !ok { // another process may have imported it since
		if err := s.reload(); err != nil {
			return ModelEntry{}, err
		}
		e, ok = find(s.List(), name)
	}
	if !ok {
		return ModelEntry{}, fmt.Errorf("%w: %q", ErrNoModel, name)
	}
	return e, nil
}

func find(entries []ModelEntry, name string) (ModelEntry, bool) {
	i := slices.IndexFunc(entries, func(e ModelEntry) bool {
		return strings.EqualFold(e.Name, name) || e.ID.String() == name || e.Source == name && name != ""
	})
	if i < 0 {
		return ModelEntry{}, false
	}
	return entries[i], true
}

func (s *Shelf) reload() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.load()
}

// load reads the index; the caller has the lock.
func (s *Shelf) load() error {
	var entries []ModelEntry
	if err := loadJSON(s.index, &entries); err != nil {
		return err
	}
	s.entries = entries
	return nil
}

// Pull downloads a GGUF file, whose SHA-256 must be hash if that is given, and
// imports it.
func (s *Shelf) Pull(ctx context.Context, address, hash, name, licence string, say control.Progress) (ModelEntry, error) {
	dir, err := os.MkdirTemp(filepath.Dir(s.index), "download-*")
	if err != nil {
		return ModelEntry{}, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "model.gguf")
	say("downloading " + name)
	if err := fetchURL(ctx, address, hash, path, say); err != nil {
		return ModelEntry{}, err
	}
	e, err := s.Import(ctx, path, name, licence)
	if err != nil {
		return e, err
	}
	e.Source = address
	return e, s.add(e)
}

// Import puts a GGUF file on the shelf under a name, without the space around it.
// The default model's name belongs to its compiled-in ID.
func (s *Shelf) Import(ctx context.Context, path, name, licence string) (ModelEntry, error) {
	name = strings.TrimSpace(name)
	manifest, err := s.describe(ctx, path, name, licence)
	if err != nil {
		return ModelEntry{}, fmt.Errorf("import %s: %w", path, err)
	}
	data, id, err := manifest.Encode()
	if err != nil {
		return ModelEntry{}, fmt.Errorf("import %s: %w", path, err)
	}
	if err := genuine(name, id); err != nil {
		return ModelEntry{}, fmt.Errorf("import %s: %w", path, err)
	}
	if _, err := s.store.PutBytes(canon.DagCBOR, data); err != nil {
		return ModelEntry{}, err
	}
	e := ModelEntry{Name: name, ID: id}
	return e, s.add(e)
}

func (s *Shelf) describe(ctx context.Context, path, name, licence string) (artifact.Manifest, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return artifact.Manifest{}, err
	}
	defer f.Close()
	model, err := inference.DescribeGGUF(f)
	if err != nil {
		return artifact.Manifest{}, err
	}
	if _, err := text.FromGGUF(f); err != nil {
		return artifact.Manifest{}, err
	}
	blob, size, err := s.store.PutFile(ctx, path)
	if err != nil {
		return artifact.Manifest{}, err
	}
	return artifact.Manifest{Version: canon.Version, Name: name, Media: artifact.MediaModelGGUF, Licence: licence,
		Parts: []artifact.Part{{Role: artifact.Weights, Blob: blob, Size: uint64(size)}}, Model: model}, nil
}

func (s *Shelf) add(e ModelEntry) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.load(); err != nil {
		return err
	}
	if slices.Contains(s.entries, e) {
		return nil
	}
	entries := slices.DeleteFunc(slices.Clone(s.entries), func(old ModelEntry) bool { return strings.EqualFold(old.Name, e.Name) })
	entries = append(entries, e)
	if err := saveJSON(s.index, entries); err != nil {
		return err
	}
	s.entries = entries
	return nil
}

// ManifestBytes returns the canonical bytes of a manifest.
func (s *Shelf) ManifestBytes(ctx context.Context, id canon.CID) ([]byte, error) {
	if artifact.IsDeclared(id) {
		return nil, fmt.Errorf("%s: %w", id, inference.ErrDeclared)
	}
	if err := s.obtain(ctx, id); err != nil {
		return nil, err
	}
	return s.store.Bytes(id, artifact.MaxManifest)
}

// Manifest implements inference.Artifacts.
func (s *Shelf) Manifest(ctx context.Context, id canon.CID) (artifact.Manifest, error) {
	data, err := s.ManifestBytes(ctx, id)
	if err != nil {
		return artifact.Manifest{}, err
	}
	return artifact.DecodeAs(id, data)
}

// File implements inference.Artifacts.
func (s *Shelf) File(ctx context.Context, p artifact.Part) (string, error) {
	if err := s.obtain(ctx, p.Blob); err != nil {
		return "", err
	}
	return s.store.Path(p.Blob)
}

func (s *Shelf) obtain(ctx context.Context, id canon.CID) error {
	if s.store.Has(id) {
		return nil
	}
	if s.fetch == nil {
		return fmt.Errorf("artifact %s is not here, and there is nowhere to fetch it from", id)
	}
	return s.fetch(ctx, id)
}

// Text returns the words of a model.
func (s *Shelf) Text(ctx context.Context, id canon.CID) (*text.Text, error) {
	s.mu.Lock()
	t := s.words[id]
	s.mu.Unlock()
	if t != nil {
		return t, nil
	}
	t, err := s.readText(ctx, id)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.words[id] = t
	return t, nil
}

func (s *Shelf) readText(ctx context.Context, id canon.CID) (*text.Text, error) {
	m, err := s.Manifest(ctx, id)
	if err != nil {
		return nil, err
	}
	weights, ok := m.Part(artifact.Weights)
	if !ok {
		return nil, fmt.Errorf("model %s has no weights", id)
	}
	path, err := s.File(ctx, weights)
	if err != nil {
		return nil, err
	}
	f, err := gguf.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return text.FromGGUF(f)
}
