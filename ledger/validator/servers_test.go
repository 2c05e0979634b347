package validator_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cosmos/cosmos-sdk/baseapp"
	"github.com/cosmos/cosmos-sdk/types/query"
	txtypes "github.com/cosmos/cosmos-sdk/types/tx"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	reflection "google.golang.org/grpc/reflection/grpc_reflection_v1alpha"
	"google.golang.org/grpc/status"

	"daulat/core/canon"
	"daulat/core/job"
	marketpb "daulat/gen/market"
	registrypb "daulat/gen/registry"
	"daulat/ledger/client"
	"daulat/ledger/validator"
)

type object = map[string]any

// send asks over HTTP and returns status and body.
func send(t *testing.T, method, address string, body io.Reader, change func(*http.Request)) (int, []byte) {
	t.Helper()
	r := must[*http.Request](t)(http.NewRequestWithContext(t.Context(), method, address, body))
	if change != nil {
		change(r)
	}
	transport := &http.Transport{DisableKeepAlives: true}
	answer := must[*http.Response](t)(transport.RoundTrip(r))
	defer answer.Body.Close()
	return answer.StatusCode, must[[]byte](t)(io.ReadAll(answer.Body))
}

// get reads JSON from a path of REST.
func get(t *testing.T, v *validator.Validator, path string, want int) object {
	t.Helper()
	code, body := send(t, http.MethodGet, v.RESTAddress()+path, nil, nil)
	if code != want {
		t.Fatalf("%s: status %d: %s", path, code, body)
	}
	var o object
	if err := json.Unmarshal(body, &o); err != nil {
		t.Fatalf("%s: %v: %s", path, err, body)
	}
	return o
}

func connect(t *testing.T, v *validator.Validator) *grpc.ClientConn {
	t.Helper()
	conn := must[*grpc.ClientConn](t)(grpc.NewClient(v.GRPCAddress(), grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(validator.App(v).GRPCCodec()))))
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

// expect compares as JSON, so that a missing, added or renamed field shows.
func expect(t *testing.T, what string, got, want any) {
	t.Helper()
	g, w := string(must[[]byte](t)(json.Marshal(got))), string(must[[]byte](t)(json.Marshal(want)))
	if g != w {
		t.Errorf("%s:\n got %s\nwant %s", what, g, w)
	}
}

func TestTypedAnswers(t *testing.T) {
	v := network(t)
	ctx := t.Context()
	alice, bob := as(t, v, aliceSeed), as(t, v, bobSeed)
	_, model := manifest(t)
	enter(t, v, alice, bob)
	terms := ask(model)
	terms.Excluded = []string{alice.Account()}
	id := must[uint64](t)(alice.PlaceOrder(ctx, session.Public(), terms))
	low := ask(model)
	low.Ceiling = job.Price{}
	second := must[uint64](t)(alice.PlaceOrder(ctx, session.Public(), low))
	placed := must[job.Order](t)(alice.Order(ctx, id))
	conn := connect(t, v)
	market, registry := marketpb.NewQueryClient(conn), registrypb.NewQueryClient(conn)

	t.Run("order", func(t *testing.T) {
		want := object{
			"id": "1", "consumer": alice.Account(), "session_key": session.Public().String(), "state": string(job.OrderMatched),
			"placed": fmt.Sprint(placed.Placed), "expires": fmt.Sprint(placed.Expires), "explanation": "",
			"terms": object{"kind": string(job.Inference), "executor": "float/1", "model": model.String(), "privacy": string(job.Open),
				"assurance": "0", "input_ceiling": "1000", "output_ceiling": "2000", "escrow": "100000", "step": "1000",
				"patience": "600", "duration": "3600", "excluded": []string{alice.Account()}, "preferred": []string{}, "only": false},
		}
		expect(t, "REST", get(t, v, fmt.Sprintf("/daulat/market/v1/orders/%d", id), 200), object{"order": want})
		got := must[*marketpb.QueryOrderResponse](t)(market.Order(ctx, &marketpb.QueryOrder{Id: id})).Order
		if got.Consumer != alice.Account() || got.Terms.Escrow != 100_000 || got.Terms.Excluded[0] != alice.Account() || got.Terms.Model != model.String() {
			t.Errorf("gRPC: %+v", got)
		}
	})
	t.Run("registry", func(t *testing.T) {
		offer := object{"provider": bob.Account(), "model": model.String(), "executor": "float/1", "input_price": "1000",
			"output_price": "2000", "assurance": "0", "slots": "4"}
		expect(t, "offers", get(t, v, "/daulat/registry/v1/offers?model="+model.String(), 200),
			object{"offers": []object{offer}, "pagination": object{"next_key": nil, "total": "0"}})
		p := get(t, v, "/daulat/registry/v1/providers/"+bob.Account(), 200)["provider"].(object)
		delete(p, "registered") // block time
		expect(t, "provider", p, object{"account": bob.Account(), "key": identity.Public().String(), "bond": "0",
			"addresses": []string{"/ip4/127.0.0.1/tcp/1"}, "next_key": "", "key_from": "0"})
		got := must[*registrypb.QueryProviderResponse](t)(registry.Provider(ctx, &registrypb.QueryProvider{Account: bob.Account()}))
		if got.Provider.Key != identity.Public().String() {
			t.Errorf("gRPC: %+v", got)
		}
		data := get(t, v, "/daulat/registry/v1/artifacts/"+model.String(), 200)["artifact"].(object)["manifest"].(string)
		if canon.NewCID(canon.DagCBOR, canon.Sum(must[[]byte](t)(base64.StdEncoding.DecodeString(data)))) != model {
			t.Error("the manifest is not what its ID names")
		}
	})
	t.Run("absent", func(t *testing.T) {
		get(t, v, "/daulat/market/v1/orders/99", 404)
		get(t, v, "/daulat/market/v1/sessions/99", 404)
		get(t, v, "/daulat/market/v1/orders/first", 400)
		get(t, v, "/daulat/registry/v1/providers/"+alice.Account(), 404)
		get(t, v, "/daulat/registry/v1/providers/nobody", 400)
		if _, err := market.Order(ctx, &marketpb.QueryOrder{Id: 99}); status.Code(err) != codes.NotFound {
			t.Errorf("gRPC: %v", err)
		}
	})
	t.Run("pages", func(t *testing.T) {
		first := get(t, v, "/daulat/market/v1/orders?pagination.limit=1", 200)
		next := first["pagination"].(object)["next_key"].(string)
		rest := get(t, v, "/daulat/market/v1/orders?pagination.limit=1&pagination.key="+url.QueryEscape(next), 200)
		for i, page := range []object{first, rest} {
			if list := page["orders"].([]any); len(list) != 1 || list[0].(object)["id"] != fmt.Sprint([]uint64{id, second}[i]) {
				t.Errorf("page %d: %v", i, page)
			}
		}
		get(t, v, "/daulat/market/v1/orders?pagination.offset=1", 400)
		get(t, v, "/daulat/registry/v1/offers?pagination.count_total=true", 400)
		_, err := market.Orders(ctx, &marketpb.QueryOrders{Pagination: &query.PageRequest{Offset: 1}})
		if status.Code(err) != codes.InvalidArgument {
			t.Errorf("gRPC: %v", err)
		}
	})
	t.Run("modules of the SDK", func(t *testing.T) {
		balance := get(t, v, "/cosmos/bank/v1beta1/balances/"+bob.Account(), 200)["balances"]
		expect(t, "balance", balance, []object{{"denom": "udlt", "amount": fmt.Sprint(fortune)}})
		for _, path := range []string{"/cosmos/auth/v1beta1/params", "/cosmos/staking/v1beta1/validators", "/cosmos/distribution/v1beta1/params",
			"/cosmos/gov/v1/params/voting", "/cosmos/slashing/v1beta1/params", "/cosmos/upgrade/v1beta1/current_plan",
			"/cosmos/consensus/v1/params", "/cosmos/feegrant/v1beta1/issued/" + bob.Account()} {
			get(t, v, path, 200)
		}
		got := must[*banktypes.QueryBalanceResponse](t)(banktypes.NewQueryClient(conn).Balance(ctx,
			&banktypes.QueryBalanceRequest{Address: bob.Account(), Denom: client.Denom}))
		if got.Balance.Amount.Uint64() != fortune {
			t.Errorf("gRPC: %v", got)
		}
	})
	t.Run("past state", func(t *testing.T) {
		_, body := send(t, http.MethodGet, v.RESTAddress()+"/daulat/market/v1/orders", nil,
			func(r *http.Request) { r.Header.Set("X-Cosmos-Block-Height", "1") })
		if !strings.Contains(string(body), `"orders":[]`) {
			t.Errorf("orders at height 1: %s", body)
		}
	})
	t.Run("reflection", func(t *testing.T) {
		stream := must[reflection.ServerReflection_ServerReflectionInfoClient](t)(
			reflection.NewServerReflectionClient(conn).ServerReflectionInfo(ctx))
		if err := stream.Send(&reflection.ServerReflectionRequest{MessageRequest: &reflection.ServerReflectionRequest_ListServices{}}); err != nil {
			t.Fatal(err)
		}
		list := must[*reflection.ServerReflectionResponse](t)(stream.Recv()).GetListServicesResponse()
		var names []string
		for _, s := range list.GetService() {
			names = append(names, s.Name)
		}
		if all := strings.Join(names, " "); !strings.Contains(all, "daulat.market.v1.Query") || !strings.Contains(all, "cosmos.tx.v1beta1.Service") {
			t.Errorf("services: %s", all)
		}
	})
}

func TestTransactionsAndBlocks(t *testing.T) {
	v := network(t)
	alice, to := as(t, v, aliceSeed), key(t, strangerSeed).Account()
	if err := alice.Send(t.Context(), to, 7); err != nil {
		t.Fatal(err)
	}
	height, raw := find(t, v)
	message := object{"@type": "/cosmos.bank.v1beta1.MsgSend", "from_address": alice.Account(), "to_address": to,
		"amount": []object{{"denom": "udlt", "amount": "7"}}}
	first := func(tx any) any { return tx.(object)["body"].(object)["messages"].([]any)[0] }
	block := get(t, v, fmt.Sprintf("/cosmos/tx/v1beta1/txs/block/%d", height), 200)
	expect(t, "block", first(block["txs"].([]any)[0]), message)

	post := func(path, body string, want int) object {
		t.Helper()
		code, answer := send(t, http.MethodPost, v.RESTAddress()+path, strings.NewReader(body), nil)
		if code != want {
			t.Fatalf("%s: status %d: %s", path, code, answer)
		}
		var o object
		if err := json.Unmarshal(answer, &o); err != nil {
			t.Fatal(err)
		}
		return o
	}
	encoded := base64.StdEncoding.EncodeToString(raw)
	expect(t, "decode", first(post("/cosmos/tx/v1beta1/decode", `{"tx_bytes":"`+encoded+`"}`, 200)["tx"]), message)
	// The same transaction again reaches the node, and is refused there.
	again := post("/cosmos/tx/v1beta1/txs", `{"mode":"BROADCAST_MODE_SYNC","tx_bytes":"`+encoded+`"}`, 200)
	if again["tx_response"].(object)["code"].(float64) == 0 {
		t.Errorf("a transaction counted twice: %v", again)
	}
	post("/cosmos/tx/v1beta1/txs", `{"tx_bytes":"`+encoded+`"}`, 400)
	post("/cosmos/tx/v1beta1/txs", `{"tx_bytes":`, 400)
	long := base64.StdEncoding.EncodeToString(make([]byte, validator.MaxTx+1))
	post("/cosmos/tx/v1beta1/simulate", `{"tx_bytes":"`+long+`"}`, 400)
	post("/cosmos/tx/v1beta1/decode", `{"tx_bytes":"`+long+`"}`, 400)
	get(t, v, "/cosmos/tx/v1beta1/txs/"+strings.Repeat("0", 64), 501)
	get(t, v, "/cosmos/base/tendermint/v1beta1/blocks/latest", 200)
	get(t, v, "/cosmos/base/tendermint/v1beta1/validatorsets/latest", 200)

	// Nobody learns how the machine is called.
	info := get(t, v, "/cosmos/base/tendermint/v1beta1/node_info", 200)["default_node_info"].(object)
	if info["moniker"] != "daulat" || info["network"] != chain {
		t.Errorf("node info %v", info)
	}
}

// find returns the ledger's first transaction, and its block.
func find(t *testing.T, v *validator.Validator) (int64, []byte) {
	t.Helper()
	for height := int64(1); ; height++ {
		block, err := v.RPC().Block(t.Context(), &height)
		if err != nil {
			t.Fatal(err)
		}
		if len(block.Block.Txs) > 0 {
			return height, block.Block.Txs[0]
		}
	}
}

