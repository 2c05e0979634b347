package main

import (
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/tools/go/analysis"
	"golang.org/x/tools/go/types/typeutil"
)

// Analyzer reports what could make two validators disagree.
var Analyzer = &analysis.Analyzer{
	Name: "consensus",
	Doc:  "report floats, map order, clocks, randomness and concurrency",
	Run:  run,
}

// banned packages, with all below a path that ends in a slash.
var banned = map[string]string{
	"C":            "code that is not portable",
	"crypto/rand":  "randomness",
	"hash/maphash": "a random seed",
	"math/rand":    "randomness",
	"math/rand/":   "randomness",
	"net":          "the network",
	"net/":         "the network",
	"os":           "the machine",
	"os/":          "the machine",
	"syscall":      "the machine",
	"unsafe":       "memory layout",
}

// refused functions and variables by full name, and what they bring in.
var refused = map[string]string{
	"time.Now": "a clock", "time.Since": "a clock", "time.Until": "a clock",
	"time.After": "a clock", "time.AfterFunc": "a clock", "time.Sleep": "a clock", "time.Tick": "a clock",
	"time.NewTicker": "a clock", "time.NewTimer": "a clock",
	"context.WithDeadline": "a clock", "context.WithDeadlineCause": "a clock",
	"context.WithTimeout": "a clock", "context.WithTimeoutCause": "a clock",
	"time.Local": "the machine's time zone", "(time.Time).Local": "the machine's time zone",
	"(reflect.Value).MapKeys": "map order", "(reflect.Value).MapRange": "map order",
	"(*sync.Map).Range":       "map order",
	"runtime.GOMAXPROCS":      "the machine",
	"runtime.NumCPU":          "the machine",
	"runtime.NumGoroutine":    "the machine",
	"runtime.SetFinalizer":    "the collector's time",
	"runtime.AddCleanup":      "the collector's time",
	"context.AfterFunc":       "a goroutine",
	"(*sync.WaitGroup).Go":    "a goroutine",
	errgroup + "Group).Go":    "a goroutine",
	errgroup + "Group).TryGo": "a goroutine",
}

const errgroup = "(*golang.org/x/sync/errgroup."

// concurrent are the functions that may start goroutines and ask how many
// processors there are, and nothing else of what is refused. Each does one fixed
// piece of pure work whose results don't depend on who did it; there is none in
// core and never one in the referee.
var (
	concurrent = []string{"ledger/market.checkAll"}
	starting   = []string{"(*sync.WaitGroup).Go", "runtime.GOMAXPROCS"}
)

// keyed are the iterators over a map; their order is gone once sorted or
// collected into another map.
var (
	keyed   = []string{"maps.Keys", "maps.Values", "maps.All"}
	ordered = []string{"slices.Sorted", "slices.SortedFunc", "maps.Collect"}
	sorts   = []string{"slices.Sort", "slices.SortFunc", "sort.Strings", "sort.Ints", "sort.Slice"}
)

func run(pass *analysis.Pass) (any, error) {
	for _, f := range pass.Files {
		c := &check{pass: pass, excused: map[ast.Node]bool{}, floats: map[int]bool{}}
		for _, d := range f.Decls {
			c.concurrent = mayStart(pass, d)
			ast.Inspect(d, c.node)
		}
	}
	return nil, nil
}

// mayStart reports that d is one of the concurrent functions.
func mayStart(pass *analysis.Pass, d ast.Decl) bool {
	f, ok := d.(*ast.FuncDecl)
	if !ok || f.Recv != nil || pass.Module == nil {
		return false
	}
	folder, ok := strings.CutPrefix(pass.Pkg.Path(), pass.Module.Path+"/")
	return ok && slices.Contains(concurrent, folder+"."+f.Name.Name)
}

// check walks one file.
type check struct {
	pass    *analysis.Pass
	excused map[ast.Node]bool // judged harmless by a node above
	floats  map[int]bool      // lines with a float, reported once each

	concurrent bool // within a function that may start goroutines
}

func (c *check) report(at ast.Node, format string, a ...any) { c.pass.ReportRangef(at, format, a...) }

// node judges n and says whether to look below it.
func (c *check) node(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ImportSpec:
		c.imported(n)
		return false
	case *ast.GoStmt:
		if !c.concurrent {
			c.report(n, "goroutine: consensus code runs in one order")
		}
	case *ast.SelectStmt:
		if len(n.Body.List) > 1 {
			c.report(n, "select with several cases: which one is ready is chance")
		}
	case *ast.BlockStmt:
		c.excuse(n.List)
	case *ast.CaseClause:
		c.excuse(n.Body)
	case *ast.RangeStmt:
		if !c.excused[n] && isMap(c.pass.TypesInfo.TypeOf(n.X)) {
			c.report(n, "range over a map: sort its keys first")
		}
	case *ast.CallExpr:
		if name := c.callee(n); slices.Contains(ordered, name) && len(n.Args) > 0 {
			c.excused[ast.Unparen(n.Args[0])] = true
		} else if slices.Contains(keyed, name) && c.excused[n] {
			c.excused[function(n.Fun)] = true
		}
	case *ast.Ident:
		c.name(n)
	}
	if e, ok := n.(ast.Expr); ok {
		return !c.float(e)
	}
	return true
}

