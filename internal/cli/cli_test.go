package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/ketch-os/ketch/internal/testkit"
)

// cured is an error that knows its cure.
type cured struct{ error }

func (cured) Hint() string { return "press it" }

// example is a program with a command that does what the test says.
func example(do func(*cobra.Command, []string) error) *cobra.Command {
	build := &cobra.Command{Use: "build FILE", Short: "Build a thing", Args: One("a file"), RunE: do}
	build.Flags().String("output", "", "write to `FILE`")
	build.Flags().Int("jobs", 4, "`N` at a time")
	build.Flags().Bool("internal", false, "")
	_ = build.Flags().MarkHidden("internal")
	fresh := &cobra.Command{Use: "new", Short: "Make keys", Args: None, RunE: do}
	return Program(&cobra.Command{Use: "ship", Long: "ship makes things."},
		func() (Version, error) {
			return Version{Version: "1.2", Commit: "abc", Changed: true, Go: "go1", Machine: "linux/x", Kernel: "6.1"}, nil
		},
		Group{"Make", []*cobra.Command{build, Parent(&cobra.Command{Use: "keys", Short: "Keys"}, fresh)}})
}

func TestErrors(t *testing.T) {
	for _, test := range []struct {
		args   []string
		err    error
		status int
		want   string
	}{
		{[]string{"build", "x"}, nil, 0, ""},
		{[]string{"build", "x"}, errors.New("layer 2"), 1, "error: build: layer 2\n"},
		{[]string{"keys", "new"}, errors.New("no room"), 1, "error: keys new: no room\n"},
		{[]string{"build", "x"}, fmt.Errorf("read: %w", cured{errors.New("stuck")}), 1, "error: build: read: stuck\nhint: press it\n"},
		{[]string{"build", "x"}, fmt.Errorf("read \x1b[2Jx:\n\ty"), 1, "error: build: read \\x1b[2Jx:\n\ty\n"},
		{[]string{"build", "x"}, Usagef("want %d", 1), 2, "error: build: want 1\nhint: see: ship build --help\n"},
		{[]string{"build", "x"}, Usage(cured{errors.New("stuck")}), 2, "error: build: stuck\nhint: press it\n"},
		{[]string{"build", "x"}, Usage(nil), 0, ""},
		{[]string{"build", "x"}, Status(7), 7, ""},
		{[]string{"build", "x"}, cured{errors.New("no layer has \x1b[31m\u009b\xff\u202e")}, 1, "error: build: no layer has \\x1b[31m\\u009b\\xff\\u202e\nhint: press it\n"},
		{[]string{"build", "x"}, fmt.Errorf("run: %w", context.Canceled), 130, "error: interrupted\n"},
		{[]string{"build"}, nil, 2, "error: build: want one argument, a file; got 0\nhint: see: ship build --help\n"},
		{[]string{"build", "x", "y"}, nil, 2, "error: build: want one argument, a file; got 2\nhint: see: ship build --help\n"},
		{[]string{"keys", "new", "y"}, nil, 2, "error: keys new: what is \"y\" for? There are no arguments\nhint: see: ship keys new --help\n"},
		{[]string{"bulid", "x"}, nil, 2, "error: unknown command \"bulid\"\nhint: did you mean ship build?\n"},
		{[]string{"keys", "newe"}, nil, 2, "error: keys: unknown command \"newe\"\nhint: did you mean ship keys new?\n"},
		{[]string{"frobnicate"}, nil, 2, "error: unknown command \"frobnicate\"\nhint: see: ship --help\n"},
		{[]string{"help", "bulid"}, nil, 2, "error: help: unknown command \"bulid\"\nhint: did you mean ship build?\n"},
		{[]string{"build", "--ouput", "y", "x"}, nil, 2, "error: build: unknown flag: --ouput\nhint: did you mean --output?\n"},
		{[]string{"build", "--interna", "x"}, nil, 2, "error: build: unknown flag: --interna\nhint: see: ship build --help\n"},
		{[]string{"build", "-q", "x"}, nil, 2, "error: build: unknown shorthand flag: 'q' in -q\nhint: see: ship build --help\n"},
	} {
		var out, errs bytes.Buffer
		root := example(func(*cobra.Command, []string) error { return test.err })
		if got := Run(t.Context(), root, test.args, Streams{nil, &out, &errs}); got != test.status || errs.String() != test.want || out.Len() > 0 {
			t.Errorf("%q (%v) = %d, %q, %q; want %d, %q", test.args, test.err, got, &errs, &out, test.status, test.want)
		}
	}
}

