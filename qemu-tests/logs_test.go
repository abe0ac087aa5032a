package qemutests

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

// TestKernelLog: the kernel log is a log among the others, with a level on every
// line; a ketchd that is killed and started again goes on where the last one ended.
func TestKernelLog(t *testing.T) {
	t.Parallel()
	m, _ := goOn(t, nil, "ketchd has ended")
	m.shell("kill -9 $(pidof ketchd); until ketchctl logs > /dev/null; do sleep 1; done")
	log := m.shell("echo '<3>a line of a test' > /dev/kmsg; until ketchctl logs kernel | grep -q 'a line of a test'; do sleep 0.2; done; ketchctl logs kernel")
	for _, want := range []string{"notice Linux version 6.1", "notice ketch: version ", "warn   ketch: WARNING", "info   ketch: initramfs: slot", "err    a line of a test"} {
		if n := strings.Count(log, want); n != 1 {
			t.Errorf("the kernel log has %q %d times; want once", want, n)
		}
	}
	for line := range strings.Lines(log) {
		if !strings.HasPrefix(line, "[") && !strings.HasPrefix(line, "-- ") {
			t.Errorf("a line without a time and a level: %s", line)
		}
	}
}

// TestLogsAreFollowedAndBounded: whoever follows a log that is full, and hence
// loses its head, misses nothing; and all logs together stay within their limit.
func TestLogsAreFollowedAndBounded(t *testing.T) {
	t.Parallel()
	m, _ := goOn(t, nil)
	followed := m.shell(`cd /var/log/ketch; echo first > full.log
ketchctl logs -f -n 1 full > /tmp/followed &
until test -s /tmp/followed; do sleep 0.2; done
dd if=/dev/zero of=/var/tmp/zeros bs=1048576 count=12
reach() { until test $(wc -c < /tmp/followed) -ge $1; do sleep 0.2; done; }
cat /var/tmp/zeros >> full.log; echo sign one >> full.log; reach 12582927
cat /var/tmp/zeros >> full.log; echo sign two >> full.log; reach 25165848
while test "$(dd if=full.log bs=5 count=1)" = first; do sleep 0.2; done
echo sign three >> full.log; mv full.log full.away; echo sign four >> full.log; reach 25165909
kill $(pidof ketchctl); cat /tmp/followed`)
	if n := strings.Count(followed, "\x00"); n != 24<<20 {
		t.Errorf("followed %d zeros; want 24 MiB", n)
	}
	want := "first\nsign one\nsign two\nsign three\n-- the log is another file from here on\nsign four"
	if got := strings.ReplaceAll(followed, "\x00", ""); got != want {
		t.Errorf("followed %.200q; want %q", got, want)
	}
	m.shell("cd /var/log/ketch; for n in a b c d e f; do cp /var/tmp/zeros $n.log; cp /var/tmp/zeros $n.log.1; done")
	testkit.Eventually(t, "all logs together within their limit", func() bool {
		var list node.LogList
		if err := json.Unmarshal([]byte(m.shell("ketchctl logs --json")), &list); err != nil {
			t.Fatal(err)
		}
		var sum int64
		for _, l := range list.Logs {
			sum += l.Bytes
		}
		if list.Limit == 0 || len(list.Logs) < 9 {
			t.Fatalf("%d logs, and a limit of %d bytes", len(list.Logs), list.Limit)
		}
		return sum <= list.Limit
	})
}

// TestNoSerialPort: the command line names a console that this machine lacks.
func TestNoSerialPort(t *testing.T) {
	t.Parallel()
	o := direct(t, newDisk(t))
	o.Serial = "none"
	m := start(t, o)
	m.waitGood()
	m.powerOff()
}

// waitGood asks the machine until its boot is good, where no console tells.
func (m *machine) waitGood() {
	m.t.Helper()
	for !strings.Contains(m.shell("ketchctl status || true"), "good after") {
		time.Sleep(time.Second)
	}
}

// TestFullConsole: a serial line takes nothing any more from the moment that PID 1
// has said its first word, as one does whose other end has stopped it. Everything
// goes on: boot, gate, services, logs, and the way down.
func TestFullConsole(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "line")
	line := pipe(t, path)
	o := direct(t, newDisk(t))
	o.Serial = "pipe,path=" + path
	m := start(t, o)
	for lines := bufio.NewReaderSize(line, 16); ; { // reads no more than it must
		text, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(text, layout.ConsolePrefix+layout.SayVersion) {
			break
		}
	}
	m.waitGood()
	m.shell("for n in 1 2 3 4 5 6 7 8 9 10; do echo '<1>a line that nobody sees' > /dev/kmsg; done")
	if log := m.shell("ketchctl logs kernel"); strings.Count(log, "alert  a line that nobody sees") != 10 {
		t.Errorf("the kernel log has not all of ten lines:\n%s", log)
	}
	m.powerOff()
}

// pipe makes the two named pipes of QEMU's chardev "pipe", the smallest that there
// are, and returns the end that the machine's output comes from.
func pipe(t *testing.T, path string) *os.File {
	t.Helper()
	for _, suffix := range []string{".in", ".out"} {
		if err := unix.Mkfifo(path+suffix, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out, err := os.OpenFile(path+".out", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	if _, err := unix.FcntlInt(out.Fd(), unix.F_SETPIPE_SZ, 4096); err != nil {
		t.Fatal(err)
	}
	return out
}
