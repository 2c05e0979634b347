package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode/utf8"

	"daulat/platform/gateway/openai"
)

// maxAnswer bounds the text of one answer, in bytes.
const maxAnswer = 8 << 20

type decoder func(body []byte) (openai.Request, *openai.Error)

// answers handles the calls that run a model.
func (g *Gateway) answers(decode decoder) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &answer{g: g, w: w, control: http.NewResponseController(w), account: r.Context().Value(accountKey{}).(*account)}
		if err := a.serve(r, decode); err != nil {
			a.fail(r.Context(), err)
		}
	})
}

// answer is one request on its way.
type answer struct {
	g       *Gateway
	w       http.ResponseWriter
	control *http.ResponseController
	account *account
	request openai.Request
	cancel  context.CancelFunc

	admission Admission
	reserved  reservation
	begun     bool // admitted, and the spend is reserved
	streaming bool // the reply's status is on its way
	reply     openai.Reply
	pieces    openai.Pieces
	event     []byte          // memory for the events of pieces
	text      strings.Builder // what does not stream
	thought   strings.Builder // before it
	size      int
	tokens    []AnswerToken // with log-probabilities, that were not sent yet
	torn      []byte        // the start of a character whose rest comes in the next piece
}

func (a *answer) serve(r *http.Request, decode decoder) error {
	if !a.account.enter() {
		return ErrBusy{time.Second}
	}
	defer a.account.leave()
	body, err := a.read(r)
	if err != nil {
		return err
	}
	request, refusal := decode(body)
	if refusal != nil {
		return refusal
	}
	a.request = request

	ctx, cancel := context.WithTimeout(r.Context(), a.g.AnswerTimeout)
	defer cancel()
	defer context.AfterFunc(a.account.revoked, cancel)()
	a.cancel = cancel
	if err := a.g.queue.enter(ctx); err != nil {
		return err
	}
	defer a.g.queue.leave()
	result, err := a.g.Backend.Answer(ctx, request.Prompt, a.begin, a.piece)
	a.settle(result, err)
	if err != nil {
		return err
	}
	return a.end(result)
}

func (a *answer) read(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(a.w, r.Body, openai.MaxBody))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return nil, &openai.Error{Status: http.StatusRequestEntityTooLarge, Message: fmt.Sprintf("the body is larger than %d bytes", openai.MaxBody), Type: "invalid_request_error", Code: "request_too_large"}
	}
	if err != nil {
		return nil, openai.Bad("", "the body could not be read")
	}
	return body, nil
}

func (a *answer) begin(ad Admission) error {
	if a.begun {
		return errors.New("the answer was admitted twice")
	}
	now := a.g.Now()
	reserved, err := a.account.reserve(now, ad.Ceiling)
	if err != nil {
		return err
	}
	a.begun, a.admission, a.reserved = true, ad, reserved
	a.reply = openai.Reply{Receipt: ad.Receipt, Model: ad.Model, ModelID: ad.ModelID, Created: now.Unix(), Chat: a.request.Chat, Usage: a.request.IncludeUsage, Logprobs: a.request.Logprobs > 0}
	header := a.w.Header()
	header.Set("Daulat-Receipt", ad.Receipt)
	if !a.request.Stream {
		return nil
	}
	a.streaming, a.pieces = true, a.reply.Pieces()
	header.Set("Content-Type", "text/event-stream")
	header.Set("X-Accel-Buffering", "no")
	return a.send(a.reply.Begin())
}

