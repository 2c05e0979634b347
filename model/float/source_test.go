package float

import (
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"strings"
	"testing"
)

// Of package math only what gives the same bits on every machine, and integer constants.
var allowedMath = map[string]bool{
	"Sqrt": true, "Abs": true, "Floor": true, "Trunc": true, "MaxInt": true,
	"Float32bits": true, "Float32frombits": true, "Float64bits": true, "Float64frombits": true,
}

// TestSource reads the package's own source: no function of package math that may differ between machines, and
// no product of floats that a compiler may fuse with an addition, here, in the dequantiser and in the maker of test models.
func TestSource(t *testing.T) {
	for _, folder := range []string{".", "../gguf", "../synthetic"} {
		for _, complaint := range audit(t, folder) {
			t.Error(complaint)
		}
	}
}

// TestAuditSees plants each violation.
func TestAuditSees(t *testing.T) {
	for name, c := range map[string]struct {
		source string
		found  int
	}{
		"clean":           {`func f(a, b, c float32) float32 { return float32(a*b) + c }`, 0},
		"parentheses":     {`func f(a, b, c float32) float32 { return float32((a*b)) + c }`, 0},
		"constants":       {`const x = 1.5 * 2.5; var y float32 = x * 3`, 0},
		"integers":        {`func f(a, b, c int) int { return a*b + c }`, 0},
		"sum of products": {`func f(a, b, c float32) float32 { return a*b + c }`, 1},
		"bare product":    {`func f(a, b float64) float64 { x := a * b; return x + 1 }`, 1},
		"halving":         {`func f(a, b float32) float32 { return a/2 + b }`, 1},
		"halving rounded": {`func f(a, b float32) float32 { return float32(a/2) + b }`, 0},
		"division":        {`func f(a, b float32) float32 { return a/b + b }`, 0},
		"assignment":      {`func f(a, b float32) float32 { a *= b; return a + 1 }`, 1},
		"other type":      {`type g float32; func f(a, b, c g) g { return g(a*b) + c }`, 1},
		"exp":             {`import "math"; func f(a float64) float64 { return math.Exp(a) }`, 1},
		"fma":             {`import "math"; var f = math.FMA`, 1},
		"renamed":         {`import m "math"; func f(a float64) float64 { return m.Sin(a) }`, 1},
		"dot import":      {`import . "math"; func f(a float64) float64 { return Sin(a) }`, 1},
		"complex":         {`import "math/cmplx"; func f(a complex128) complex128 { return cmplx.Exp(a) }`, 1},
	} {
		dir := t.TempDir()
		if err := os.WriteFile(dir+"/x.go", []byte("package x\n"+c.source), 0o600); err != nil {
			t.Fatal(err)
		}
		if found := audit(t, dir); len(found) != c.found {
			t.Errorf("%s: found %q, want %d", name, found, c.found)
		}
	}
}

// audit type-checks each file of a folder for itself, whatever its build tags. What a file takes from elsewhere
// has no known type; a product of it counts as one of floats.
func audit(t *testing.T, folder string) []string {
	t.Helper()
	fset := token.NewFileSet()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var files []*ast.File
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, folder+"/"+e.Name(), nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	if len(files) == 0 {
		t.Fatalf("%s has no source", folder)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: importer.ForCompiler(fset, "source", nil), Error: func(error) {}}
	_, _ = config.Check("x", fset, files, info) // errors leave types unknown, which audit counts against the file
	a := auditor{fset: fset, info: info, wrapped: map[ast.Expr]bool{}}
	for _, file := range files {
		ast.Inspect(file, a.visit)
	}
	return a.found
}

type auditor struct {
	fset    *token.FileSet
	info    *types.Info
	wrapped map[ast.Expr]bool // products inside a conversion
	found   []string
}

func (a *auditor) complain(n ast.Node, what string) {
	a.found = append(a.found, a.fset.Position(n.Pos()).String()+": "+what)
}

func (a *auditor) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.ImportSpec:
		integers := n.Path.Value == `"math/bits"` || n.Path.Value == `"math/rand/v2"`
		if strings.HasPrefix(n.Path.Value, `"math/`) && !integers {
			a.complain(n, "imports "+n.Path.Value)
		}
	case *ast.Ident:
		object := a.info.Uses[n]
		if object != nil && object.Pkg() != nil && object.Pkg().Path() == "math" && !allowedMath[n.Name] {
			a.complain(n, "uses math."+n.Name)
		}
	case *ast.CallExpr:
		if f, ok := n.Fun.(*ast.Ident); ok && (f.Name == "float32" || f.Name == "float64") && len(n.Args) == 1 {
			a.wrapped[ast.Unparen(n.Args[0])] = true
		}
	case *ast.BinaryExpr:
		product := n.Op == token.MUL || n.Op == token.QUO && a.constant(n.Y)
		if product && !a.wrapped[n] && a.float(n) {
			a.complain(n, "a product without a conversion around it")
		}
	case *ast.AssignStmt:
		product := n.Tok == token.MUL_ASSIGN || n.Tok == token.QUO_ASSIGN && a.constant(n.Rhs[0])
		if product && a.float(n.Lhs[0]) {
			a.complain(n, "a product without a conversion around it")
		}
	}
	return true
}

// constant reports whether an expression has a known value: dividing by it may compile to a product.
func (a *auditor) constant(e ast.Expr) bool { return a.info.Types[e].Value != nil }

// float reports whether an expression may be a float computed at run time.
func (a *auditor) float(e ast.Expr) bool {
	known, ok := a.info.Types[e]
	if !ok || known.Type == nil {
		return true
	}
	if known.Value != nil {
		return false
	}
	basic, ok := known.Type.Underlying().(*types.Basic)
	return !ok || basic.Kind() == types.Invalid || basic.Info()&types.IsInteger == 0
}