func TestHelp(t *testing.T) {
	const overview = `ship makes things.

Make:
  ship build FILE  Build a thing
  ship keys        Keys

This program:
  ship completion bash|zsh|fish  Print what completes command lines in a shell
  ship help [COMMAND]            Tell more of a command
  ship version                   Show the version, the commit, Go's and the kernel's version
`
	const build = `usage: ship build FILE

Build a thing.

Flags:
      --jobs N        N at a time (default 4)
      --output FILE   write to FILE
`
	for _, test := range []struct {
		args      []string
		status    int
		out, errs string
	}{
		{nil, 2, "", overview},
		{[]string{"help"}, 0, overview, ""},
		{[]string{"--help"}, 0, overview, ""},
		{[]string{"-h"}, 0, overview, ""},
		{[]string{"build", "--help"}, 0, build, ""},
		{[]string{"help", "build"}, 0, build, ""},
		{[]string{"keys"}, 2, "", "usage: ship keys\n\nKeys.\n\n  ship keys new  Make keys\n"},
	} {
		var out, errs bytes.Buffer
		got := Run(t.Context(), example(func(*cobra.Command, []string) error { return nil }), test.args, Streams{nil, &out, &errs})
		if got != test.status || out.String() != test.out || errs.String() != test.errs {
			t.Errorf("%q = %d\n%s\n%s\nwant %d\n%s\n%s", test.args, got, &out, &errs, test.status, test.out, test.errs)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"output", "ouput", 1}, {"kitten", "sitting", 3}, {"json", "json", 0}} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("distance(%q, %q) = %d; want %d", test.a, test.b, got, test.want)
		}
	}
}

func TestSize(t *testing.T) {
	for in, want := range map[string]int64{"0": 0, "512": 512, "3K": 3 << 10, "64M": 64 << 20, "8G": 8 << 30, "2T": 2 << 40} {
		var s Size
		if err := s.Set(in); err != nil || s.Bytes != want {
			t.Errorf("Set(%q): %d, %v; want %d", in, s.Bytes, err, want)
		}
		if s.String() != in {
			t.Errorf("String of %d = %q; want %q", want, &s, in)
		}
	}
	for _, in := range []string{"", "G", "-1G", "1.5G", "8P", "8 G", "+1G", "99999999999999999999", "9999999999G", "9999999T"} {
		var s Size
		if err := s.Set(in); err == nil {
			t.Errorf("Set(%q): %d; want an error", in, s.Bytes)
		}
	}
	mib := Size{Unit: 1 << 20}
	if err := mib.Set("512"); err != nil || mib.Bytes != 512<<20 {
		t.Errorf("Set(512) of MiB: %d, %v; want 512 MiB", mib.Bytes, err)
	}
	if err := mib.Set("9999999999999"); err == nil {
		t.Errorf("Set(9999999999999) of MiB: %d; want an error", mib.Bytes)
	}
}

// run executes a command line of the example and returns what it prints.
func run(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	root := example(func(*cobra.Command, []string) error { return nil })
	if status := Run(t.Context(), root, args, Streams{Out: &out, Err: t.Output()}); status != 0 {
		t.Fatalf("%q: exit status %d", args, status)
	}
	return out.String()
}

