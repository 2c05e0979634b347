package market

import (
	"context"
	"errors"
	"fmt"

	"cosmossdk.io/collections"
	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"

	"daulat/core/escrow"
	"daulat/core/job"
	pb "daulat/gen/market"
	"daulat/ledger/record"
)

// MaxComplaints is the most complaints about one session.
const MaxComplaints = 8

// server answers messages. It may assume that the account that a message's
// signer option names did sign it, and that an error undoes the message.
type server struct{ *Store }

var _ pb.MsgServer = server{}

// PlaceOrder locks escrow and waits for a match.
func (s server) PlaceOrder(ctx context.Context, m *pb.MsgPlaceOrder) (*pb.MsgPlaceOrderResponse, error) {
	consumer, err := record.Account(s.addresses, m.Consumer)
	if err != nil {
		return nil, refuse(err)
	}
	key, err := record.Key("session key", m.SessionKey)
	if err != nil {
		return nil, refuse(err)
	}
	terms, err := s.parseTerms(m.Terms)
	if err != nil {
		return nil, refuse(err)
	}
	held, err := record.OrZero(s.held.Get(ctx, consumer))
	if err != nil {
		return nil, err
	}
	if err := job.MayPlace(held); err != nil {
		return nil, refuse(err)
	}
	id, err := s.next.Get(ctx)
	if err != nil {
		return nil, err
	}
	order, err := job.Place(id, consumer, key, terms, record.Time(ctx))
	if err != nil {
		return nil, refuse(err)
	}
	if err := s.vault.Lock(ctx, consumer, terms.Escrow); err != nil {
		return nil, err
	}
	if err := s.putOrder(ctx, job.Order{}, order); err != nil {
		return nil, err
	}
	record.Event(ctx, "order_placed", "order", record.Number(id), "consumer", consumer)
	return &pb.MsgPlaceOrderResponse{Order: id}, s.next.Set(ctx, id+1)
}

// CancelOrder takes an open order back and refunds its escrow.
func (s server) CancelOrder(ctx context.Context, m *pb.MsgCancelOrder) (*pb.MsgCancelOrderResponse, error) {
	consumer, err := record.Account(s.addresses, m.Consumer)
	if err != nil {
		return nil, refuse(err)
	}
	before, err := s.order(ctx, m.Order)
	if err != nil {
		return nil, refuse(err)
	}
	after, err := before.Cancel(consumer)
	if err != nil {
		return nil, refuse(err)
	}
	return &pb.MsgCancelOrderResponse{}, s.closeOrder(ctx, before, after)
}

// closeOrder saves an order that ended without a match and refunds its escrow.
func (s *Store) closeOrder(ctx context.Context, before, after job.Order) error {
	if err := s.putOrder(ctx, before, after); err != nil {
		return err
	}
	record.Event(ctx, "order_closed", "order", record.Number(after.ID), "state", string(after.State))
	return s.pay(ctx, after.ID, escrow.Payment{To: after.Consumer, Amount: after.Terms.Escrow})
}

// TopUp locks more in an open session.
func (s server) TopUp(ctx context.Context, m *pb.MsgTopUp) (*pb.MsgTopUpResponse, error) {
	consumer, err := record.Account(s.addresses, m.Consumer)
	if err != nil {
		return nil, refuse(err)
	}
	if m.Amount == 0 {
		return nil, refuse(errors.New("top up: amount is zero"))
	}
	before, err := s.session(ctx, m.Session)
	if err != nil {
		return nil, refuse(err)
	}
	after, err := before.TopUp(consumer, m.Amount)
	if err != nil {
		return nil, refuse(err)
	}
	if err := s.vault.Lock(ctx, consumer, m.Amount); err != nil {
		return nil, err
	}
	record.Event(ctx, "session_topped_up", "session", record.Number(after.ID), "amount", record.Number(m.Amount))
	return &pb.MsgTopUpResponse{}, s.putSession(ctx, before, after)
}

