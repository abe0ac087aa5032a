// Package console is the terminal of a debug image: which one it is, and the
// little program that offers a shell there.
package console

import (
	"bufio"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Terminal returns the device of the console that the kernel's own /dev/console
// stands for, or "" for none: the last of those that are active.
func Terminal() string { return terminal(os.DirFS("/sys")) }

func terminal(sys fs.FS) string {
	active, err := fs.ReadFile(sys, "class/tty/console/active")
	names := strings.Fields(string(active))
	if err != nil || len(names) == 0 {
		return ""
	}
	name := names[len(names)-1]
	if name == "tty0" {
		name = "tty1" // tty0 is whichever is shown; a shell wants one of its own
	}
	return "/dev/" + name
}

// Offer waits for Enter and then becomes the shell. It returns only with an error.
func Offer(in io.Reader, out io.Writer, shell string) error {
	fmt.Fprint(out, "\r\nThis is a debug image: press Enter for a shell.\r\n")
	if _, err := bufio.NewReaderSize(in, 16).ReadString('\n'); err != nil {
		return fmt.Errorf("wait for Enter: %w", err)
	}
	env := []string{"PATH=/usr/sbin:/usr/bin", "HOME=/root", "LANG=C.UTF-8", "TERM=linux", "USER=root", "SHELL=" + shell}
	if err := os.Chdir("/root"); err != nil {
		return err
	}
	if err := unix.Exec(shell, []string{"sh"}, env); err != nil {
		return fmt.Errorf("start %s: %w", shell, err)
	}
	return nil
}