func TestVersion(t *testing.T) {
	const want = "version      1.2\ncommit       abc, and changes\ngo           go1 linux/x\nhost kernel  6.1\n"
	for _, asked := range []string{"version", "--version"} {
		if got := run(t, asked); got != want {
			t.Errorf("%s = %q; want %q", asked, got, want)
		}
	}
	var v Version
	if err := json.Unmarshal([]byte(run(t, "version", "--json")), &v); err != nil || v.Commit != "abc" || v.Kernel != "6.1" {
		t.Errorf("version --json: %v, %+v", err, v)
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if built := Built(); err != nil || built.Go != runtime.Version() || built.Kernel != strings.TrimSpace(string(release)) {
		t.Errorf("Built = %+v, %v; want %s and kernel %s", built, err, runtime.Version(), release)
	}
}

// TestCompletion: what a shell asks for is answered, and the shells that are there
// take what they are given.
func TestCompletion(t *testing.T) {
	if got := run(t, "__complete", "bu"); !strings.HasPrefix(got, "build\tBuild a thing\n") {
		t.Errorf("completion of bu = %q; want build", got)
	}
	if got := run(t, "__complete", "build", "--o"); !strings.HasPrefix(got, "--output") {
		t.Errorf("completion of --o = %q; want --output", got)
	}
	if got := run(t, "__complete", "build", "--output"); !strings.HasPrefix(got, "--output\twrite to FILE\n") {
		t.Errorf("completion of --output = %q; want what it is, without backquotes", got)
	}
	if got := run(t, "__complete", ""); strings.Contains(got, "no-help") || !strings.Contains(got, "help\tTell more of a command\n") {
		t.Errorf("completion of nothing = %q; want help in it, once", got)
	}
	for _, shell := range shells {
		script := run(t, "completion", shell)
		if !strings.Contains(script, "ship") {
			t.Errorf("completion %s says nothing of the program", shell)
		}
		path, err := exec.LookPath(shell)
		if err != nil {
			continue // that the scripts are right is cobra's to test
		}
		check := exec.Command(path, "-n")
		check.Stdin = strings.NewReader(script)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s does not take its completion: %v: %s", shell, err, out)
		}
	}
}

func TestMan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "man1")
	run(t, "man", dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{"ship-build.1", "ship-completion.1", "ship-keys-new.1", "ship-keys.1", "ship-version.1", "ship.1"}
	if !slices.Equal(names, want) {
		t.Errorf("pages: %q; want %q", names, want)
	}
	page, err := os.ReadFile(filepath.Join(dir, "ship-build.1"))
	const text = `.TH SHIP\-BUILD 1 "" "Ketch" "Ketch"
.ad l
.SH NAME
ship\-build \- Build a thing
.SH SYNOPSIS
ship build FILE
.SH OPTIONS
.TP
\fB\-\-jobs\fP N
N at a time (default 4)
.TP
\fB\-\-output\fP FILE
write to FILE
.SH SEE ALSO
ship(1)
`
	if string(page) != text || err != nil {
		t.Errorf("page: %v\n%s\nwant\n%s", err, page, text)
	}
	page, err = os.ReadFile(filepath.Join(dir, "ship.1"))
	for _, want := range []string{
		".SH NAME\nship \\- makes things\n", ".SH SYNOPSIS\nship COMMAND\n",
		".SH SEE ALSO\nship\\-build(1),\nship\\-completion(1),\nship\\-keys(1),\nship\\-version(1)\n",
	} {
		if err != nil || !strings.Contains(string(page), want) {
			t.Errorf("page of the program: %v\n%s\nwant %q in it", err, page, want)
		}
	}
}

func TestRoff(t *testing.T) {
	for in, want := range map[string]string{".x": `\&.x`, "'x": `\&'x`, `a\b-c`: `a\eb\-c`, "plain": "plain"} {
		if got := roff(in); got != want {
			t.Errorf("roff(%q) = %q; want %q", in, got, want)
		}
	}
}

func TestPaint(t *testing.T) {
	testkit.File(t, "/dev/ptmx")
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	for _, test := range []struct {
		out           io.Writer
		noColor, term string
		want          string
	}{
		{terminal, "", "xterm", "\x1b[31mbad\x1b[0m"},
		{terminal, "1", "xterm", "bad"},
		{terminal, "", "dumb", "bad"},
		{new(bytes.Buffer), "", "xterm", "bad"},
	} {
		t.Setenv("NO_COLOR", test.noColor)
		t.Setenv("TERM", test.term)
		if got := Paint(test.out, Red, "bad"); got != test.want {
			t.Errorf("Paint with NO_COLOR=%s TERM=%s = %q; want %q", test.noColor, test.term, got, test.want)
		}
	}
}