func TestQueriesHaveLimitedGas(t *testing.T) {
	v := network(t)
	app := validator.App(v)
	c, err := app.CreateQueryContext(0, false)
	if err != nil || c.GasMeter().Limit() != validator.QueryGas {
		t.Fatalf("a query has %d gas: %v", c.GasMeter().Limit(), err)
	}
	get(t, v, "/daulat/market/v1/params", 200)
	baseapp.SetQueryGasLimit(1)(app.BaseApp)
	if _, err := marketpb.NewQueryClient(connect(t, v)).Params(t.Context(), &marketpb.QueryParams{}); err == nil || !strings.Contains(err.Error(), "gas") {
		t.Errorf("gRPC: %v", err)
	}
	if code, body := send(t, http.MethodGet, v.RESTAddress()+"/daulat/market/v1/params", nil, nil); code == 200 || !bytes.Contains(body, []byte("gas")) {
		t.Errorf("REST: %d %s", code, body)
	}
}

func TestForeignPagesAreRefused(t *testing.T) {
	home := t.TempDir()
	if err := validator.Init(home, genesis(t)); err != nil {
		t.Fatal(err)
	}
	v, err := validator.Start(t.Context(), validator.Config{Home: home, TimeoutCommit: 50 * time.Millisecond, Hosts: []string{"node.example"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, v) })
	for _, base := range []string{v.RESTAddress() + "/daulat/market/v1/params", strings.Replace(v.RPCAddress(), "tcp", "http", 1) + "/status"} {
		u := must[*url.URL](t)(url.Parse(base))
		for _, c := range []struct {
			host, origin string
			want         int
		}{
			{"", "", 200},
			{"localhost:" + u.Port(), "", 200},
			{"node.example", "", 200},
			{"[::1]:1", "", 200},
			{"", "http://" + u.Host, 200},
			{"evil.example", "", 403},
			{"evil.example:" + u.Port(), "http://evil.example:" + u.Port(), 403},
			{"127.0.0.1.evil.example", "", 403},
			{"localhost.evil.example", "", 403},
			{"192.0.2.1", "", 403},
			{"", "http://evil.example", 403},
			{"", "null", 403},
			{"", "http://127.0.0.1:1", 403},
			{"", "file://" + u.Host, 403},
		} {
			code, body := send(t, http.MethodGet, base, nil, func(r *http.Request) {
				if c.host != "" {
					r.Host = c.host
				}
				if c.origin != "" {
					r.Header.Set("Origin", c.origin)
				}
			})
			if code != c.want {
				t.Errorf("%s as %q from %q: status %d: %s", base, c.host, c.origin, code, body)
			}
		}
	}
}

// What CometBFT offers beyond questions is not there.
func TestRPCIsReadOnly(t *testing.T) {
	v := network(t)
	base := strings.Replace(v.RPCAddress(), "tcp", "http", 1)
	for _, path := range []string{"/unsafe_flush_mempool", "/dial_peers", "/dial_seeds", "/subscribe"} {
		if code, body := send(t, http.MethodGet, base+path, nil, nil); code != 404 {
			t.Errorf("%s: status %d: %s", path, code, body)
		}
	}
	code, _ := send(t, http.MethodGet, base+"/websocket", nil, func(r *http.Request) {
		r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Sec-Websocket-Version": {"13"},
			"Sec-Websocket-Key": {base64.StdEncoding.EncodeToString(make([]byte, 16))}}
	})
	if code != 404 {
		t.Errorf("a WebSocket opened: status %d", code)
	}
	call := `{"jsonrpc":"2.0","id":1,"method":"health"}`
	for n, good := range map[int]bool{10: true, 11: false} {
		_, body := send(t, http.MethodPost, base, strings.NewReader("["+strings.Repeat(call+",", n-1)+call+"]"), nil)
		if bytes.Contains(body, []byte("exceeds maximum")) == good {
			t.Errorf("a batch of %d: %s", n, body)
		}
	}
}

