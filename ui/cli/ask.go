package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"daulat/ui/control"
)

// answer is what ask prints as JSON.
type answer struct {
	Text    string `json:"text"`
	Thought string `json:"reasoning,omitempty"`
	Receipt string `json:"receipt"`
	Price   uint64 `json:"price_udlt"`
	Model   string `json:"model"`
	ModelID string `json:"model_id"`
	Label   string `json:"label,omitempty"`
	Input   int    `json:"input_tokens"`
	Output  int    `json:"output_tokens"`
	Finish  string `json:"finish"`
}

func (a *app) ask() *cobra.Command {
	var body struct {
		Model       string    `json:"model"`
		Messages    []message `json:"messages"`
		MaxTokens   int       `json:"max_tokens,omitempty"`
		Temperature float64   `json:"temperature"`
		TopP        float64   `json:"top_p"`
		Seed        *int64    `json:"seed,omitempty"`
		Stream      bool      `json:"stream"`
		Options     struct {
			Usage bool `json:"include_usage"`
		} `json:"stream_options"`
		Choice control.Choice `json:"daulat"`
	}
	var system, network string
	var thinking bool
	var seed int64
	cmd := &cobra.Command{
		Use:   "ask QUESTION",
		Short: "Ask the network a question and pay for the answer",
		Example: `  daulat ask "What is the capital of Indonesia?"
  daulat ask --temperature 0.8 --seed 7 "Tell me a story"
  daulat ask --json "Hello" | jq -r .receipt
  daulat ask --network INVITE "What is the capital of Indonesia?"`,
		Args: exactly("a QUESTION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case strings.TrimSpace(args[0]) == "":
				return usage("the question is empty")
			case !utf8.ValidString(args[0]):
				return usage("the question is not valid UTF-8")
			case isInvite(args[0]): // whoever answers could take the grant
				return usage("that is an invite and no question: daulat ask --network INVITE \"Hello\"")
			case !(body.Temperature >= 0 && body.Temperature <= 2):
				return usage("--temperature must lie between 0 and 2")
			case !(body.TopP > 0 && body.TopP <= 1):
				return usage("--top-p must be above 0 and at most 1")
			case body.MaxTokens < 1 && cmd.Flags().Changed("max-tokens"):
				return usage("--max-tokens must be at least 1")
			}
			attach := func() (control.Attached, error) { return a.attachFor(body.Model) }
			if cmd.Flags().Changed("network") {
				if err := checkInvite(network); err != nil {
					return err
				}
				attach = func() (control.Attached, error) { return a.visit(network, body.Model) }
			}
			at, err := attach()
			if err != nil {
				return err
			}
			if at.API == "" {
				return usage("the daulat of this home only sells: end it to ask here, or ask from another --home, which needs an invite of its own")
			}
			if body.Model == "" {
				body.Model = at.Model
			}
			if system != "" {
				body.Messages = append(body.Messages, message{"system", system})
			}
			body.Messages = append(body.Messages, message{"user", args[0]})
			if cmd.Flags().Changed("seed") {
				body.Seed = &seed
			}
			body.Stream, body.Options.Usage = true, true
			got, err := a.chat(cmd.Context(), at, body, thinking)
			if err != nil {
				return err
			}
			return a.print(got, func(w io.Writer) { sayAnswer(w, got) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&body.Model, "model", "", "name of the model (default: what this home serves, or most others offer)")
	f.StringVar(&network, "network", "", "invite to a network of others, which this home joins; it is remembered")
	f.StringVar(&system, "system", "", "instruction that precedes the question")
	f.IntVar(&body.MaxTokens, "max-tokens", 0, "longest answer, in tokens (default: the gateway's)")
	f.Float64Var(&body.Temperature, "temperature", 0, "0 takes the likeliest token every time; up to 2")
	f.Float64Var(&body.TopP, "top-p", 1, "share of the probability from which tokens are drawn")
	f.Int64Var(&seed, "seed", 0, "seed of the draws (default: a fresh random one)")
	f.BoolVar(&thinking, "reasoning", false, "show what the model thinks before it answers, if its server does")
	choiceFlags(f, &body.Choice)
	return cmd
}

// choiceFlags are those that say who shall answer.
func choiceFlags(f *pflag.FlagSet, c *control.Choice) {
	f.StringSliceVar(&c.Providers, "provider", nil, "the one account that may answer, or several in order")
	f.StringSliceVar(&c.Not, "not", nil, "account that shall not answer")
	f.BoolVar(&c.Spread, "spread", false, "put questions to different owners one after the other")
	f.Uint64Var(&c.PerOwner, "per-owner", 0, "most sessions open with one owner at a time (default: any)")
}

type message struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

// delta is a stretch of an answer, and of what was thought before.
type delta struct {
	message
	Reasoning string `json:"reasoning_content"`
}

// shown is the stretch with the thought before it; a blank line parts the two, also
// if all of the thought came earlier.
func (d delta) shown(thought bool) string {
	if d.Content == "" || !thought && d.Reasoning == "" {
		return d.Reasoning + d.Content
	}
	return d.Reasoning + "\n\n" + d.Content
}

// chunk is one event of a streamed chat completion.
type chunk struct {
	Model   string `json:"model"`
	Choices []struct {
		Delta  delta  `json:"delta"`
		Finish string `json:"finish_reason"`
	} `json:"choices"`
	Usage struct {
		Input  int `json:"prompt_tokens"`
		Output int `json:"completion_tokens"`
	} `json:"usage"`
	Daulat *struct {
		Receipt string `json:"receipt"`
		Price   uint64 `json:"price_udlt,string"`
		ModelID string `json:"model_id"`
		Label   string `json:"label"`
	} `json:"daulat"`
	Error *struct {
		Message string `json:"message"`
		Param   string `json:"param"`
		Code    string `json:"code"`
	} `json:"error"`
}

// chat streams the answer, to the terminal as it comes unless JSON is wanted.
func (a *app) chat(ctx context.Context, at control.Attached, body any, thinking bool) (got answer, err error) {
	data, err := json.Marshal(body)
	if err != nil {
		return answer{}, err
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer func() {
		if err != nil && errors.Is(context.Cause(ctx), control.ErrStanding) {
			err = control.ErrStanding
		}
		stop(nil)
	}()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.API+"/chat/completions", bytes.NewReader(data))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Authorization", "Bearer "+at.Token)
	req.Header.Set("Content-Type", "application/json")
	begun := sync.OnceFunc(a.waiting(ctx, stop, control.StandingPoll, func(ctx context.Context) (int64, error) {
		s, err := at.Operations.Status(ctx)
		return s.Height, err
	}))
	defer begun()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return answer{}, fmt.Errorf("reach the gateway: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		var c chunk
		if json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&c) == nil && c.Error != nil {
			return answer{}, a.failure(c)
		}
		return answer{}, fmt.Errorf("the gateway answered with status %d", resp.StatusCode)
	}
	return a.follow(resp.Body, begun, thinking)
}

// failure is what an error of the gateway says to a person of this home.
func (a *app) failure(c chunk) error {
	if c.Error.Code == "answer_failed" {
		return fmt.Errorf("the answer failed; %s says why", filepath.Join(a.home, "daulat.log"))
	}
	if c.Error.Param == "daulat" { // whom the flags choose can never be chosen
		return control.WrongInput{Err: errors.New(c.Error.Message)}
	}
	return errors.New(c.Error.Message)
}

// slow is how long a person waits for the first token without a word.
const slow = time.Second

// waiting says that the answer has not begun, if it has not for long, and once that
// the ledger makes no blocks meanwhile; if it makes none for long, it stops. The
// caller ends it with the first token. A program that reads JSON is told nothing.
func (a *app) waiting(ctx context.Context, stop func(error), poll time.Duration, height func(context.Context) (int64, error)) (end func()) {
	say, done := a.progress(), make(chan struct{})
	if a.json {
		say = func(string) {}
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer close(done) // a line comes whole before what follows
		select {
		case <-ctx.Done():
			return
		case <-time.After(slow):
			say("waiting for the first token")
		}
		var ledger control.Standing
		for over := false; !over; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(poll):
			}
			now, err := height(ctx)
			if err != nil {
				continue
			}
			var news bool
			if news, over = ledger.Look(now); news {
				say("the ledger makes no blocks now: the order waits for one")
			}
		}
		stop(control.ErrStanding)
	}()
	return func() {
		cancel()
		<-done
	}
}

