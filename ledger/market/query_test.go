package market

import (
	"testing"

	"github.com/cosmos/cosmos-sdk/types/query"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"daulat/core/job"
	pb "daulat/gen/market"
	"daulat/ledger/record"
)

func TestQueries(t *testing.T) {
	w := busyWorld(t)
	q := queries{w.store}
	c, p, stranger := w.actor(1), w.actor(2), w.actor(3)

	params, err := q.Params(w.ctx, &pb.QueryParams{})
	if w.check(err); params.Params.CloseWindow != 70 {
		t.Fatalf("%+v", params)
	}
	order, err := q.Order(w.ctx, &pb.QueryOrder{Id: 12})
	if w.check(err); order.Order.State != "open" || order.Order.Explanation == "" || order.Order.Terms.Escrow != 10_000 {
		t.Fatalf("%+v", order)
	}
	session, err := q.Session(w.ctx, &pb.QuerySession{Id: 7})
	w.check(err)
	if s := session.Session; s.State != "closing" || s.Reason != string(job.ReasonProvider) || s.Claim.ReceiptAmount != 66 ||
		s.Claim.VoucherAmount != 60 || s.Claim.Chain != chainID || s.Provider != p.account {
		t.Fatalf("%+v", s)
	}
	for _, id := range []uint64{0, 1 << 40} {
		_, err1 := q.Order(w.ctx, &pb.QueryOrder{Id: id})
		_, err2 := q.Session(w.ctx, &pb.QuerySession{Id: id})
		if status.Code(err1) != codes.NotFound || status.Code(err2) != codes.NotFound {
			t.Fatalf("%v %v", err1, err2)
		}
	}

	for _, want := range []struct {
		party, state string
		n            int
	}{{"", "", 5}, {c.account, "", 5}, {p.account, "", 5}, {stranger.account, "", 0}, {p.account, "open", 2},
		{"", "settled", 1}, {c.account, "none", 0}} {
		r, err := q.Sessions(w.ctx, &pb.QuerySessions{Party: want.party, State: want.state})
		if w.check(err); len(r.Sessions) != want.n {
			t.Errorf("%+v: got %d", want, len(r.Sessions))
		}
	}
	for party, n := range map[string]int{"": 8, c.account: 8, p.account: 0} {
		r, err := q.Orders(w.ctx, &pb.QueryOrders{Party: party})
		if w.check(err); len(r.Orders) != n {
			t.Errorf("orders of %q: got %d", party, len(r.Orders))
		}
	}
	if _, err := q.Orders(w.ctx, &pb.QueryOrders{Party: "nobody"}); status.Code(err) != codes.InvalidArgument {
		t.Fatal(err)
	}
}

func TestPagesAreBounded(t *testing.T) {
	w := newWorld(t)
	c := w.actor(1)
	terms := testTerms()
	terms.Escrow = 100
	const total = 2*record.MaxPage + 3
	w.placeMany(c, total, terms)
	for _, party := range []string{"", c.account} {
		var seen uint64
		page := &query.PageRequest{Limit: 1 << 60}
		for {
			r, err := queries{w.store}.Orders(w.ctx, &pb.QueryOrders{Party: party, Pagination: page})
			w.check(err)
			if len(r.Orders) > record.MaxPage {
				t.Fatalf("a page has %d entries", len(r.Orders))
			}
			for _, o := range r.Orders {
				if seen++; o.Id != seen {
					t.Fatalf("order %d comes as number %d", o.Id, seen)
				}
			}
			if page.Key = r.Pagination.NextKey; page.Key == nil {
				break
			}
		}
		if seen != total {
			t.Fatalf("pages show %d of %d orders", seen, total)
		}
	}
	for _, page := range []*query.PageRequest{{Offset: 1}, {CountTotal: true}} {
		if _, err := (queries{w.store}).Orders(w.ctx, &pb.QueryOrders{Pagination: page}); status.Code(err) != codes.InvalidArgument {
			t.Fatalf("%+v: %v", page, err)
		}
	}
}

// A page key comes from outside: whatever it holds, a query ends in an answer
// or an error, and shows nothing of another party.
func FuzzPageKey(f *testing.F) {
	w := busyWorld(f)
	c := w.actor(1)
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 6}, false)
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\xff"), true)
	f.Add([]byte{1}, true)
	f.Fuzz(func(t *testing.T, key []byte, reverse bool) {
		page := &query.PageRequest{Key: key, Reverse: reverse}
		r, err := queries{w.store}.Orders(w.ctx, &pb.QueryOrders{Party: c.account, Pagination: page})
		if err != nil {
			return
		}
		for _, o := range r.Orders {
			if o.Consumer != c.account {
				t.Fatalf("order of %s", o.Consumer)
			}
		}
	})
}
