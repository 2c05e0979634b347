package app

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"cosmossdk.io/log/v2"
	dbm "github.com/cosmos/cosmos-db"
	sdk "github.com/cosmos/cosmos-sdk/types"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	govtypes "github.com/cosmos/cosmos-sdk/x/gov/types"
	stakingtypes "github.com/cosmos/cosmos-sdk/x/staking/types"

	"daulat/ledger/invite"
	"daulat/ledger/market"
	"daulat/ledger/registry"
)

func open(t *testing.T) *App {
	t.Helper()
	a, err := New(log.NewNopLogger(), dbm.NewMemDB(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

func TestDefaultGenesis(t *testing.T) {
	a := open(t)
	g := a.DefaultGenesis()
	for _, name := range []string{authtypes.ModuleName, stakingtypes.ModuleName, registry.Name, market.Name, invite.Name} {
		if g[name] == nil {
			t.Errorf("module %s has no genesis", name)
		}
	}
	if err := a.ValidateGenesis(g); err != nil {
		t.Fatal(err)
	}
	var staking stakingtypes.GenesisState
	a.Codec().MustUnmarshalJSON(g[stakingtypes.ModuleName], &staking)
	if staking.Params.BondDenom != Denom || staking.Params.KeyRotationFee.Denom != Denom {
		t.Fatalf("bond coin is %s", staking.Params.BondDenom)
	}
	if strings.Contains(string(g[govtypes.ModuleName]), `"stake"`) {
		t.Fatal("governance takes deposits in another coin")
	}
	for _, name := range []string{market.Name, invite.Name} {
		bad := maps.Clone(g)
		bad[name] = json.RawMessage(`{"params":{}}`)
		if err := a.ValidateGenesis(bad); err == nil {
			t.Fatalf("%s without bounds is valid", name)
		}
	}
}

func TestAddresses(t *testing.T) {
	open(t)
	if text := sdk.AccAddress(make([]byte, 20)).String(); !strings.HasPrefix(text, Prefix+"1") {
		t.Fatalf("address %s", text)
	}
	blocked := blockedAddresses()
	if !blocked[authtypes.NewModuleAddress(market.Name).String()] || blocked[authtypes.NewModuleAddress(govtypes.ModuleName).String()] {
		t.Fatal("plain transfers reach escrow, or miss governance")
	}
}

// The accounts of market and invites hold what others own; they must never make
// or burn coins, and take no plain transfers.
func TestModulesOnlyHold(t *testing.T) {
	open(t)
	for _, name := range []string{market.Name, invite.Name} {
		if rights, ok := moduleAccounts[name]; !ok || len(rights) != 0 {
			t.Errorf("the account of %s may %v", name, rights)
		}
		if !blockedAddresses()[authtypes.NewModuleAddress(name).String()] {
			t.Errorf("plain transfers reach the account of %s", name)
		}
	}
}

func TestOrderOfPhases(t *testing.T) {
	if endBlockers[0] != market.Name {
		t.Fatal("the market does not clear first")
	}
	if genesisOrder[len(genesisOrder)-1] != "genutil" || min(slices.Index(genesisOrder, market.Name), slices.Index(genesisOrder, invite.Name)) < slices.Index(genesisOrder, "bank") {
		t.Fatal("a module checks its money before there is any")
	}
	names := StoreNames()
	names[0] = "changed"
	if StoreNames()[0] == "changed" {
		t.Fatal("the list of stores can be changed from outside")
	}
}
