package openai

import (
	"fmt"
	"net/http"
)

// Error is a refusal in the form that OpenAI's client libraries understand.
type Error struct {
	Status  int    // HTTP status
	Message string // one sentence for a person
	Type    string // invalid_request_error, rate_limit_error, …
	Param   string // the parameter at fault, or ""
	Code    string // what a program switches on, or ""
}

func (e *Error) Error() string { return e.Message }

// Bad is a 400 that names the parameter at fault.
func Bad(param, format string, args ...any) *Error {
	return &Error{http.StatusBadRequest, fmt.Sprintf(format, args...), "invalid_request_error", param, ""}
}

// Encode is the body of the error reply.
func (e *Error) Encode() []byte { return encode(e.body()) }

// Event is the error as a server-sent event, for an answer that already began.
func (e *Error) Event() []byte { return event(e.body()) }

func (e *Error) body() any {
	type detail struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	return struct {
		Error detail `json:"error"`
	}{detail{e.Message, e.Type, nullable(e.Param), nullable(e.Code)}}
}

func nullable(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