func (c *check) imported(n *ast.ImportSpec) {
	p, _ := strconv.Unquote(n.Path.Value) // the parser has checked it
	for b, why := range banned {
		if p == b || strings.HasSuffix(b, "/") && strings.HasPrefix(p, b) {
			c.report(n, "import of %s brings in %s", p, why)
		}
	}
}

// name judges each use of a function or variable, called or not.
func (c *check) name(n *ast.Ident) {
	obj := c.pass.TypesInfo.Uses[n]
	if obj == nil || obj.Pkg() == nil {
		return
	}
	full := obj.Pkg().Path() + "." + obj.Name()
	if f, ok := obj.(*types.Func); ok {
		full = f.Origin().FullName()
	}
	if why := refused[full]; why != "" && !(c.concurrent && slices.Contains(starting, full)) {
		c.report(n, "%s brings in %s", full, why)
	}
	if slices.Contains(keyed, full) && !c.excused[n] {
		c.report(n, "%s brings in map order: give it to slices.Sorted", full)
	}
}

// float reports an expression or type that is, or holds, a binary fraction.
func (c *check) float(e ast.Expr) bool {
	t := c.pass.TypesInfo.TypeOf(e)
	if t == nil {
		return false
	}
	b, ok := t.Underlying().(*types.Basic)
	if !ok || b.Info()&(types.IsFloat|types.IsComplex) == 0 {
		return false
	}
	if line := c.pass.Fset.Position(e.Pos()).Line; !c.floats[line] {
		c.floats[line] = true
		c.report(e, "float: %s", types.TypeString(t, types.RelativeTo(c.pass.Pkg)))
	}
	return true
}

// excuse finds, in a list of statements, loops that only collect the keys of a
// map into a slice which the next statement sorts.
func (c *check) excuse(list []ast.Stmt) {
	for i := range len(list) - 1 {
		if loop, ok := list[i].(*ast.RangeStmt); ok && c.collects(loop, list[i+1]) {
			c.excused[loop] = true
		}
	}
}

func (c *check) collects(loop *ast.RangeStmt, next ast.Stmt) bool {
	key, ok := loop.Key.(*ast.Ident)
	if !ok || len(loop.Body.List) != 1 {
		return false
	}
	set, ok := loop.Body.List[0].(*ast.AssignStmt)
	if !ok || set.Tok != token.ASSIGN || len(set.Lhs) != 1 || len(set.Rhs) != 1 {
		return false
	}
	add, ok := set.Rhs[0].(*ast.CallExpr)
	if !ok || len(add.Args) != 2 || !c.is(add.Fun, types.Universe.Lookup("append")) {
		return false
	}
	slice := c.object(set.Lhs[0])
	if slice == nil || !c.is(add.Args[0], slice) || !c.is(add.Args[1], c.pass.TypesInfo.Defs[key]) {
		return false
	}
	do, ok := next.(*ast.ExprStmt)
	if !ok {
		return false
	}
	sort, ok := do.X.(*ast.CallExpr)
	return ok && slices.Contains(sorts, c.callee(sort)) && c.is(sort.Args[0], slice)
}

func (c *check) object(e ast.Expr) types.Object {
	id, ok := e.(*ast.Ident)
	if !ok {
		return nil
	}
	return c.pass.TypesInfo.Uses[id]
}

func (c *check) is(e ast.Expr, obj types.Object) bool { return obj != nil && c.object(e) == obj }

// callee is the full name of the function that a call names, or "".
func (c *check) callee(n *ast.CallExpr) string {
	f, ok := typeutil.Callee(c.pass.TypesInfo, n).(*types.Func)
	if !ok {
		return ""
	}
	return f.Origin().FullName()
}

// function is the identifier that names a called function, or nil.
func function(e ast.Expr) ast.Node {
	switch e := ast.Unparen(e).(type) {
	case *ast.Ident:
		return e
	case *ast.SelectorExpr:
		return e.Sel
	case *ast.IndexExpr:
		return function(e.X)
	case *ast.IndexListExpr:
		return function(e.X)
	}
	return nil
}

// isMap: t is a map, or a type parameter that may be one.
func isMap(t types.Type) bool {
	switch u := t.Underlying().(type) {
	case *types.Map:
		return true
	case *types.Interface:
		for i := range u.NumEmbeddeds() {
			if isMap(u.EmbeddedType(i)) {
				return true
			}
		}
	case *types.Union:
		for i := range u.Len() {
			if isMap(u.Term(i).Type()) {
				return true
			}
		}
	}
	return false
}
