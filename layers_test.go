// Package daulat_test keeps the shape of the repository true: which folder may
// import which, who may meet the Cosmos SDK, and what a package owes its
// reader. Start at the table layers; everything else only applies it.
//
// Imports are read from the source of every file, whatever its build tags and
// tests included, so nothing hides behind a tag that this build does not set.
package daulat_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "daulat"

// A row says what the packages of one folder may import besides the standard
// library and each other.
type row struct {
	ours  []string // folders of this module; a folder with a row of its own must be named by that row
	third []string // import path prefixes of other modules
	chain bool     // may reach the Cosmos SDK or CometBFT, by any path
}

var (
	anything = []string{"*"}
	hash     = []string{"github.com/fxamacker/cbor/v2", "lukechampine.com/blake3"}
	groups   = []string{"github.com/consensys/gnark-crypto", "github.com/cloudflare/circl"}
	xrepos   = []string{"golang.org/x/sys", "golang.org/x/text", "golang.org/x/sync", "golang.org/x/crypto", "golang.org/x/term", "golang.org/x/time"}
	names    = []string{"github.com/multiformats", "github.com/ipfs/go-cid"}
	evm      = []string{"github.com/ethereum/go-ethereum"}
	wasm     = []string{"github.com/tetratelabs/wazero"}
	disk     = []string{"go.etcd.io/bbolt"}
	grpc     = []string{"google.golang.org/grpc", "google.golang.org/protobuf", "google.golang.org/genproto",
		"github.com/golang/protobuf", "github.com/grpc-ecosystem/grpc-gateway"}
)

// checks are what all tests may import, and nothing else may.
var checks = []string{"go.uber.org/goleak"}

// chain is what only rows with chain set may reach.
var chain = []string{"github.com/cosmos", "cosmossdk.io", "github.com/cometbft"}

// layers is the import table. The longest key that holds a package is its row.
var layers = map[string]row{
	".":       {},
	"core":    {third: hash},
	"referee": {ours: of("core"), third: slices.Concat(hash, groups)},
	"model":   {ours: of("core", "referee"), third: slices.Concat(hash, groups, xrepos)},
	"ledger": {ours: of("core", "referee", "gen", "ledger/client"), chain: true,
		third: slices.Concat(chain, grpc, hash, of("github.com/spf13"))},
	"ledger/client": {ours: of("core", "gen"), chain: true,
		third: slices.Concat(chain, grpc, hash, of("github.com/99designs/keyring"))},
	"gen": {chain: true, third: slices.Concat(chain, grpc)},
	"link": {ours: of("core"),
		third: slices.Concat(hash, xrepos, names, disk, of("github.com/libp2p", "github.com/quic-go"))},
	"data": {ours: of("core", "referee", "link"),
		third: slices.Concat(hash, groups, xrepos, names, evm, disk, of("github.com/ipfs", "github.com/libp2p",
			"github.com/versity/versitygw", "github.com/klauspost/reedsolomon", "filippo.io/age",
			"github.com/parquet-go/parquet-go", "modernc.org/sqlite"))},
	"compute": {ours: of("core", "referee", "model", "link", "data/blob", "data/transfer"),
		third: slices.Concat(hash, xrepos, wasm, disk)},
	"platform": {ours: of("core", "model", "link", "data"),
		third: slices.Concat(hash, xrepos, disk, of("github.com/modelcontextprotocol/go-sdk", "filippo.io/age"))},
	"platform/sdk": {ours: of("core", "model", "link", "data", "platform", "ledger/client"), chain: true,
		third: slices.Concat(chain, grpc, hash)},
	"application": {ours: of("core", "model", "platform"), third: slices.Concat(hash, evm, wasm)},
	"ui":          {ours: of("core", "model", "platform", "application"), third: xrepos},
	"ui/cli":      {ours: of("core", "model", "platform", "application", "ui"), third: slices.Concat(xrepos, of("github.com/spf13"))},
	"node": {ours: of("core", "referee", "model", "ledger", "ledger/client", "gen", "link", "data", "compute",
		"platform", "platform/sdk", "application", "ui"), third: anything, chain: true},
	"cmd":      {ours: of("node", "ui/cli"), third: anything, chain: true},
	"test":     {ours: everything, third: anything, chain: true},
	"bench":    {ours: slices.Concat(everything, of("test/child")), third: anything, chain: true},
	"examples": {ours: everything, third: anything, chain: true},
	// Pure packages of compute and data are added here by name as sim needs them.
	"sim": {ours: of("core", "referee", "model"), third: hash},
}

var (
	// everything leaves out test, bench and examples: nothing imports those, but that
	// bench leads its processes as test does.
	everything = of("core", "referee", "model", "ledger", "ledger/client", "gen", "link", "data", "compute",
		"platform", "platform/sdk", "application", "ui", "ui/cli", "node", "cmd", "sim")
	plain     = of("docs", "proto", "spec", "testdata") // top folders without Go packages
	outside   = of("tools", "bin", "dist")              // a module of its own, and what is built
	forbidden = of("util", "utils", "common", "types", "keeper", "keepers", "helper", "helpers")
	assembly  = of(".s", ".S", ".sx", ".c", ".h", ".syso")
)

