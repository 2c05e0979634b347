package control

import (
	"errors"
	"time"
)

// WrongInput is a mistake of the user's: what was given can never be right.
type WrongInput struct{ Err error }

func (w WrongInput) Error() string { return w.Err.Error() }

// Unwrap returns the mistake.
func (w WrongInput) Unwrap() error { return w.Err }

// ErrNotRunning says that no daulat runs in a home.
var ErrNotRunning = errors.New("no daulat runs in this home")

// Progress is told what a long operation is doing.
type Progress func(step string)

// How long a new network withholds pay, in seconds: a network that people use, and
// one that is tried out.
const (
	DefaultChallengeWindow = 24 * 3600
	TrialChallengeWindow   = 20
)

// DefaultKeyDelay is how long a new identity key waits on a new network, in seconds.
const DefaultKeyDelay = 60

// UpOptions say how to run a whole network on one machine.
type UpOptions struct {
	Home   string
	Listen string // address of gateway and page; port 0 takes a free one
	// AnyPort lets a free port replace a taken one.
	AnyPort bool
	Model   string // name on the shelf, GGUF file or its https address, to serve instead of the default model
	SHA256  string // that the file at Model's address must have, in hexadecimal; may be empty
	Noise   bool   // serve the generated noise model
	// Network is an invite to a network of others; this home then asks there and
	// founds none. A home that has joined remembers it.
	Network string
	Link    string // IP:PORT at which other peers reach this one; by default a port of loopback
	// ChallengeWindow is how long pay is withheld, in seconds; it counts when
	// the network is created; 0 is the default.
	ChallengeWindow uint64
	// KeyDelay is how long a new identity key waits until it takes over, in
	// seconds; it counts when the network is created; 0 is the default.
	KeyDelay   uint64
	Choice     Choice
	Passphrase Passphrase
}

// Choice is whom a home lets answer.
type Choice struct {
	Providers []string `json:"providers,omitempty"` // accounts; nobody else, if there are any
	Not       []string `json:"not,omitempty"`       // accounts
	Spread    bool     `json:"spread,omitempty"`    // different owners one after the other
	PerOwner  uint64   `json:"per_owner,omitempty"` // sessions that are open with one owner at a time; 0: any number
}

// Passphrase asks the user for the passphrase of a home's keys, fresh if there
// are none yet. Nil leaves a random one in the home.
type Passphrase = func(fresh bool) (string, error)

// PullOptions say which model to download; without an address, the default one.
type PullOptions struct {
	Home    string
	URL     string
	SHA256  string // that the file must have, in hexadecimal; may be empty
	Name    string // to ask for it by; by default the address's last part
	Licence string // SPDX
}

// Ready is what a started daulat tells its user.
type Ready struct {
	API     string `json:"api"`   // base of the OpenAI-compatible API, with /v1
	Page    string `json:"page"`  // with the token in the fragment
	Token   string `json:"token"` // bearer token
	Trust   string `json:"trust"` // for `daulat verify --trust`
	Model   string `json:"model"` // name
	ModelID string `json:"model_id"`
	Ledger  string `json:"ledger,omitempty"` // RPC address, for `daulat provide --ledger`
	REST    string `json:"rest,omitempty"`   // the ledger's queries as HTTP with JSON
	GRPC    string `json:"grpc,omitempty"`   // the same as gRPC
}

// ProvideOptions say how to sell answers from a process of its own.
type ProvideOptions struct {
	Home   string
	Invite string // to a network; a home that has joined one remembers it
	Ledger string // RPC address of a node on this machine, instead of a network
	Listen string // address of the page; by default a free port of loopback
	Link   string // IP:PORT at which other peers reach this one; by default a port of loopback
	Model  string // name or ID of a model on the home's shelf, or of a server's
	// Upstream is the address of an OpenAI-compatible server whose models are offered,
	// UpstreamNone, or empty to look for one on this machine.
	Upstream    string
	UpstreamKey string   // bearer token that the server wants
	Probe       []string // addresses at which to look for one
	InputPrice  uint64   // udlt per 1,000 tokens
	OutputPrice uint64   // udlt per 1,000 tokens
	Manners     Manners
	Passphrase  Passphrase
}

