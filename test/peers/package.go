package main

import (
	"context"
	"fmt"
	"path/filepath"

	"daulat/ui/control"
)

// export has a network write its first answer's receipt, and gives the file.
func (t *tools) export(ctx context.Context, u *network) (file string, err error) {
	var all []control.Receipt
	if err := answerOf(t.command(ctx, t.daulat, "receipt", "ls", "--json", "--home", u.home), &all); err != nil {
		return "", err
	}
	if len(all) == 0 {
		return "", fmt.Errorf("%s has no receipt", u.home)
	}
	file = filepath.Join(t.temp, "real.receipt")
	return file, quiet(t.command(ctx, t.daulat, "receipt", "export", all[0].Receipt, "--output", file, "--home", u.home))
}

// packaged verifies a receipt of the default model from a fresh home, when the
// network that it is from has ended: nobody serves the model, so it can only
// come from its package.
func (t *tools) packaged(ctx context.Context, file, trust string) error {
	cmd := t.command(ctx, t.daulat, "verify", file, "--json", "--trust", trust, "--home", filepath.Join(t.temp, "stranger"))
	var r control.Report
	if err := answerOf(cmd, &r); err != nil { // its status is not 0 unless the answer agrees
		return err
	}
	if r.Verdict != "agree" {
		return fmt.Errorf("a receipt of the default model: %s", r.Line)
	}
	return nil
}
