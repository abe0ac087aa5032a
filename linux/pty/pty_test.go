package pty

import (
	"bufio"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestProgram: a program on the terminal has it as its own, in the size and with the
// modes that were set.
func TestProgram(t *testing.T) {
	master, terminal, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	name, err := Name(master)
	if err != nil {
		t.Fatal(err)
	}
	if err := Resize(master, Size{Columns: 101, Rows: 37}); err != nil {
		t.Fatal(err)
	}
	if err := Set(terminal, Modes{1: 'x', 53: 0, 72: 0}); err != nil { // VINTR, ECHO, ONLCR
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", "tty; stty size; stty -a </dev/tty | tr ';' '\\n'")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = terminal, terminal, terminal
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	terminal.Close()
	var said []string
	for lines := bufio.NewScanner(master); lines.Scan(); { // until the program has ended: EIO
		said = append(said, strings.TrimSpace(lines.Text()))
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %q", err, said)
	}
	text := "\n" + strings.Join(said, "\n") + " "
	for _, want := range []string{"\n" + name + "\n", "\n37 101\n", "\nintr = x\n", " -echo ", " -onlcr "} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in what it said: %s", want, text)
		}
	}
}

func TestParseModes(t *testing.T) {
	for encoded, want := range map[string]Modes{
		"":                     {},
		"\x00":                 {},
		"\x01\x00\x00\x00\x03": {1: 3},
		"\x01\x00\x00\x00\x03\x35\x00\x00\x00\x01\x00rest": {1: 3, 53: 1},
		"\x01\x00\x00\x00\x03\xa0":                         {1: 3},
	} {
		got, err := ParseModes([]byte(encoded))
		if err != nil {
			t.Errorf("ParseModes(%q) = %v", encoded, err)
		} else if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("ParseModes(%q) (-want +got):\n%s", encoded, diff)
		}
	}
	if _, err := ParseModes([]byte("\x01\x00\x00")); err == nil {
		t.Error("modes that break off are taken")
	}
}

func TestApply(t *testing.T) {
	termios := unix.Termios{Lflag: unix.ECHO | unix.ISIG, Iflag: unix.IXON}
	Modes{3: noCharacter, 53: 0, 51: 1, 38: 1, 99: 7}.apply(&termios)
	want := unix.Termios{Lflag: unix.ICANON | unix.ISIG, Iflag: unix.IXON}
	if diff := cmp.Diff(want, termios); diff != "" {
		t.Errorf("apply (-want +got):\n%s", diff)
	}
}

func FuzzParseModes(f *testing.F) {
	f.Add([]byte("\x01\x00\x00\x00\x03\x35\x00\x00\x00\x01\x00"))
	f.Fuzz(func(t *testing.T, encoded []byte) {
		modes, err := ParseModes(encoded)
		if err == nil && len(modes) > len(encoded)/5 {
			t.Errorf("ParseModes(%q) has %d modes", encoded, len(modes))
		}
		modes.apply(&unix.Termios{})
	})
}
