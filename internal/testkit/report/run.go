package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ketch-os/ketch/internal/testkit"
)

// slowest is how many tests the table of the slowest has.
const slowest = 15

// name is a test's: its package and what it is called there.
type name struct{ pkg, test string }

// testRun is what is known of a run of tests.
type testRun struct {
	out    io.Writer
	said   map[name]*strings.Builder // by tests that have not ended, and by packages ("")
	cached map[string]bool           // packages whose results are of an earlier run

	passed, failed int
	skipped        []skip
	begun          map[name]time.Time     // when a test has begun, or gone on
	took           map[name]time.Duration // of tests that are no subtests
	spent          map[name]time.Duration // processor time of other processes, subtests' included
	broken         map[string]bool        // packages of which a test failed
}

// skip is a test that was left out.
type skip struct {
	name
	why string
}

func newRun(out io.Writer) *testRun {
	return &testRun{
		out:  out,
		said: map[name]*strings.Builder{}, cached: map[string]bool{},
		begun: map[name]time.Time{}, took: map[name]time.Duration{}, spent: map[name]time.Duration{}, broken: map[string]bool{},
	}
}

// output keeps what a test or a package says until its end tells whether anybody
// wants to read it.
func (r *testRun) output(e event) {
	if strings.HasPrefix(e.Output, "=== ") { // RUN, PAUSE, CONT, NAME: which test speaks is known
		return
	}
	key := name{e.Package, e.Test}
	text := r.said[key]
	if text == nil {
		text = &strings.Builder{}
		r.said[key] = text
	}
	text.WriteString(e.Output)
	if e.Test == "" && strings.Contains(e.Output, "\t(cached)") {
		r.cached[e.Package] = true
	}
}

// take returns what was said under a name, and forgets it.
func (r *testRun) take(key name) string {
	text := r.said[key]
	delete(r.said, key)
	if text == nil {
		return ""
	}
	return text.String()
}

func (r *testRun) endTest(e event) {
	key := name{e.Package, e.Test}
	text := r.take(key)
	top, _, sub := strings.Cut(e.Test, "/")
	if !sub {
		// Elapsed leaves out for how long parallel subtests are waited for.
		r.took[key] = seconds(e.Elapsed)
		if begun, ok := r.begun[key]; ok {
			r.took[key] = max(r.took[key], e.Time.Sub(begun))
		}
	}
	delete(r.begun, key)
	r.spent[name{e.Package, top}] += spent(text)
	switch e.Action {
	case "pass":
		r.passed++
	case "skip":
		r.skipped = append(r.skipped, skip{key, reason(text)})
	case "fail":
		r.failed++
		r.broken[e.Package] = true
		fmt.Fprintf(r.out, "--- %s\n%s", key, text)
	}
}

// endPackage prints a package's own words. Tests that have not ended by then are
// those that a panic or a time-out has caught.
func (r *testRun) endPackage(e event) {
	open := slices.SortedFunc(maps.Keys(r.said), func(a, b name) int { return cmp.Compare(a.test, b.test) })
	for _, key := range open {
		if key.pkg != e.Package || key.test == "" {
			continue
		}
		if text := r.take(key); e.Action == "fail" {
			r.failed++
			r.broken[e.Package] = true
			fmt.Fprintf(r.out, "--- %s, which has not ended\n%s", key, text)
		}
	}
	if e.Action == "fail" && !r.broken[e.Package] { // it was not built, or ended outside of a test
		r.failed++
	}
	if e.Action == "skip" { // a package without tests
		r.take(name{e.Package, ""})
		return
	}
	text := strings.TrimPrefix(r.take(name{e.Package, ""}), "PASS\n")
	fmt.Fprint(r.out, text)
}

// logged is a line that a test has logged: its file and line, and what it says.
var logged = regexp.MustCompile(`(?m)^\s+\S+\.go:\d+: (.*)$`)

// reason is why a test was skipped: the last that it logged.
func reason(text string) string {
	all := logged.FindAllStringSubmatch(text, -1)
	if len(all) == 0 {
		return "no reason given"
	}
	return all[len(all)-1][1]
}

// spentLine is a line of testkit.Spent.
var spentLine = regexp.MustCompile(`(?m)` + testkit.SpentWords + `(\d+\.\d) s$`)

// spent adds up what a test has noted of processor time.
func spent(text string) (sum time.Duration) {
	for _, match := range spentLine.FindAllStringSubmatch(text, -1) {
		if s, err := strconv.ParseFloat(match[1], 64); err == nil {
			sum += seconds(s)
		}
	}
	return sum
}

// String is a package's last two elements and the test.
func (n name) String() string {
	return path.Join(path.Base(path.Dir(n.pkg)), path.Base(n.pkg)) + " " + n.test
}

// close prints what is said of the run as a whole.
func (r *testRun) close() error {
	r.table()
	if len(r.skipped) > 0 {
		fmt.Fprintf(r.out, "\nskipped:\n")
		r.listSkipped()
	}
	fmt.Fprintf(r.out, "\n%d passed, %d failed, %d skipped\n", r.passed, r.failed, len(r.skipped))
	switch {
	case r.failed > 0:
		return errors.New("tests failed: see FAIL above")
	case r.passed == 0:
		return errors.New("no test has run")
	}
	return nil
}

// listSkipped lists the tests that were skipped by the reason, and each test once,
// however many of its subtests are among them.
func (r *testRun) listSkipped() {
	tests := map[string][]string{} // by reason
	subtests := map[string]int{}   // by reason and test
	for _, s := range r.skipped {
		top, _, sub := strings.Cut(s.test, "/")
		test := name{s.pkg, top}.String()
		if !slices.Contains(tests[s.why], test) {
			tests[s.why] = append(tests[s.why], test)
		}
		if sub {
			subtests[s.why+test]++
		}
	}
	for _, why := range slices.Sorted(maps.Keys(tests)) {
		fmt.Fprintf(r.out, "  %s\n", why)
		for _, test := range slices.Sorted(slices.Values(tests[why])) {
			fmt.Fprintf(r.out, "      %s", test)
			if n := subtests[why+test]; n > 0 {
				fmt.Fprintf(r.out, ", %d of its subtests", n)
			}
			fmt.Fprintln(r.out)
		}
	}
}

// table lists the tests that took longest in this run, and the processor time of
// their machines: a test in QEMU also waits until a processor is free.
func (r *testRun) table() {
	ran := slices.DeleteFunc(slices.Collect(maps.Keys(r.took)), func(n name) bool { return r.cached[n.pkg] })
	slices.SortFunc(ran, func(a, b name) int {
		return cmp.Or(cmp.Compare(r.took[b], r.took[a]), cmp.Compare(a.pkg, b.pkg), cmp.Compare(a.test, b.test))
	})
	if len(ran) == 0 {
		return
	}
	fmt.Fprintf(r.out, "\nslowest tests, those whose result was kept from an earlier run apart:\n")
	for _, n := range ran[:min(len(ran), slowest)] {
		fmt.Fprintf(r.out, "  %7.1f s  %s", r.took[n].Seconds(), n)
		if spent := r.spent[n]; spent > 0 {
			fmt.Fprintf(r.out, " (machines: %.1f s of a processor)", spent.Seconds())
		}
		fmt.Fprintln(r.out)
	}
	var all time.Duration
	for _, spent := range r.spent {
		all += spent
	}
	if all > 0 {
		fmt.Fprintf(r.out, "all machines together took %.0f s of a processor\n", all.Seconds())
	}
}