func of(s ...string) []string { return s }

func TestLayers(t *testing.T) {
	for _, v := range violations(t, ".") {
		t.Error(v)
	}
}

// TestLayersFindPlantedViolations runs the same check over a small module that
// breaks each rule; it must find exactly the lines of planted.want.
func TestLayersFindPlantedViolations(t *testing.T) {
	golden, err := os.ReadFile("testdata/layers/planted.want")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(golden)), "\n")
	got := violations(t, "testdata/layers/planted")
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("not found: %s", w)
		}
	}
	for _, g := range got {
		if !slices.Contains(want, g) {
			t.Errorf("not planted: %s", g)
		}
	}
}

// TestLayersTools: the tools are a module of their own and import none of the
// product, so a generator never waits for what it generates.
func TestLayersTools(t *testing.T) {
	tools, err := scan(os.DirFS("tools"))
	if err != nil {
		t.Fatal(err)
	}
	if len(tools.pkgs) == 0 {
		t.Fatal("found no package below tools")
	}
	for _, dir := range slices.Sorted(maps.Keys(tools.pkgs)) {
		if p := tools.pkgs[dir]; !p.documented {
			t.Errorf("tools/%s: has no package comment", dir)
		}
		for _, e := range tools.pkgs[dir].edges {
			if to, ok := ours(e.path); ok && !under(to, "tools") {
				t.Errorf("tools/%s: imports %s", e.file, e.path)
			}
		}
	}
}

// violations checks the module at root and lists what is wrong with it, sorted.
func violations(t *testing.T, root string) []string {
	t.Helper()
	tr, err := scan(os.DirFS(root))
	if err != nil {
		t.Fatal(err)
	}
	graph, err := dependencies(root, tr.third())
	if err != nil {
		t.Fatal(err)
	}
	found := slices.Concat(tr.found, tr.folders(), tr.imports(), tr.reach(graph))
	slices.Sort(found)
	return slices.Compact(found)
}

// A tree is what the source of a module says.
type tree struct {
	dirs  []string
	pkgs  map[string]*pkg // by folder, "." at the root
	found []string        // violations seen while reading
}

type pkg struct {
	edges      []edge
	documented bool
	product    bool // has a file that is not a test
}

type edge struct {
	file, path string
	test       bool
}

// scan reads every Go file that a package of the module may hold. What the go
// command passes over (hidden folders, testdata) is passed over here, and
// refused as an import.
func scan(fsys fs.FS) (*tree, error) {
	t := &tree{pkgs: map[string]*pkg{}}
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name == ".":
			return nil
		case strings.HasPrefix(d.Name(), "."):
			return skip(d)
		case !d.IsDir():
			return t.file(fsys, name)
		case slices.Contains(outside, name):
			return fs.SkipDir
		}
		t.dirs = append(t.dirs, name)
		if d.Name() == "testdata" || strings.HasPrefix(d.Name(), "_") {
			return fs.SkipDir
		}
		if _, err := fs.Stat(fsys, name+"/go.mod"); err == nil {
			t.find("%s: is a module of its own, where no rule would reach", name)
			return fs.SkipDir
		}
		return nil
	})
	return t, err
}

func skip(d fs.DirEntry) error {
	if d.IsDir() {
		return fs.SkipDir
	}
	return nil
}

func (t *tree) find(format string, a ...any) { t.found = append(t.found, fmt.Sprintf(format, a...)) }

func (t *tree) file(fsys fs.FS, name string) error {
	dir := path.Dir(name)
	referee := under(dir, "referee")
	if referee && slices.Contains(assembly, path.Ext(name)) {
		t.find("%s: is assembly or C under referee", name)
	}
	if path.Ext(name) != ".go" || strings.HasPrefix(path.Base(name), "_") {
		return nil
	}
	src, err := fs.ReadFile(fsys, name)
	if err != nil {
		return err
	}
	f, err := parser.ParseFile(token.NewFileSet(), name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.find("%s: cannot be parsed: %v", name, err)
		return nil
	}
	p := t.pkgs[dir]
	if p == nil {
		p = &pkg{}
		t.pkgs[dir] = p
	}
	test := strings.HasSuffix(name, "_test.go")
	p.add(f, name, test)
	if referee && !test {
		ast.Inspect(f, func(n ast.Node) bool {
			if _, ok := n.(*ast.GoStmt); ok {
				t.find("%s: has a go statement under referee", name)
			}
			return true
		})
	}
	return nil
}

// add notes one file. The comment of a test counts only where there is nothing
// but tests.
func (p *pkg) add(f *ast.File, name string, test bool) {
	if !test && !p.product {
		p.product, p.documented = true, false
	}
	if test == !p.product && f.Doc.Text() != "" {
		p.documented = true
	}
	for _, i := range f.Imports {
		to, _ := strconv.Unquote(i.Path.Value) // the parser has checked it
		p.edges = append(p.edges, edge{name, to, test})
	}
}

