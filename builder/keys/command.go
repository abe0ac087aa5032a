package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/ketch-os/ketch/builder/hint"
)

// Command signs by running a program: it reads the message on its standard
// input and writes the signature, without any encoding, to its standard output.
// What it is signing stands in its environment, as KETCH_SIGN_NAME.
type Command struct {
	Args []string
	Hint string // what to do when it fails
}

// Shell is a Command in the words of a shell.
func Shell(line string) Command { return Command{Args: []string{"/bin/sh", "-c", line}} }

// nameVariable tells a command what it signs.
const nameVariable = "KETCH_SIGN_NAME"

// waitDelay is how long what a command has left running may keep its output open.
const waitDelay = 5 * time.Second

// maxComplaint bounds what of a command's complaint an error repeats.
const maxComplaint = 2000

// Sign implements image.Signer.
func (c Command) Sign(ctx context.Context, name string, message []byte) ([]byte, error) {
	signature, said, err := c.run(ctx, name, message)
	switch {
	case err == nil || ctx.Err() != nil:
		return signature, err
	case said != "":
		err = fmt.Errorf("%w: %s", err, said)
	}
	err = fmt.Errorf("signing command: %w", err)
	if c.Hint != "" {
		err = hint.Add(err, "%s", c.Hint)
	}
	return nil, err
}

// run runs the command with files open, from descriptor 3 on. Where it fails,
// said is the end of what it wrote to its standard error.
func (c Command) run(ctx context.Context, name string, message []byte, open ...*os.File) (signature []byte, said string, err error) {
	var output, complaint bytes.Buffer
	cmd := exec.CommandContext(ctx, c.Args[0], c.Args[1:]...)
	cmd.Env = append(os.Environ(), nameVariable+"="+name)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(message), &output, &complaint
	cmd.ExtraFiles = open
	cmd.WaitDelay = waitDelay
	// The shell alone would leave what it has started behind. A process group of its
	// own would do as well, but could not ask for a passphrase on the terminal.
	cmd.Cancel = func() error { return killTree(cmd.Process.Pid) }
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // PR_SET_PDEATHSIG is about the thread that starts a process (prctl(2))
	defer runtime.UnlockOSThread()
	err = cmd.Run()
	switch {
	case ctx.Err() != nil:
		return nil, "", ctx.Err()
	case err != nil:
		said = strings.TrimSpace(complaint.String())
		return nil, said[max(0, len(said)-maxComplaint):], err
	case output.Len() == 0:
		return nil, "", errors.New("it wrote no signature to its standard output")
	}
	return output.Bytes(), "", nil
}