// UpstreamNone has a provider look for no server of models.
const UpstreamNone = "none"

// Manners are what the owner of a machine lets others have of it.
type Manners struct {
	WhenIdle  time.Duration // without the owner's input and other programs' hard work; 0 asks for nothing
	Quiet     string        // hours of the day, such as 22:00-07:00, in which it rests; none if empty
	OnBattery bool          // it works on battery too
	Processor int           // percent of all processors; 0 means all
	Memory    uint64        // bytes; 0 sets no bound
}

// Providing is what a provider that serves tells its user.
type Providing struct {
	Account string  `json:"account"`
	Model   string  `json:"model"` // the first of them
	ModelID string  `json:"model_id"`
	Price   Price   `json:"price_udlt_per_1000"`
	Models  []Model `json:"models"`
	Label   string  `json:"label,omitempty"` // of all of them
	// Upstreams are the addresses of the servers that have the models, if servers do.
	Upstreams []string `json:"upstreams,omitempty"`
	Page      string   `json:"page"` // with the token in the fragment
}

// VerifyOptions say what to check, and on whose word the ledger rests.
type VerifyOptions struct {
	Home   string
	Bundle []byte
	Trust  string // trust line or invite; empty for that of the home's network
	Model  string // GGUF file to use instead of fetching one
	// Replay is with what the answer of a declared model is read again: a GGUF file, a model of the home, or the
	// address of a llama.cpp server; Against is the same by what may have been run instead.
	Replay    string
	Against   map[string]string
	ReplayKey string // bearer token that these servers want
}

// Report is the outcome of a check.
type Report struct {
	Verdict  string `json:"verdict"` // agree, disagree, inconclusive, unavailable, unaudited or consistent
	Line     string `json:"line"`    // in one sentence
	Receipt  string `json:"receipt"`
	Chain    string `json:"chain"`
	Height   int64  `json:"height"` // of the block that proves the settled receipt
	Model    string `json:"model"`
	ModelID  string `json:"model_id"`
	Label    string `json:"label,omitempty"`
	Digest   string `json:"digest,omitempty"` // of a declared model, by its provider's word
	Provider string `json:"provider"`
	Price    uint64 `json:"price_udlt"`
	Input    int    `json:"input_tokens"`
	Output   int    `json:"output_tokens"`
	Trust    string `json:"trust,omitempty"` // whose word the check rests on, if the home chose it
	Steps    []Step `json:"steps"`
	// Replay is what a declared model's answer was found to fit, if that was asked for.
	Replay *Replay `json:"replay,omitempty"`
}

// Replay is a statistical statement, by this home alone.
type Replay struct {
	With       string       `json:"with"`
	Tokens     int          `json:"tokens"`      // of the answer that were judged
	FalseAlarm float64      `json:"false_alarm"` // chance that an honest answer does not fit, all tests together
	Tests      []ReplayTest `json:"tests"`
}

// ReplayTest compares the replay with something else that may have been run.
type ReplayTest struct {
	Against   string  `json:"against"`
	Statistic float64 `json:"statistic"` // nats
	Threshold float64 `json:"threshold"` // from which on it does not fit
	// Power is the least chance that such an answer would be seen; nothing where it is not measured.
	Power *float64 `json:"power,omitempty"`
}

// Step is one thing that was checked.
type Step struct {
	Name   string `json:"name"`
	Detail string `json:"detail"`
	OK     bool   `json:"ok"`
}

// Model is a model that a home knows.
type Model struct {
	Name string `json:"model"`
	ID   string `json:"model_id"` // manifest
}

// Attached is a running daulat, as its home describes it.
type Attached struct {
	Ready
	Operations Operations `json:"-"`
}
