package client

import (
	"context"
	"errors"
	"fmt"
	"time"

	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkquery "github.com/cosmos/cosmos-sdk/types/query"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	govv1 "github.com/cosmos/cosmos-sdk/x/gov/types/v1"
	upgradetypes "github.com/cosmos/cosmos-sdk/x/upgrade/types"
	"github.com/cosmos/gogoproto/proto"
)

const (
	govQuery     = "/cosmos.gov.v1.Query/"
	upgradeQuery = "/cosmos.upgrade.v1beta1.Query/"
)

// Proposal is an upgrade that governance votes on, or voted on.
type Proposal struct {
	ID     uint64
	Plan   string
	Height int64     // the first block under the new rules
	State  string    // voting, passed, rejected or failed
	Ends   time.Time // of the vote
}

// Plan is an upgrade that is decided, and whose height is not reached.
type Plan struct {
	Name   string
	Height int64
}

// ProposeUpgrade asks the validators to change the program at a height, and locks
// the deposit that the ledger wants for it.
func (c *Client) ProposeUpgrade(ctx context.Context, name string, height int64) (id uint64, err error) {
	var p govv1.QueryParamsResponse
	if err := c.query(ctx, govQuery+"Params", &govv1.QueryParamsRequest{}, &p); err != nil || p.Params == nil {
		return 0, fmt.Errorf("rules of governance: %w", errors.Join(err, missing(p.Params == nil)))
	}
	plan := &upgradetypes.MsgSoftwareUpgrade{Authority: governance(), Plan: upgradetypes.Plan{Name: name, Height: height}}
	title := fmt.Sprintf("Upgrade %s at block %d", name, height)
	m, err := govv1.NewMsgSubmitProposal([]sdk.Msg{plan}, p.Params.MinDeposit, c.Account(), "", title, title, false)
	if err != nil {
		return 0, err
	}
	var r govv1.MsgSubmitProposalResponse
	err = c.send(ctx, &r, m)
	return r.ProposalId, wrap(err, "propose an upgrade")
}

func missing(is bool) error {
	if is {
		return ErrNotFound
	}
	return nil
}

func governance() string {
	text, err := prefixed("").BytesToString(authtypes.NewModuleAddress(govtypes.ModuleName))
	if err != nil {
		panic(err) // it is a constant
	}
	return text
}

// Vote says whether the account, with all that it staked, is for a proposal.
func (c *Client) Vote(ctx context.Context, proposal uint64, yes bool) error {
	option := govv1.OptionNo
	if yes {
		option = govv1.OptionYes
	}
	return wrap(c.send(ctx, nil, &govv1.MsgVote{ProposalId: proposal, Voter: c.Account(), Option: option}), "vote on proposal %d", proposal)
}

// Proposals lists the upgrades that were ever proposed, the oldest first.
func (c *Client) Proposals(ctx context.Context) ([]Proposal, error) {
	all, err := list(func(page *sdkquery.PageRequest) ([]*govv1.Proposal, *sdkquery.PageResponse, error) {
		var r govv1.QueryProposalsResponse
		err := c.query(ctx, govQuery+"Proposals", &govv1.QueryProposalsRequest{Pagination: page}, &r)
		return r.Proposals, r.Pagination, err
	})
	if err != nil {
		return nil, fmt.Errorf("list proposals: %w", err)
	}
	var out []Proposal
	for _, p := range all {
		if of, ok := parseProposal(p); ok {
			out = append(out, of)
		}
	}
	return out, nil
}

// parseProposal reads a proposal of one upgrade; all others are none.
func parseProposal(w *govv1.Proposal) (p Proposal, ok bool) {
	if len(w.Messages) != 1 || w.Messages[0].TypeUrl != sdk.MsgTypeURL(&upgradetypes.MsgSoftwareUpgrade{}) {
		return p, false
	}
	var m upgradetypes.MsgSoftwareUpgrade
	if err := proto.Unmarshal(w.Messages[0].Value, &m); err != nil {
		return p, false
	}
	p = Proposal{ID: w.Id, Plan: m.Plan.Name, Height: m.Plan.Height, State: states[w.Status]}
	if w.VotingEndTime != nil {
		p.Ends = *w.VotingEndTime
	}
	return p, true
}

var states = map[govv1.ProposalStatus]string{
	govv1.StatusDepositPeriod: "deposit", govv1.StatusVotingPeriod: "voting",
	govv1.StatusPassed: "passed", govv1.StatusRejected: "rejected", govv1.StatusFailed: "failed",
}

// Planned is the upgrade that is to come, and ErrNotFound if none is.
func (c *Client) Planned(ctx context.Context) (Plan, error) {
	var r upgradetypes.QueryCurrentPlanResponse
	if err := c.query(ctx, upgradeQuery+"CurrentPlan", &upgradetypes.QueryCurrentPlanRequest{}, &r); err != nil {
		return Plan{}, fmt.Errorf("planned upgrade: %w", err)
	}
	if r.Plan == nil {
		return Plan{}, fmt.Errorf("planned upgrade: %w", ErrNotFound)
	}
	return Plan{Name: r.Plan.Name, Height: r.Plan.Height}, nil
}
