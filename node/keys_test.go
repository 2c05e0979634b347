package node

import (
	"crypto/rand"
	"strings"
	"testing"

	"daulat/core/canon"
	"daulat/core/job"
	"daulat/ledger/client"
	"daulat/link/session"
)

func TestChooseIdentity(t *testing.T) {
	var all []identity
	for n := 1; n <= 3; n++ {
		key, err := canon.GenerateKey(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, identity{nthIdentity(n), key})
	}
	first, second, third := all[0].key.Public(), all[1].key.Public(), all[2].key.Public()
	open := func(keys ...canon.PublicKey) (records []session.Record) {
		for _, k := range keys {
			records = append(records, session.Record{Session: job.Session{ProviderKey: k}})
		}
		return records
	}
	for name, c := range map[string]struct {
		known client.Provider
		open  []session.Record
		want  string
		more  []string
	}{
		"not on the ledger yet":            {client.Provider{}, nil, "identity-3", nil},
		"the first is in force":            {client.Provider{Key: first}, nil, "identity", nil},
		"a rotation is under way":          {client.Provider{Key: first, NextKey: second}, nil, "identity", []string{"identity-2"}},
		"the second took over":             {client.Provider{Key: second}, open(first, first, second), "identity-2", []string{"identity"}},
		"revoked, and the next one waits":  {client.Provider{NextKey: third}, open(second), "identity-3", []string{"identity-2"}},
		"revoked, and none waits":          {client.Provider{}, open(third), "identity-3", nil},
		"a session of somebody else's key": {client.Provider{Key: third}, open(canon.PublicKey{9}), "identity-3", nil},
	} {
		main, more, err := choose(all, c.known, c.open)
		if err != nil || main.name != c.want {
			t.Errorf("%s: the peer has %s, %v", name, main.name, err)
		}
		var names []string
		for _, i := range more {
			names = append(names, i.name)
		}
		if strings.Join(names, " ") != strings.Join(c.more, " ") {
			t.Errorf("%s: beside it are %v, want %v", name, names, c.more)
		}
	}
	if _, _, err := choose(all, client.Provider{Key: canon.PublicKey{9}}, nil); err == nil {
		t.Error("a key in force that the home lacks is passed over")
	}
	if f := all[0].file() + " " + all[1].file(); f != "peer.json peer-2.json" {
		t.Errorf("files are %s", f)
	}
}