// folders checks names and comments.
func (t *tree) folders() (found []string) {
	for _, dir := range t.dirs {
		if _, known := layers[dir]; !strings.Contains(dir, "/") && !known && !slices.Contains(plain, dir) {
			found = append(found, dir+": is not a folder of the design")
		}
		if slices.Contains(forbidden, path.Base(dir)) {
			found = append(found, dir+": has a name that says nothing")
		}
	}
	for dir, p := range t.pkgs {
		if !p.documented {
			found = append(found, dir+": has no package comment")
		}
		if home(dir) == "" {
			found = append(found, dir+": holds Go code but has no row in the table")
		}
	}
	return found
}

// imports checks each import against the table.
func (t *tree) imports() (found []string) {
	for dir, p := range t.pkgs {
		for _, e := range p.edges {
			if e.test && within(e.path, checks) {
				continue
			}
			if why := t.refuse(home(dir), e.path); why != "" {
				found = append(found, fmt.Sprintf("%s: imports %s, %s", e.file, e.path, why))
			}
		}
	}
	return found
}

// refuse says why a package of folder from may not import p, or nothing.
func (t *tree) refuse(from, p string) string {
	to, own := ours(p)
	switch {
	case p == "C":
		return "but the product is built without cgo"
	case own && t.pkgs[to] == nil:
		return "which is no package that the check reads"
	case own && home(to) == from:
		return ""
	case own && !slices.ContainsFunc(layers[from].ours, func(f string) bool {
		return under(to, f) && len(home(to)) <= len(f)
	}), !own && !standard(p) && !within(p, layers[from].third):
		return "which " + from + " may not"
	}
	return ""
}

// reach reports each package that gets to the Cosmos SDK though its row does
// not allow it. The tests of a package are its own; those of what it imports
// are not built with it.
func (t *tree) reach(graph map[string][]string) (found []string) {
	next := func(p string) (paths []string) {
		to, own := ours(p)
		if !own {
			return graph[p]
		}
		if t.pkgs[to] != nil {
			for _, e := range t.pkgs[to].edges {
				if !e.test {
					paths = append(paths, e.path)
				}
			}
		}
		return paths
	}
	for dir, p := range t.pkgs {
		if layers[home(dir)].chain {
			continue
		}
		if way := search(p.edges, next); way != nil {
			found = append(found, dir+": reaches the ledger's framework by "+strings.Join(way, " > "))
		}
	}
	return found
}

// search finds a shortest way from edges to a package of the chain.
func search(edges []edge, next func(string) []string) []string {
	via := map[string]string{}
	var queue []string
	visit := func(from string, paths []string) {
		for _, p := range slices.Sorted(slices.Values(paths)) {
			if _, seen := via[p]; !seen {
				via[p] = from
				queue = append(queue, p)
			}
		}
	}
	var first []string
	for _, e := range edges {
		first = append(first, e.path)
	}
	visit("", first)
	for ; len(queue) > 0; queue = queue[1:] {
		if within(queue[0], chain) {
			var way []string
			for p := queue[0]; p != ""; p = via[p] {
				way = append([]string{p}, way...)
			}
			return way
		}
		visit(queue[0], next(queue[0]))
	}
	return nil
}

// third lists the packages of other modules that any file names.
func (t *tree) third() []string {
	set := map[string]bool{}
	for _, p := range t.pkgs {
		for _, e := range p.edges {
			if _, own := ours(e.path); !own && !standard(e.path) && e.path != "C" {
				set[e.path] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// dependencies asks the go command what paths and all below them import. They
// are named one by one, as some stand only in files that this build leaves out.
func dependencies(root string, paths []string) (map[string][]string, error) {
	graph := map[string][]string{}
	if len(paths) == 0 {
		return graph, nil
	}
	args := []string{"list", "-deps", "-tags=pebbledb", "-json=ImportPath,Imports"}
	cmd := exec.Command("go", append(args, paths...)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOWORK=off")
	out, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, exit.Stderr)
		}
		return nil, fmt.Errorf("list dependencies: %w", err)
	}
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath string
			Imports    []string
		}
		if err := dec.Decode(&p); err == io.EOF {
			return graph, nil
		} else if err != nil {
			return nil, err
		}
		graph[p.ImportPath] = p.Imports
	}
}

// ours gives the folder of an import path of this module.
func ours(p string) (dir string, ok bool) {
	if p == module {
		return ".", true
	}
	return strings.CutPrefix(p, module+"/")
}

// home is the key of the row that rules dir, or "".
func home(dir string) string {
	for d := dir; ; d = path.Dir(d) {
		if _, ok := layers[d]; ok && (d != "." || dir == ".") {
			return d
		}
		if d == "." {
			return ""
		}
	}
}

func under(dir, top string) bool { return dir == top || strings.HasPrefix(dir, top+"/") }

func within(p string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(f string) bool { return f == "*" || under(p, f) })
}

// standard: only import paths of other modules have a dot in their first element.
func standard(p string) bool {
	first, _, _ := strings.Cut(p, "/")
	return !strings.Contains(first, ".") && p != "C"
}
