package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/internal/testkit"
)

// example is a module with a test of each kind of end.
var example = map[string]string{
	"go.mod": "module example.org/m\n\ngo 1.24\n",
	"good/good_test.go": `package good
import "testing"
func TestGood(t *testing.T) { t.Log("nobody wants to read this") }
func TestSkipped(t *testing.T) { t.Log("first"); t.Skip("needs root to mount: this is user 7") }
func TestSub(t *testing.T) { t.Run("a", func(t *testing.T) {}); t.Run("b", func(t *testing.T) { t.Skipf("not today") }) }
`,
	"bad/bad_test.go": `package bad
import "testing"
func TestGood(t *testing.T) { t.Log("nobody wants to read this") }
func TestBad(t *testing.T) { t.Log("got 1"); t.Run("sub", func(t *testing.T) { t.Error("want 2") }) }
`,
	"panics/panics_test.go": `package panics
import "testing"
func TestPanics(t *testing.T) { t.Log("so far"); panic("out of the blue") }
`,
	"exits/exits_test.go": `package exits
import ("os"; "testing")
func TestMain(m *testing.M) { println("no room"); os.Exit(3) }
`,
	"hangs/hangs_test.go": `package hangs
import "testing"
func TestGood(t *testing.T) {}
func TestHangs(t *testing.T) { t.Log("so far"); select {} }
`,
	"unbuilt/unbuilt_test.go": "package unbuilt\n\nvar x int = \"no number\"\n",
	"empty/empty.go":          "package empty\n",
}

// report runs the tests of some of the example's packages, with flags of go test if
// any, and returns what is made of them.
func report(t *testing.T, arguments ...string) (string, error) {
	t.Helper()
	dir := t.TempDir()
	for path, text := range example {
		path = filepath.Join(dir, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command("go", append([]string{"test", "-json", "-vet=off", "-count=1"}, arguments...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOFLAGS=")
	in, err := cmd.Output()
	if _, ran := err.(*exec.ExitError); err != nil && !ran {
		t.Fatal(err)
	}
	var out strings.Builder
	err = run(strings.NewReader(string(in)), &out)
	return out.String(), err
}

func TestReport(t *testing.T) {
	for _, test := range []struct {
		arguments     string
		wants, spares []string
		fails         bool
	}{
		{
			"./good ./empty",
			[]string{
				"ok  \texample.org/m/good", "\nskipped:\n", "\n  needs root to mount: this is user 7\n      m/good TestSkipped\n",
				"\n  not today\n      m/good TestSub, 1 of its subtests\n", " s  m/good TestGood\n", "\n3 passed, 0 failed, 2 skipped\n",
			},
			[]string{"nobody wants", "=== RUN", "TestSub/a"},
			false,
		},
		{
			"./good ./bad",
			[]string{"got 1", "want 2", "FAIL\texample.org/m/bad", "\n4 passed, 2 failed, 2 skipped\n"},
			[]string{"nobody wants"},
			true,
		},
		{"./panics", []string{"so far", "panic: out of the blue", "\n0 passed, 1 failed, 0 skipped\n"}, nil, true},
		{
			"-timeout=2s ./hangs",
			[]string{"so far", "panic: test timed out after 2s", "FAIL\texample.org/m/hangs", "\n1 passed, 1 failed, 0 skipped\n"},
			nil, true,
		},
		{"./exits", []string{"no room", "FAIL\texample.org/m/exits", "\n0 passed, 1 failed, 0 skipped\n"}, nil, true},
		{"./unbuilt", []string{"no number", "FAIL\texample.org/m/unbuilt", "\n0 passed, 1 failed, 0 skipped\n"}, nil, true},
		{"./empty", []string{"\n0 passed, 0 failed, 0 skipped\n"}, nil, true},
	} {
		t.Run(test.arguments, func(t *testing.T) {
			t.Parallel()
			got, err := report(t, strings.Fields(test.arguments)...)
			if (err != nil) != test.fails {
				t.Errorf("run = %v; want it to fail: %v", err, test.fails)
			}
			for _, want := range test.wants {
				if !strings.Contains(got, want) {
					t.Errorf("no %q in:\n%s", want, got)
				}
			}
			for _, spare := range test.spares {
				if strings.Contains(got, spare) {
					t.Errorf("%q is in:\n%s", spare, got)
				}
			}
		})
	}
}

// TestSpent: what a test and its subtests note of other processes is added up.
func TestSpent(t *testing.T) {
	var in, out strings.Builder
	for _, test := range []string{"TestX/a", "TestX/b", "TestX", "TestY"} {
		fmt.Fprintf(&in, `{"Action":"output","Package":"m","Test":%q,"Output":"    x_test.go:1: the machine %s10.5 s\n"}`+"\n", test, testkit.SpentWords)
		fmt.Fprintf(&in, `{"Action":"pass","Package":"m","Test":%q,"Elapsed":70}`+"\n", test)
	}
	if err := run(strings.NewReader(in.String()), &out); err != nil {
		t.Error(err)
	}
	for _, want := range []string{"TestX (machines: 31.5 s of a processor)\n", "TestY (machines: 10.5 s of a processor)\n", "\nall machines together took 42 s of a processor\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in:\n%s", want, &out)
		}
	}
}

// TestTook: a test takes as long as its parallel subtests do.
func TestTook(t *testing.T) {
	const in = `{"Time":"2026-11-30T12:00:00Z","Action":"run","Package":"m","Test":"TestX"}
{"Time":"2026-11-30T12:00:05Z","Action":"cont","Package":"m","Test":"TestX"}
{"Time":"2026-11-30T12:00:06Z","Action":"run","Package":"m","Test":"TestX/a"}
{"Time":"2026-11-30T12:01:06Z","Action":"pass","Package":"m","Test":"TestX/a","Elapsed":60}
{"Time":"2026-11-30T12:01:06Z","Action":"pass","Package":"m","Test":"TestX","Elapsed":1}
`
	var out strings.Builder
	if err := run(strings.NewReader(in), &out); err != nil {
		t.Error(err)
	}
	if want := "     61.0 s  m TestX\n"; !strings.Contains(out.String(), want) {
		t.Errorf("no %q in:\n%s", want, &out)
	}
}

// TestLastLine: what reads the output of `make test` finds the counts at its end.
func TestLastLine(t *testing.T) {
	var out strings.Builder
	in := `{"Action":"pass","Package":"m","Test":"TestX","Elapsed":1.5}` + "\n" + `{"Action":"pass","Package":"m"}`
	if err := run(strings.NewReader("go: downloading m\n"+in), &out); err != nil {
		t.Error(err)
	}
	if got := out.String(); !strings.HasSuffix(got, "\n1 passed, 0 failed, 0 skipped\n") || !strings.HasPrefix(got, "go: downloading m\n") {
		t.Errorf("report:\n%s", got)
	}
}
