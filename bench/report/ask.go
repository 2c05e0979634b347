package report

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Question is one streamed chat request to a server that speaks OpenAI's
// protocol.
type Question struct {
	API, Token, Model, Text string
	Tokens                  int // the most that the answer has
}

// Ask puts it and reads the answer to its end. It returns the time until the
// first text and how many pieces of text came; an answer without is an error.
func (q Question) Ask(ctx context.Context, c *http.Client) (first time.Duration, pieces int, err error) {
	body, err := json.Marshal(map[string]any{"model": q.Model, "stream": true, "max_tokens": q.Tokens,
		"messages": []map[string]string{{"role": "user", "content": q.Text}}})
	if err != nil {
		return 0, 0, err
	}
	began := time.Now()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, q.API+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return 0, 0, err
	}
	r.Header.Set("Authorization", "Bearer "+q.Token)
	r.Header.Set("Content-Type", "application/json")
	answer, err := c.Do(r)
	if err != nil {
		return 0, 0, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		why, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
		return 0, 0, fmt.Errorf("%s: %s", answer.Status, why)
	}
	finished := false
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		line := lines.Bytes()
		switch {
		case bytes.Contains(line, []byte(`"content":"`)) && !bytes.Contains(line, []byte(`"content":""`)):
			if pieces++; pieces == 1 {
				first = time.Since(began)
			}
		case bytes.Contains(line, []byte(`"error"`)):
			return 0, 0, fmt.Errorf("the answer broke off: %s", line)
		case bytes.Equal(line, []byte("data: [DONE]")):
			finished = true
		}
	}
	if err := lines.Err(); err != nil {
		return 0, 0, err
	}
	if !finished || pieces == 0 {
		return 0, 0, fmt.Errorf("the answer broke off after %d pieces", pieces)
	}
	return first, pieces, nil
}