func TestLargeRequestsAreRefused(t *testing.T) {
	v := network(t)
	for address, limit := range map[string]int{
		v.RESTAddress() + "/cosmos/tx/v1beta1/txs":        validator.MaxRESTBody,
		strings.Replace(v.RPCAddress(), "tcp", "http", 1): validator.MaxRPCBody,
	} {
		for name, body := range map[string]io.Reader{
			"announced":   bytes.NewReader(make([]byte, limit+1)),
			"unannounced": io.MultiReader(bytes.NewReader(make([]byte, limit+1))),
		} {
			if code, answer := send(t, http.MethodPost, address, body, nil); code != 413 {
				t.Errorf("%s, %s: status %d: %s", address, name, code, answer)
			}
		}
		if code, _ := send(t, http.MethodPost, address, bytes.NewReader(make([]byte, limit)), nil); code == 413 {
			t.Errorf("%s: a request of %d bytes is refused", address, limit)
		}
	}
	txs := txtypes.NewServiceClient(connect(t, v))
	_, err := txs.BroadcastTx(t.Context(), &txtypes.BroadcastTxRequest{TxBytes: make([]byte, validator.MaxReceive), Mode: txtypes.BroadcastMode_BROADCAST_MODE_SYNC})
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("gRPC: %v", err)
	}
}

// addresses are host:port of all three servers.
func addresses(v *validator.Validator) map[string]string {
	return map[string]string{"RPC": strings.TrimPrefix(v.RPCAddress(), "tcp://"), "gRPC": v.GRPCAddress(),
		"REST": strings.TrimPrefix(v.RESTAddress(), "http://")}
}

// stall opens a connection and sends the start of a request.
func stall(t *testing.T, address string) net.Conn {
	t.Helper()
	conn := must[net.Conn](t)(net.Dial("tcp", address))
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := io.WriteString(conn, "PRI "); err != nil { // HTTP/2 and HTTP/1 may both go on like this
		t.Fatal(err)
	}
	return conn
}

func TestSlowClientsAreCutOff(t *testing.T) {
	v := network(t)
	slow := map[string]net.Conn{}
	for name, address := range addresses(v) {
		slow[name] = stall(t, address)
	}
	deadline := time.Now().Add(20 * time.Second)
	for name, conn := range slow {
		_ = conn.SetReadDeadline(deadline)
		if _, err := io.Copy(io.Discard, conn); os.IsTimeout(err) {
			t.Errorf("%s waits for ever for the rest of a header", name)
		}
	}
}

func TestStopLeavesNothing(t *testing.T) {
	home := t.TempDir()
	if err := validator.Init(home, genesis(t)); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	v, err := validator.Start(t.Context(), validator.Config{Home: home, TimeoutCommit: 50 * time.Millisecond,
		Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, v) })
	open := addresses(v)
	stall(t, open["RPC"])
	stall(t, open["REST"])
	conn := connect(t, v)
	if _, err := marketpb.NewQueryClient(conn).Params(t.Context(), &marketpb.QueryParams{}); err != nil {
		t.Fatal(err)
	}
	stream := must[reflection.ServerReflection_ServerReflectionInfoClient](t)(
		reflection.NewServerReflectionClient(conn).ServerReflectionInfo(t.Context()))
	get(t, v, "/daulat/market/v1/params", 200)
	stop(t, v)
	if _, err := stream.Recv(); err == nil {
		t.Error("a stream goes on")
	}
	_ = conn.Close()
	for name, address := range open {
		if l, err := net.Listen("tcp", address); err != nil {
			t.Errorf("%s: %v", name, err)
		} else {
			_ = l.Close()
		}
	}
	if log.Len() > 0 {
		t.Errorf("a start and a stop said:\n%s", &log)
	}
	gone(t, "net/http.(*conn)", "net/http.(*Server)", "google.golang.org/grpc", "daulat/ledger/validator.(")
}

// gone waits until no goroutine is in any of the functions.
func gone(t *testing.T, functions ...string) {
	t.Helper()
	stacks := make([]byte, 1<<22)
	deadline := time.Now().Add(30 * time.Second)
	for {
		all := string(stacks[:runtime.Stack(stacks, true)])
		var left []string
		for _, f := range functions {
			if strings.Contains(all, f) {
				left = append(left, f)
			}
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("still running: %v\n%s", left, all)
		}
		runtime.Gosched()
	}
}

// Ports are kept from start to start, each its own.
func TestAddressesStay(t *testing.T) {
	home := t.TempDir()
	if err := validator.Init(home, genesis(t)); err != nil {
		t.Fatal(err)
	}
	v := start(t, home)
	before := addresses(v)
	stop(t, v)
	expect(t, "addresses", addresses(start(t, home)), before)
	for name, address := range before {
		if host, _, err := net.SplitHostPort(address); err != nil || host != "127.0.0.1" {
			t.Errorf("%s listens on %s: %v", name, address, err)
		}
	}
}
