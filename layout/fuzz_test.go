package layout

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	// parses is how a function is called that reads what others wrote.
	parses = regexp.MustCompile(`^([Pp]arse|[Dd]ecode|Unmarshal|ReadFrame|ReadLine)`)
	// parsed are the types of what it reads, as its first parameter has them.
	parsed = map[string]bool{"[]byte": true, "string": true, "io.Reader": true, "io.ReaderAt": true, "*bufio.Reader": true}
)

// TestParsersAreFuzzed: a package that parses has a fuzz target.
func TestParsersAreFuzzed(t *testing.T) {
	parsers, fuzzed := map[string]string{}, map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || len(d.Name()) > 2 && d.Name()[0] == '.'):
			return fs.SkipDir
		case !strings.HasSuffix(path, ".go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir := filepath.Dir(path)
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			switch {
			case !ok:
			case strings.HasSuffix(path, "_test.go"):
				fuzzed[dir] = fuzzed[dir] || strings.HasPrefix(f.Name.Name, "Fuzz")
			case isParser(f):
				parsers[dir] = f.Name.Name
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(parsers) < 20 {
		t.Errorf("only %d packages with parsers were found", len(parsers))
	}
	for dir, name := range parsers {
		if !fuzzed[dir] {
			t.Errorf("%s has a parser, %s, and no fuzz target", dir, name)
		}
	}
}

// isParser tells a function that reads what others wrote, by its name and what it takes.
func isParser(f *ast.FuncDecl) bool {
	if !parses.MatchString(f.Name.Name) || len(f.Type.Params.List) == 0 {
		return false
	}
	return parsed[typeName(f.Type.Params.List[0].Type)]
}

// typeName writes a type as its source does, as far as parsed knows it.
func typeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.ArrayType:
		return "[]" + typeName(e.Elt)
	case *ast.StarExpr:
		return "*" + typeName(e.X)
	case *ast.SelectorExpr:
		return typeName(e.X) + "." + e.Sel.Name
	}
	return ""
}
