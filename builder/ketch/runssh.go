package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"mime/multipart"
	"net/textproto"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/crypto/ssh"

	"github.com/ketch-os/ketch/api/access"
	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/config/userdata"
	"github.com/ketch-os/ketch/internal/printable"
	"github.com/ketch-os/ketch/internal/words"
	"github.com/ketch-os/ketch/layout"
)

// door is the way into a machine by SSH: a port of this host, a key that the machine
// is told of, and the host key that its console shows.
type door struct {
	dir  string // where the key and known_hosts lie
	port int
	keys []string // lines of authorized_keys: its own, and those of who calls
}

// The files of a door.
const (
	doorKey    = "id_ed25519"
	doorKnown  = "known_hosts"
	doorConfig = "config" // the machine's, with the keys
)

// firstDoor is the port that is tried first.
const firstDoor = 2222

// newDoor makes a key in dir, where there is none from an earlier run, and finds a port.
func newDoor(dir string) (*door, error) {
	d := &door{dir: dir, port: firstDoor}
	for portFree(d.port) != nil {
		if d.port++; d.port > 65535 {
			return nil, errors.New("no port of this host is free")
		}
	}
	own, err := d.key()
	if err != nil {
		return nil, err
	}
	d.keys = append([]string{own}, callersKeys()...)
	return d, nil
}

func (d *door) private() string { return filepath.Join(d.dir, doorKey) }
func (d *door) known() string   { return filepath.Join(d.dir, doorKnown) }

// key returns the door's own public key.
func (d *door) key() (string, error) {
	text, err := os.ReadFile(d.private())
	if errors.Is(err, fs.ErrNotExist) {
		text, err = d.makeKey()
	}
	if err != nil {
		return "", fmt.Errorf("key for SSH: %w", err)
	}
	signer, err := ssh.ParsePrivateKey(text)
	if err != nil {
		return "", fmt.Errorf("key for SSH: %s: %w", d.private(), err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey()))), nil
}

func (d *door) makeKey() ([]byte, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	block, err := ssh.MarshalPrivateKey(private, "ketch run")
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(block)
	return text, os.WriteFile(d.private(), text, 0o600)
}

// callersKeys are the public keys of who calls, where ssh(1) keeps them.
func callersKeys() (keys []string) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil
	}
	files, _ := filepath.Glob(filepath.Join(home, ".ssh", "id_*.pub")) // the pattern is well-formed
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if key, comment, _, _, err := ssh.ParseAuthorizedKey(text); err == nil {
			keys = append(keys, strings.TrimSpace(strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))+" "+comment))
		}
	}
	return keys
}

// configure adds the keys to a machine's configuration, and forwards the port.
func (d *door) configure(ctx context.Context, m *qemu.Options) error {
	text, port := []byte("ketch: 1\nssh:\n  keys:\n"), access.DefaultPort
	for _, key := range d.keys {
		text = fmt.Appendf(text, "    - %q\n", key)
	}
	if m.Config != "" {
		given, err := os.ReadFile(m.Config)
		if err != nil {
			return err
		}
		port = cmp.Or(userdata.Parse(ctx, given, nil).Config.SSH.Port, port)
		if text, err = multipartOf(given, text); err != nil {
			return err
		}
	}
	m.Config = filepath.Join(d.dir, doorConfig)
	m.Ports = append(m.Ports, qemu.Forward{Host: d.port, Guest: port})
	return os.WriteFile(m.Config, text, 0o600)
}

// multipartOf makes one MIME message of configurations of any kind (RFC 2046, 5.1).
func multipartOf(parts ...[]byte) ([]byte, error) {
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	out.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=" + w.Boundary() + "\r\n\r\n")
	for _, part := range parts {
		to, err := w.CreatePart(textproto.MIMEHeader{"Content-Transfer-Encoding": {"base64"}})
		if err != nil {
			return nil, err
		}
		encoder := base64.NewEncoder(base64.StdEncoding, to)
		encoder.Write(part) // to a buffer
		encoder.Close()
	}
	err := w.Close()
	return out.Bytes(), err
}

// hostKey begins the line of the console that shows the host key as known_hosts has it.
const hostKey = layout.SayHostKey + "ssh-ed25519 "

// know keeps the host key of a line of the console.
func (d *door) know(line string) error {
	_, key, _ := strings.Cut(line, layout.SayHostKey)
	return os.WriteFile(d.known(), fmt.Appendf(nil, "[127.0.0.1]:%d %s\n", d.port, strings.TrimSpace(key)), 0o600)
}

// command is the one that leads through the door, before the command to run there.
func (d *door) command() []string {
	return []string{"ssh", "-i", d.private(), "-o", "IdentitiesOnly=yes", "-o", "UserKnownHostsFile=" + d.known(), "-p", strconv.Itoa(d.port), "core@127.0.0.1"}
}

// String is the line to type.
func (d *door) String() string { return words.Join(d.command()) }

// runSSH boots a machine, which is thrown away, for one command by SSH.
func (o *runOptions) runSSH(ctx context.Context, e *env, path string) error {
	client, err := exec.LookPath("ssh")
	if err != nil {
		return hint.Add(fmt.Errorf("--ssh: %w", err), "install it: sudo apt-get install -y openssh-client")
	}
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	dir, err := os.MkdirTemp("", "ketch-run-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	d, err := newDoor(dir)
	if err != nil {
		return err
	}
	m := o.machine()
	m.Image, m.Dir, m.ExitOnReboot = filepath.Join(dir, "disk.raw"), dir, !o.secureBoot
	src, err := o.openImage(path)
	if err != nil {
		return err
	}
	if err := errors.Join(qemu.CopyFile(m.Image, src, o.disk.Bytes), src.Close(), d.configure(ctx, &m)); err != nil {
		return err
	}
	promised, _ := promiseOf(m.Image) // a disk of somebody else's promises nothing
	vm, err := qemu.Start(ctx, m)
	if err != nil {
		return err
	}
	defer vm.Stop()
	waits(e, "starting a machine from %s (%s)", path, vm.Accel)
	line, err := vm.Console.WaitLine(ctx, hostKey)
	if err == nil {
		err = d.know(line)
	}
	if err != nil {
		printable.Fprintln(e.stderr, printable.Ours(printable.Lines(tail(vm.Console.String(), 20))))
		return fmt.Errorf("--ssh: %w", o.explain(err))
	}
	waits(e, "SSH answers; running %s", strings.Join(o.remote, " "))
	err = throughDoor(ctx, e, client, append(d.command()[1:], o.remote...))
	if advice := o.notInShell(err, promised); advice != "" {
		printable.Fprintln(e.stderr, "hint:", advice)
	}
	return err
}

// notFound is the status of a shell that does not find a command.
const notFound = 127

// notInShell is for those who know production images, where ketchctl answers.
func (o *runOptions) notInShell(err error, promised promise) string {
	status, ok := errors.AsType[cli.Status](err)
	if !ok || status != notFound || !promised.debug || o.remote[0] == "ketchctl" {
		return ""
	}
	return "a debug image has a shell: -- ketchctl " + strings.Join(o.remote, " ")
}

// throughDoor runs the client, which ends as the command on the machine does.
func throughDoor(ctx context.Context, e *env, client string, args []string) error {
	cmd := exec.CommandContext(ctx, client, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = e.stdin, e.stdout, e.stderr
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() >= 0 {
		return cli.Status(exit.ExitCode())
	}
	return err
}
