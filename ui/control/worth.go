package control

import "time"

// Hardware is what this machine is. Amounts are bytes; what is 0 or empty is not
// known, and Unknown says why.
type Hardware struct {
	Line        string   `json:"line"` // the machine in one sentence
	OS          string   `json:"os"`
	Arch        string   `json:"arch"`
	CPU         string   `json:"cpu,omitempty"`
	Cores       int      `json:"cores"`
	Features    []string `json:"features"`
	MemoryTotal uint64   `json:"memory_bytes,omitempty"`
	MemoryFree  uint64   `json:"memory_free_bytes,omitempty"`
	GPUs        []GPU    `json:"gpus"`
	Unknown     []string `json:"unknown,omitempty"`
}

// GPU is one graphics card.
type GPU struct {
	Vendor      string `json:"vendor"`
	Name        string `json:"name"`
	Bus         string `json:"bus,omitempty"`
	Driver      string `json:"driver,omitempty"`
	MemoryTotal uint64 `json:"memory_bytes,omitempty"`
	MemoryFree  uint64 `json:"memory_free_bytes,omitempty"`
}

// Power is what the user says of electricity; nil is not known.
type Power struct {
	Watts  *uint64
	PerKWh *uint64 // udlt
}

// Estimate is what a machine would earn by serving a model, before anything starts.
type Estimate struct {
	Hardware Hardware `json:"hardware"`
	Model    string   `json:"model"`
	ModelID  string   `json:"model_id"`
	Label    string   `json:"label,omitempty"`  // what is to be shown beside it
	Server   string   `json:"server,omitempty"` // that runs it, with all Models that would be offered
	Models   int      `json:"server_models,omitempty"`
	Speed    Speed    `json:"speed"`
	Price    Price    `json:"price_udlt_per_1000"`
	// The request that is reckoned with.
	Prompt       uint64       `json:"request_prompt_tokens"`
	Answer       uint64       `json:"request_answer_tokens"`
	PerRequest   uint64       `json:"request_pay_udlt"`
	RequestMicro uint64       `json:"request_microseconds"`
	Full         EstimatedDay `json:"full_use"`
	Present      EstimatedDay `json:"present_use"`
	Use          Use          `json:"network"`
	Milliwatts   uint64       `json:"milliwatts,omitempty"`
	PowerFrom    string       `json:"power_from"` // where Milliwatts come from, or how to state them
}

// Speed is a rate for one answer at a time, in thousandths of a token per second.
type Speed struct {
	Prefill  uint64    `json:"prefill_millitokens_per_second"`
	Decode   uint64    `json:"decode_millitokens_per_second"`
	Rounds   uint64    `json:"rounds"`
	Measured time.Time `json:"measured"`
}

// EstimatedDay is pay and cost of 24 hours; nil is not known.
type EstimatedDay struct {
	Pay         uint64  `json:"pay_udlt"`
	WattHours   *uint64 `json:"watt_hours,omitempty"`
	Electricity *uint64 `json:"electricity_udlt,omitempty"`
	Result      *int64  `json:"result_udlt,omitempty"`
}

// Use is what the network paid for the model in the last hours.
type Use struct {
	Seconds   uint64 `json:"seconds"`
	Sessions  uint64 `json:"sessions"`
	Paid      uint64 `json:"paid_udlt"`
	Providers uint64 `json:"providers"`
	Slots     uint64 `json:"slots"`
}

// Service is a unit of the user's service manager.
type Service struct {
	Unit  string `json:"unit"`            // its file
	Start string `json:"start,omitempty"` // the command that starts it, now and at each login
	Log   string `json:"log,omitempty"`   // the command that shows what it says
	Stop  string `json:"stop,omitempty"`  // the command that ends it
	Lacks string `json:"lacks,omitempty"` // what of this process it does not have, and how to give it that
}