// CloseSession starts to close a session without a pair.
func (s server) CloseSession(ctx context.Context, m *pb.MsgCloseSession) (*pb.MsgCloseSessionResponse, error) {
	sender, err := record.Account(s.addresses, m.Sender)
	if err != nil {
		return nil, refuse(err)
	}
	before, err := s.session(ctx, m.Session)
	if err != nil {
		return nil, refuse(err)
	}
	after, err := before.Close(sender, record.Time(ctx))
	if err != nil {
		return nil, refuse(err)
	}
	return &pb.MsgCloseSessionResponse{}, s.advance(ctx, before, after, nil)
}

// Complain puts a consumer's complaint on record. Each sequence number of a
// session takes one; the same again is harmless.
func (s server) Complain(ctx context.Context, m *pb.MsgComplain) (*pb.MsgComplainResponse, error) {
	sender, err := record.Account(s.addresses, m.Sender)
	if err != nil {
		return nil, refuse(err)
	}
	signed, evidence, err := parseAccusation(m)
	if err != nil {
		return nil, refuse(err)
	}
	session, err := s.session(ctx, m.Session)
	if err != nil {
		return nil, refuse(err)
	}
	c := sdk.UnwrapSDKContext(ctx)
	c.GasMeter().ConsumeGas(authtypes.DefaultSigVerifyCostED25519, "signed receipt")
	complaint, err := session.Complain(sender, c.ChainID(), m.Seq, signed, evidence, record.Time(ctx))
	if err != nil {
		return nil, refuse(err)
	}
	isNew, err := s.admitComplaint(ctx, complaint)
	if err != nil || !isNew {
		return &pb.MsgComplainResponse{}, err
	}
	record.Event(ctx, "complaint_filed", "session", record.Number(complaint.Session), "seq", record.Number(complaint.Seq),
		"provider", complaint.Provider, "consumer", complaint.Consumer, "evidence", complaint.Evidence.String())
	return &pb.MsgComplainResponse{}, s.putComplaint(ctx, complaint)
}

// admitComplaint refuses a change of what is on record, and one complaint too
// many.
func (s server) admitComplaint(ctx context.Context, c job.Complaint) (isNew bool, err error) {
	old, err := s.complaints.Get(ctx, collections.Join(c.Session, c.Seq))
	if err == nil {
		c.Filed = old.Filed
		if c != old {
			return false, refuse(fmt.Errorf("another complaint about request %d of session %d is on record", c.Seq, c.Session))
		}
		return false, nil
	}
	if !errors.Is(err, collections.ErrNotFound) {
		return false, err
	}
	n := 0
	of := collections.NewPrefixedPairRange[uint64, uint64](c.Session)
	err = s.complaints.Walk(ctx, of, func(complaintKey, job.Complaint) (bool, error) {
		n++
		return false, nil
	})
	if err == nil && n >= MaxComplaints {
		err = refuse(fmt.Errorf("a session has at most %d complaints", MaxComplaints))
	}
	return err == nil, err
}

// advance saves a session's next state, says so, and pays.
func (s *Store) advance(ctx context.Context, before, after job.Session, payments []escrow.Payment) error {
	if err := s.putSession(ctx, before, after); err != nil {
		return err
	}
	if after.State != before.State {
		record.Event(ctx, "session_changed", "session", record.Number(after.ID), "state", string(after.State), "reason", string(after.Reason))
	}
	return s.pay(ctx, after.ID, payments...)
}

// order loads an order.
func (s *Store) order(ctx context.Context, id uint64) (job.Order, error) {
	o, err := s.orders.Get(ctx, id)
	if errors.Is(err, collections.ErrNotFound) {
		return o, fmt.Errorf("order %d: %w", id, errUnknown)
	}
	return o, err
}

// session loads a session.
func (s *Store) session(ctx context.Context, id uint64) (job.Session, error) {
	j, err := s.sessions.Get(ctx, id)
	if errors.Is(err, collections.ErrNotFound) {
		return j, fmt.Errorf("session %d: %w", id, errUnknown)
	}
	return j, err
}

var errUnknown = errors.New("it does not exist")

// refuse gives an error the code that clients act on.
func refuse(err error) error {
	switch {
	case errors.Is(err, errUnknown):
		return sdkerrors.ErrNotFound.Wrap(err.Error())
	case errors.Is(err, job.ErrStranger):
		return sdkerrors.ErrUnauthorized.Wrap(err.Error())
	}
	return sdkerrors.ErrInvalidRequest.Wrap(err.Error())
}
