package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/ketch-os/ketch/api/pid1"
)

func bootExample() *pid1.Boot {
	return &pid1.Boot{
		FirmwareUsec: 900_000, LoaderUsec: 100_000, PID1Usec: 500_000, ReadyUsec: 1_900_000, GoodUsec: 3_000_000,
		Steps: []pid1.Step{
			{Stage: pid1.StageInitramfs, Name: "slot", StartUsec: 500_000, TookUsec: 1_500},
			{Stage: pid1.StageSystem, Name: "state", StartUsec: 600_000, TookUsec: 90_000, Error: "no file system"},
			{Stage: pid1.StageService, Name: "a service with a long name", StartUsec: 1_000_000, TookUsec: 900_000},
			{Stage: pid1.StageGate, Name: "health gate", StartUsec: 1_900_000, TookUsec: 1_100_000},
		},
	}
}

const charted = `STAGE     STEP                    START     TOOK
firmware                        -1.00 s   900 ms * ######
loader                          -100 ms   100 ms         #
kernel                           0.0 ms   500 ms *        ###
initramfs slot                   500 ms   1.5 ms             |
system    state                  600 ms    90 ms !            #
          ! no file system
service   a service with a lo~   1.00 s   900 ms *               #######
gate      health gate            1.90 s   1.10 s *                      ########

! failed; the boot went on, or ended there
* took 10 % of the boot or more
runtime-ready after 1.9 s, good after 3.0 s
`

func TestChart(t *testing.T) {
	got := chart{boot: bootExample(), width: 80, ascii: true}.String()
	if got != charted {
		t.Errorf("chart =\n%s\nwant\n%s", got, charted)
	}
}

// TestChartFits: no line is wider than the terminal, but for one that is too
// narrow for anything; a bar never begins before an earlier step's, nor is one
// missing.
func TestChartFits(t *testing.T) {
	for _, width := range []int{1, 40, 80, 81, 120, 300} {
		for _, ascii := range []bool{true, false} {
			got := chart{boot: bootExample(), width: width, ascii: ascii}.String()
			for line := range strings.Lines(got) {
				if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > max(width, 62) {
					t.Errorf("at %d columns a line has %d: %s", width, n, line)
				}
			}
			if ascii && strings.ContainsFunc(got, func(r rune) bool { return r > '~' }) {
				t.Errorf("the chart in ASCII has other characters:\n%s", got)
			}
			if !ascii && !strings.Contains(got, "█") {
				t.Errorf("the chart has no bars:\n%s", got)
			}
		}
	}
}

func TestChartWithoutLoaderTimes(t *testing.T) {
	got := chart{boot: &pid1.Boot{PID1Usec: 1}, width: 80, virtual: true}.String()
	if want := "firmware  not told by the boot loader: it keeps no time in a virtual machine\n"; !strings.Contains(got, want) {
		t.Errorf("chart =\n%s\nwant %q in it", got, want)
	}
	got = chart{boot: &pid1.Boot{}, width: 80}.String() // nothing at all is known
	if want := "loader    not told by the boot loader\n"; !strings.Contains(got, want) || !strings.HasSuffix(got, "\nnot good\n") {
		t.Errorf("chart =\n%s\nwant %q in it", got, want)
	}
}

func TestSeconds(t *testing.T) {
	for usec, want := range map[int64]string{0: "0.0 ms", 1500: "1.5 ms", 9999: "10.0 ms", 10_000: "10 ms", 999_999: "999 ms", 1_000_000: "1.00 s", 123_456_789: "123.46 s", -100_000: "-100 ms", -9_876_543: "-9.88 s"} {
		if got := seconds(usec); got != want || len(got) > timeWidth {
			t.Errorf("seconds(%d) = %q; want %q", usec, got, want)
		}
	}
}

func TestUTF8Locale(t *testing.T) {
	for _, test := range []struct {
		environ map[string]string
		want    bool
	}{
		{nil, false},
		{map[string]string{"LANG": "C.UTF-8"}, true},
		{map[string]string{"LANG": "en_GB.utf8"}, true},
		{map[string]string{"LANG": "C.UTF-8", "LC_ALL": "C"}, false},
		{map[string]string{"LC_CTYPE": "C.UTF-8", "LANG": "C"}, true},
	} {
		if got := utf8Locale(func(name string) string { return test.environ[name] }); got != test.want {
			t.Errorf("utf8Locale(%v) = %v; want %v", test.environ, got, test.want)
		}
	}
}