// paragraph writes text to a terminal as it comes, and holds back the newlines
// at its end.
type paragraph struct {
	w     io.Writer
	held  string
	begun bool
}

func (p *paragraph) write(text string) {
	text = p.held + plain(text)
	shown := strings.TrimRight(text, "\n")
	p.held, p.begun = text[len(shown):], p.begun || shown != ""
	fmt.Fprint(p.w, shown)
}

// breakOff ends the line of a text that goes no further.
func (p *paragraph) breakOff() {
	if p.begun {
		fmt.Fprintln(p.w)
	}
}

// follow reads the events of an answer; begun is called at its first token.
func (a *app) follow(events io.Reader, begun func(), thinking bool) (got answer, err error) {
	var text, thought strings.Builder
	screen := paragraph{w: a.out}
	defer func() {
		if err != nil {
			screen.breakOff()
		}
	}()
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || data == "[DONE]" {
			continue
		}
		var c chunk
		if err := json.Unmarshal([]byte(data), &c); err != nil {
			return got, fmt.Errorf("read the gateway's answer: %w", err)
		}
		if c.Error != nil {
			return got, a.failure(c)
		}
		for _, choice := range c.Choices {
			shown := choice.Delta.Content
			if thinking {
				shown = choice.Delta.shown(thought.Len() > 0 && text.Len() == 0)
				thought.WriteString(choice.Delta.Reasoning)
			}
			text.WriteString(choice.Delta.Content)
			if shown != "" {
				begun()
			}
			if !a.json {
				screen.write(shown)
			}
			if choice.Finish != "" {
				got.Finish = choice.Finish
			}
		}
		if c.Usage.Input > 0 {
			got.Input, got.Output = c.Usage.Input, c.Usage.Output
		}
		if d := c.Daulat; d != nil {
			got.Receipt, got.Price, got.Model, got.ModelID, got.Label = d.Receipt, d.Price, c.Model, d.ModelID, d.Label
		}
	}
	if err := lines.Err(); err != nil {
		return got, fmt.Errorf("read the gateway's answer: %w", err)
	}
	if got.Receipt == "" {
		return got, errors.New("the answer broke off")
	}
	got.Text, got.Thought = text.String(), thought.String()
	return got, nil
}

// sayAnswer ends the answer's last line, and follows it after one blank line.
func sayAnswer(w io.Writer, a answer) {
	fmt.Fprintf(w, "\n\n%s for %d udlt · receipt %s", control.Count(a.Output, "token"), a.Price, line(a.Receipt))
	if a.Label != "" {
		fmt.Fprintf(w, " · %s", line(a.Label))
	}
	if a.Finish == "length" {
		fmt.Fprintf(w, " · cut at %s", control.Count(a.Output, "token"))
	}
	fmt.Fprintln(w)
}
