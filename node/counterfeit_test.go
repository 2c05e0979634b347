package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"daulat/core/canon"
	"daulat/data/blob"
	"daulat/ui/control"
)

// counterfeits are names that a reader takes for the default model's.
var counterfeits = []string{DefaultModel, "smollm2-135m-instruct", " " + DefaultModel + "\t", "SmolLM2 135M Instruct", "SmoILM2-I35M-lnstruct",
	"Sm0lLM2-135M-Instruct", "SmolLM2-135rn-Instruct", DefaultModel + "."}

// TestImportRefusesTheDefaultName: no other file goes on the shelf under a name
// that looks like the default model's, and none under a name of letters that
// look like others.
func TestImportRefusesTheDefaultName(t *testing.T) {
	s := freshShelf(t)
	file, err := noiseFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range counterfeits {
		if _, err := s.Import(t.Context(), file, name, NoiseModelLicence); !errors.Is(err, ErrCounterfeit) {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{"Sm\u043elLM2-135M-Instruct", "\uff33molLM2-135M-Instruct", "SmolLM2\u2010135M\u2010Instruct", "SmolLM2-135M\u200b-Instruct"} {
		if _, err := s.Import(t.Context(), file, name, NoiseModelLicence); err == nil {
			t.Errorf("%q is on the shelf", name)
		}
	}
	if all := s.List(); len(all) != 0 {
		t.Errorf("the shelf holds %v", all)
	}
	e, err := s.Import(t.Context(), file, " SmolLM2-135M-Instruct-mine ", NoiseModelLicence)
	if err != nil || e.Name != "SmolLM2-135M-Instruct-mine" {
		t.Errorf("a name that differs: %q, %v", e.Name, err)
	}
}

// TestVerifyRefusesTheDefaultNameOfAnotherModel has a network serve another model
// under the default one's name, answer by it, prove the session and be checked by
// a stranger: all of it holds, and it is not the model that it says.
func TestVerifyRefusesTheDefaultNameOfAnotherModel(t *testing.T) {
	home := filepath.Join(t.TempDir(), "home")
	counterfeit(t, home)
	ctx, a := t.Context(), runs(t, control.UpOptions{Home: home, Model: DefaultModel})
	if err := question(a.Ready); err != nil {
		t.Fatal(err)
	}
	receipts, err := a.Operations.Receipts(ctx)
	if err != nil || len(receipts) != 1 {
		t.Fatal(receipts, err)
	}
	e, err := a.Operations.Export(ctx, receipts[0].Receipt)
	if err != nil {
		t.Fatal(err)
	}
	report, err := Runtime{}.Verify(ctx, control.VerifyOptions{Home: filepath.Join(t.TempDir(), "fresh"), Bundle: e.Bundle, Trust: a.Trust}, func(string) {})
	if !errors.Is(err, ErrCounterfeit) {
		t.Errorf("the verdict is %q, %v", report.Line, err)
	}
}

// runs is a network of one machine that runs until the test ends.
func runs(t *testing.T, o control.UpOptions) control.Attached {
	t.Helper()
	o.Listen, o.ChallengeWindow = "127.0.0.1:0", 20
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	ready, ended := make(chan control.Ready, 1), make(chan error, 1)
	go func() { ended <- Runtime{}.Up(ctx, o, func(string) {}, func(r control.Ready) { ready <- r }) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		ended <- nil
		t.Fatal(err)
	}
	a, err := Runtime{}.Attach(o.Home)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// question puts one question to a network's gateway.
func question(r control.Ready) error {
	body := fmt.Sprintf(`{"model":%q,"max_tokens":4,"messages":[{"role":"user","content":"hi"}]}`, r.Model)
	q, err := http.NewRequest(http.MethodPost, r.API+"/chat/completions", strings.NewReader(body))
	if err != nil {
		return err
	}
	q.Header.Set("Authorization", "Bearer "+r.Token)
	q.Header.Set("Content-Type", "application/json")
	answer, err := http.DefaultClient.Do(q)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if said, err := io.ReadAll(answer.Body); err != nil || answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s, %w", answer.Status, said, err)
	}
	return nil
}

// counterfeit puts the noise model on a home's shelf under the default one's name,
// past all that would refuse it.
func counterfeit(t *testing.T, path string) {
	t.Helper()
	home, err := OpenHome(path)
	if err != nil {
		t.Fatal(err)
	}
	store, err := blob.Open(home.path("blobs"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := OpenShelf(home, store, nil)
	if err != nil {
		t.Fatal(err)
	}
	file, err := noiseFile(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.describe(t.Context(), file, DefaultModel, DefaultModelLicence)
	if err != nil {
		t.Fatal(err)
	}
	data, id, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store.PutBytes(canon.DagCBOR, data); err != nil {
		t.Fatal(err)
	}
	if err := s.add(ModelEntry{Name: DefaultModel, ID: id}); err != nil {
		t.Fatal(err)
	}
}
