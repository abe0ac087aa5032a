package mount

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	const info = `22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw
36 22 0:32 / /mnt/a\040b\011\134c rw,nosuid - tmpfs none rw,size=64k
40 36 0:33 /sub /x rw shared:7 master:2 unbindable - fuse.sshfs  rw
`
	want := []Entry{
		{22, 1, 254, 0, "/", "/", "rw,relatime", "ext4", "/dev/root"},
		{36, 22, 0, 32, "/", "/mnt/a b\t\\c", "rw,nosuid", "tmpfs", "none"},
		{40, 36, 0, 33, "/sub", "/x", "rw", "fuse.sshfs", "rw"},
	}
	got, err := parse(strings.NewReader(info))
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("parse: %v (-want +got):\n%s", err, diff)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, line := range []string{"", "22 1 254:0 / / rw", "a b c / / rw - ext4 x rw", "22 1 2540 / / rw - ext4 x rw"} {
		if got, err := parseLine(line); err == nil {
			t.Errorf("parseLine(%q) = %+v; want an error", line, got)
		}
	}
}

func TestUnescape(t *testing.T) {
	for in, want := range map[string]string{
		"/plain": "/plain", `\040`: " ", `a\`: `a\`, `\04`: `\04`, `\999`: `\999`, `\134040`: `\040`,
	} {
		if got := unescape(in); got != want {
			t.Errorf("unescape(%q) = %q; want %q", in, got, want)
		}
	}
}

// TestList reads the table of the machine that the test runs on.
func TestList(t *testing.T) {
	entries, err := List()
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Target == "/proc" && e.Type == "proc" {
			return
		}
	}
	t.Errorf("List() = %+v; want /proc among them", entries)
}

func TestAllStopsAtTheFirstNeeded(t *testing.T) {
	dir := t.TempDir()
	var skipped []error
	err := All([]Mount{
		{"none", dir + "/a", "no-such-fs", 0, "", true},
		{"none", dir + "/b", "no-such-fs", 0, "", false},
		{"none", dir + "/c", "no-such-fs", 0, "", true},
	}, func(err error) { skipped = append(skipped, err) })
	if err == nil || !strings.Contains(err.Error(), "mount no-such-fs on "+dir+"/b: ") {
		t.Errorf("All = %v; want the error of b", err)
	}
	if len(skipped) != 1 {
		t.Errorf("All skipped %v; want a alone", skipped)
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add(`36 22 0:32 / /mnt/a\040b rw,nosuid shared:2 - tmpfs none rw,size=64k`)
	f.Fuzz(func(t *testing.T, line string) { parseLine(line) })
}
