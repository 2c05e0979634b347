package inference

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path"
	"strings"

	"daulat/core/artifact"
	"daulat/core/canon"
)

// Declared is a model that a server has, in the form in which it is offered.
type Declared struct {
	artifact.Declaration
	Data []byte // canonical
	ID   canon.CID
}

// maxDeclared bounds how many models of one server are offered.
const maxDeclared = 32

// List asks the server for its models: in Ollama's own way, which tells digests,
// or else in OpenAI's. Those without a name that a model can have are left out.
func (u *Upstream) List(ctx context.Context) ([]Declared, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	found, err := u.tags(ctx)
	if err != nil || len(found) == 0 {
		if found, err = u.listed(ctx); err != nil {
			return nil, err
		}
	}
	var all []Declared
	served := map[canon.CID]string{}
	for _, f := range found {
		d := artifact.Declaration{Version: canon.Version, Name: plainName(f.name), Digest: strings.TrimPrefix(f.digest, "sha256:")}
		data, id, err := d.Encode()
		if err != nil {
			continue
		}
		if _, twice := served[id]; !twice && len(all) < maxDeclared {
			served[id] = f.name
			all = append(all, Declared{d, data, id})
		}
	}
	u.mu.Lock()
	u.served = served
	u.mu.Unlock()
	return all, nil
}

// found is a model as its server names it.
type found struct{ name, digest string }

// tags asks as Ollama's API has it. Models that only embed are left out.
func (u *Upstream) tags(ctx context.Context) (all []found, err error) {
	var reply struct {
		Models []struct {
			Name    string `json:"name"`
			Digest  string `json:"digest"`
			Details struct {
				Family string `json:"family"`
			} `json:"details"`
		} `json:"models"`
	}
	if err := u.get(ctx, "/api/tags", &reply); err != nil {
		return nil, err
	}
	for _, m := range reply.Models {
		if m.Digest != "" && !strings.Contains(m.Details.Family, "bert") {
			all = append(all, found{m.Name, m.Digest})
		}
	}
	return all, nil
}

// listed asks as OpenAI's API has it.
func (u *Upstream) listed(ctx context.Context) (all []found, err error) {
	var reply struct {
		Data []struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := u.get(ctx, "/v1/models", &reply); err != nil {
		return nil, err
	}
	for _, m := range reply.Data {
		all = append(all, found{name: m.ID})
	}
	return all, nil
}

func (u *Upstream) get(ctx context.Context, path string, v any) error {
	body, err := u.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	defer body.Close()
	if err := json.NewDecoder(io.LimitReader(body, maxList)).Decode(v); err != nil {
		return u.failed(ErrAway, path, err)
	}
	u.turned(path, "")
	return nil
}

// plainName is a server's name for a model without the folders of the machine
// that it runs on, which some servers show.
func plainName(name string) string {
	base := path.Base(strings.ReplaceAll(name, `\`, "/"))
	local := strings.HasSuffix(name, ".gguf") || strings.HasPrefix(name, "/") || strings.HasPrefix(name, ".") || strings.Contains(name, `\`)
	if !local {
		return name
	}
	return strings.TrimSuffix(base, ".gguf")
}

// Sources finds models: those of manifests in a library, declared ones at the
// servers that have them.
type Sources struct {
	Library   *Library
	Upstreams []*Upstream
}

// Model returns the model that has the name.
func (s Sources) Model(ctx context.Context, id canon.CID) (Model, error) {
	if !artifact.IsDeclared(id) {
		return s.Library.Model(ctx, id)
	}
	for _, u := range s.Upstreams {
		if m, err := u.Model(id); err == nil {
			return m, nil
		}
	}
	return nil, ErrAway
}
