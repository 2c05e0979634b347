package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// event is a line of the reply to an operation that tells its progress: steps,
// then one result or failure.
type event struct {
	Step   string          `json:"step,omitempty"`
	Result json.RawMessage `json:"result,omitempty"`
	Error  string          `json:"error,omitempty"`
	Status int             `json:"status,omitempty"` // of the error, as HTTP has it
}

// serveSteps is serve for an operation that takes long enough to say what it does.
func serveSteps[In, Out any](mux *http.ServeMux, name string, do func(context.Context, In, Progress) (Out, error)) {
	mux.HandleFunc("POST "+Prefix+name, func(w http.ResponseWriter, r *http.Request) {
		var in In
		if err := decode(http.MaxBytesReader(w, r.Body, maxRequest), &in); err != nil {
			reply(w, http.StatusBadRequest, failure{"request is not the JSON expected: " + err.Error()})
			return
		}
		w.Header().Set("Content-Type", "application/x-ndjson")
		lines := lineWriter{w: w}
		out, err := do(r.Context(), in, func(step string) { lines.write(event{Step: step}) })
		data, bad := json.Marshal(out)
		if err = errors.Join(err, bad); err != nil {
			lines.write(event{Error: err.Error(), Status: statusOf(err)})
			return
		}
		lines.write(event{Result: data})
	})
}

// lineWriter sends each event at once.
type lineWriter struct {
	mu sync.Mutex
	w  http.ResponseWriter
}

func (l *lineWriter) write(e event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = json.NewEncoder(l.w).Encode(e) // the client may be gone
	_ = http.NewResponseController(l.w).Flush()
}

// follow is call for an operation that tells its progress.
func (c Client) follow(ctx context.Context, name string, in any, say Progress, out any) error {
	resp, err := c.post(ctx, name, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		data, err := io.ReadAll(io.LimitReader(resp.Body, maxReply))
		return errors.Join(remote(resp.StatusCode, data), err)
	}
	lines := json.NewDecoder(io.LimitReader(resp.Body, maxReply))
	for {
		var e event
		if err := lines.Decode(&e); err != nil {
			return fmt.Errorf("daulat broke off: %w", err)
		}
		switch {
		case e.Error != "":
			return failed(e.Status, e.Error)
		case e.Result != nil:
			return json.Unmarshal(e.Result, out)
		}
		say(e.Step)
	}
}