func (a *answer) piece(text string, tokens ...AnswerToken) error {
	if !a.begun {
		return errors.New("text came before the answer was admitted")
	}
	if a.size += len(text); a.size > maxAnswer {
		return fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	if len(tokens) == 1 && tokens[0].Reasoning != "" {
		return a.think(tokens[0].Reasoning)
	}
	a.tokens = append(a.tokens, tokens...)
	if !a.request.Stream {
		a.text.WriteString(text)
		return nil
	}
	a.torn = append(a.torn, text...)
	whole := wholeRunes(a.torn)
	if whole == 0 && (len(a.torn) > 0 || len(a.tokens) == 0) {
		return nil
	}
	return a.send(a.next(whole))
}

// think passes on what the model thinks before it answers.
func (a *answer) think(text string) error {
	if a.size += len(text); a.size > maxAnswer {
		return fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	if !a.request.Stream {
		a.thought.WriteString(text)
		return nil
	}
	return a.send(a.reply.Thought(text))
}

// next is the event for the first bytes of what is torn, and for all tokens that wait.
func (a *answer) next(size int) []byte {
	text := string(a.torn[:size])
	a.torn = append(a.torn[:0], a.torn[size:]...)
	if len(a.tokens) > 0 {
		a.event = a.reply.Piece(text, a.tokens)
		a.tokens = a.tokens[:0]
		return a.event
	}
	a.event = a.pieces.Append(a.event[:0], text)
	return a.event
}

// wholeRunes is how many bytes of b come before an unfinished last character.
func wholeRunes(b []byte) int {
	for back := 1; back < utf8.UTFMax && back <= len(b); back++ {
		if last := len(b) - back; utf8.RuneStart(b[last]) {
			if !utf8.FullRune(b[last:]) {
				return last
			}
			break
		}
	}
	return len(b)
}

// send writes events through to the client. A client that does not take them
// ends the request, even under a backend that ignores the error.
func (a *answer) send(events []byte) error {
	_, err := a.w.Write(events)
	if err == nil {
		err = a.control.Flush()
	}
	if err != nil {
		a.cancel()
		return fmt.Errorf("send to the client: %w", err)
	}
	return nil
}

// settle turns what was reserved into what was paid.
func (a *answer) settle(result Result, failed error) {
	if !a.begun || failed != nil && result.Receipt == "" {
		return
	}
	if err := a.account.settle(a.reserved, result.Price+result.Beside); err != nil {
		a.g.Log.Error("settling the spend of a token failed", "token", a.account.Name, "receipt", a.admission.Receipt, "error", err)
	}
}

func (a *answer) end(result Result) error {
	if !a.begun {
		return errors.New("the answer ended without being admitted")
	}
	a.reply.Calls = result.Calls
	usage := openai.Usage{Input: result.Input, Output: result.Output}
	extra := openai.Daulat{Receipt: result.Receipt, Price: result.Price, ModelID: a.admission.ModelID, Label: result.ModelLabel, Provider: result.Provider}
	if a.streaming {
		var rest []byte
		if len(a.torn) > 0 || len(a.tokens) > 0 {
			rest = a.next(len(a.torn))
		}
		return a.send(append(rest, a.reply.End(result.Finish, usage, extra)...))
	}
	a.w.Header().Set("Content-Type", "application/json")
	a.w.Header().Set("Daulat-Receipt", result.Receipt)
	a.reply.Receipt, a.reply.Reasoning = result.Receipt, a.thought.String()
	_, err := a.w.Write(a.reply.Whole(a.text.String(), a.tokens, result.Finish, usage, extra))
	if err != nil {
		a.g.Log.Debug("a client left before its answer", "receipt", a.admission.Receipt, "error", err)
	}
	return nil
}

// fail tells the client why there is no answer, or no more of it.
func (a *answer) fail(ctx context.Context, err error) {
	e := translate(err)
	level := slog.LevelDebug
	if e.Status >= http.StatusInternalServerError && ctx.Err() == nil {
		level = slog.LevelWarn // not the client's doing
	}
	a.g.Log.Log(ctx, level, "an answer failed", "token", a.account.Name, "receipt", a.admission.Receipt, "error", err)
	if a.streaming {
		_ = a.send(e.Event()) // the log has it; the client may have left
		return
	}
	refuseErr(a.w, err)
}

func (g *Gateway) models(w http.ResponseWriter, r *http.Request) {
	models, err := g.Backend.Models(r.Context())
	if err != nil {
		g.Log.Warn("listing the models failed", "error", err)
		refuseErr(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(openai.Models(models))
}

func (g *Gateway) model(w http.ResponseWriter, r *http.Request) {
	models, err := g.Backend.Models(r.Context())
	if err != nil {
		g.Log.Warn("listing the models failed", "error", err)
		refuseErr(w, err)
		return
	}
	for _, m := range models {
		if m.Name == r.PathValue("name") {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(m.Encode())
			return
		}
	}
	refuseErr(w, ErrUnknownModel)
}

func unknown(w http.ResponseWriter, r *http.Request) {
	refuse(w, &openai.Error{Status: http.StatusNotFound, Message: fmt.Sprintf("%s %s is not served here", r.Method, r.URL.Path), Type: "invalid_request_error", Code: "unknown_url"})
}
