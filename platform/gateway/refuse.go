package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"daulat/platform/gateway/openai"
)

// refuse writes an error reply.
func refuse(w http.ResponseWriter, e *openai.Error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Status)
	_, _ = w.Write(e.Encode()) // a client that left needs no answer
}

// refuseErr translates err and adds what tells clients when to try again.
func refuseErr(w http.ResponseWriter, err error) {
	e := translate(err)
	var busy ErrBusy
	switch {
	case errors.As(err, &busy):
		seconds := int64((busy.RetryAfter + time.Second - 1) / time.Second)
		w.Header().Set("Retry-After", strconv.FormatInt(max(seconds, 1), 10))
	case e.Code == "insufficient_quota":
		w.Header().Set("X-Should-Retry", "false") // official clients would repeat every 429
	}
	refuse(w, e)
}

// translate finds the status and codes for an error. The text of an error that
// no case knows stays in the log: it may tell what clients must not learn.
func translate(err error) *openai.Error {
	var (
		refusal    *openai.Error
		prompt     ErrPrompt
		busy       ErrBusy
		noProvider ErrNoProvider
	)
	switch {
	case errors.As(err, &refusal):
		return refusal
	case errors.As(err, &prompt):
		bad := openai.Bad(prompt.Param, "%s", prompt.Reason)
		bad.Code = prompt.Code
		return bad
	case errors.Is(err, ErrUnknownModel):
		return &openai.Error{Status: http.StatusNotFound, Message: err.Error(), Type: "invalid_request_error", Param: "model", Code: "model_not_found"}
	case errors.As(err, &busy):
		return &openai.Error{Status: http.StatusTooManyRequests, Message: busy.Error(), Type: "rate_limit_error", Code: "rate_limit_exceeded"}
	case errors.Is(err, ErrSpend):
		return &openai.Error{Status: http.StatusTooManyRequests, Message: err.Error(), Type: "insufficient_quota", Code: "insufficient_quota"}
	case errors.As(err, &noProvider):
		return &openai.Error{Status: http.StatusServiceUnavailable, Message: noProvider.Error(), Type: "server_error", Code: "no_provider"}
	case errors.Is(err, context.DeadlineExceeded):
		return &openai.Error{Status: http.StatusGatewayTimeout, Message: "the answer took too long", Type: "server_error", Code: "timeout"}
	case errors.Is(err, context.Canceled):
		return &openai.Error{Status: http.StatusServiceUnavailable, Message: "the answer was cancelled", Type: "server_error", Code: "cancelled"}
	}
	return &openai.Error{Status: http.StatusBadGateway, Message: "the answer failed; the log of this node says why", Type: "server_error", Code: "answer_failed"}
}
