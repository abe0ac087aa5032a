// Report reads what `go test -json` writes and makes of it what a person reads:
//
//   - each package's line, as go test prints it, and what failed, whole;
//   - at the end, which tests were skipped and why, which took longest, and one
//     line with the counts.
//
// Its exit status is 1 if anything failed, or if there was nothing to read.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

func main() {
	err := run(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	r := newRun(out)
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			r.line(line)
		}
		if errors.Is(err, io.EOF) {
			return r.close()
		}
		if err != nil {
			return err
		}
	}
}

// event is a line of `go test -json` (go doc test2json).
type event struct {
	Time        time.Time
	Action      string
	Package     string
	ImportPath  string // of a build-output, in place of Package
	Test        string
	Elapsed     float64 // seconds
	Output      string
	FailedBuild string
}

// line takes one line. What is no event passes through: go test itself says it.
func (r *testRun) line(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil || e.Action == "" {
		r.out.Write(line)
		return
	}
	switch e.Action {
	case "run", "cont":
		r.begun[name{e.Package, e.Test}] = e.Time
	case "output":
		r.output(e)
	case "build-output":
		fmt.Fprint(r.out, e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			r.endPackage(e)
		} else {
			r.endTest(e)
		}
	}
}

// seconds are as `go test -json` counts them.
func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }
