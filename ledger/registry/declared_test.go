package registry

import (
	"strings"
	"testing"

	"daulat/core/artifact"
	"daulat/core/canon"
	"daulat/core/job"
	pb "daulat/gen/registry"
)

// A declaration is put on record beside manifests, under its own kind of name;
// bytes that are neither are refused.
func TestDeclarationsAreArtifacts(t *testing.T) {
	data, id, err := artifact.Declaration{Version: canon.Version, Name: "llama3.2:latest"}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	owner := w.account(1)
	for range 2 { // sending it again changes nothing
		r, err := deliver(w, server{w.store}.RegisterArtifact, &pb.MsgRegisterArtifact{Owner: owner, Manifest: data})
		if err != nil || r.Id != id.String() {
			t.Fatalf("%+v, %v", r, err)
		}
	}
	found, err := queries{w.store}.Artifact(w.ctx, &pb.QueryArtifact{Id: id.String()})
	if err != nil || string(found.Artifact.Manifest) != string(data) {
		t.Errorf("%+v, %v", found, err)
	}
	w.check(w.module.ValidateGenesis(w.cdc, nil, w.module.ExportGenesis(w.ctx, w.cdc)))
	a, err := parseArtifact(owner, data, 7)
	if err != nil || a.Id != id.String() || a.Name != "llama3.2:latest" || a.Media != "" || a.Licence != "" || a.Registered != 7 {
		t.Errorf("%+v, %v", a, err)
	}
	long, err := canon.Marshal(artifact.Declaration{Version: 2, Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	if a, err := parseArtifact(owner, long, 7); err == nil {
		t.Errorf("a declaration of another version is on record as %+v", a)
	}
}

// The ledger takes a declared model at A0 by the executor for such, and else not.
func TestOffersOfDeclaredModels(t *testing.T) {
	w := newWorld(t)
	_, id, err := artifact.Declaration{Version: canon.Version, Name: "small"}.Encode()
	if err != nil {
		t.Fatal(err)
	}
	good := pb.Offer{Provider: w.account(1), Model: id.String(), Executor: job.Upstream, Slots: 1}
	if _, err := w.store.normalOffer(good); err != nil {
		t.Error(err)
	}
	for why, change := range map[string]func(*pb.Offer){
		"served at A0": func(o *pb.Offer) { o.Assurance = uint64(job.Sampled) },
		"upstream/1":   func(o *pb.Offer) { o.Executor = "float/1" },
	} {
		bad := good
		change(&bad)
		if _, err := w.store.normalOffer(bad); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%+v: %v", bad, err)
		}
	}
}
