package control

import (
	"fmt"
	"regexp"
)

// MaxAtOnce bounds the requests that one token may have at a time.
const MaxAtOnce = 1024

var tokenName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)

// TokenTerms are what an API token allows its bearer: asking, up to these limits.
type TokenTerms struct {
	Name   string `json:"name"`
	Daily  uint64 `json:"daily_udlt"` // for each UTC day
	AtOnce int    `json:"at_once"`    // requests
}

// Check refuses terms that no token has.
func (t TokenTerms) Check() error {
	switch {
	case !tokenName.MatchString(t.Name):
		return WrongInput{fmt.Errorf("token name %q is not 1 to 64 of a-z, 0-9, - and _, beginning with a letter or digit", t.Name)}
	case t.Daily == 0:
		return WrongInput{fmt.Errorf("token %s needs a daily limit above 0 udlt", t.Name)}
	case t.AtOnce < 1 || t.AtOnce > MaxAtOnce:
		return WrongInput{fmt.Errorf("token %s needs 1 to %d requests at once, not %d", t.Name, MaxAtOnce, t.AtOnce)}
	}
	return nil
}

// NewToken is a token that was just made, with the secret that is shown once.
type NewToken struct {
	TokenTerms
	Token string `json:"token"` // bearer token
}

// Token is a token's limits and what it spent of them.
type Token struct {
	TokenTerms
	Spent uint64 `json:"spent_today_udlt"` // what open requests may cost included
}
