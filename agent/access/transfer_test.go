package access

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sftp runs sftp(1) with commands.
func (f *fixture) sftp(t *testing.T, commands ...string) result {
	t.Helper()
	args := append(f.options("id"), "-P", f.port, "-b", "-", "core@127.0.0.1")
	return run(t, strings.Join(commands, "\n")+"\n", "sftp", args...)
}

func (f *fixture) scp(t *testing.T, args ...string) result {
	t.Helper()
	return run(t, "", "scp", append(append(f.options("id"), "-P", f.port), args...)...)
}

func TestSFTP(t *testing.T) {
	f := one(t, nil)
	local, home := t.TempDir(), filepath.Join(f.dir, "home/core")
	text := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	source := filepath.Join(local, "source")
	if err := os.WriteFile(source, text, 0o640); err != nil {
		t.Fatal(err)
	}
	then := time.Date(2020, 2, 3, 4, 5, 6, 0, time.UTC)
	if err := os.Chtimes(source, then, then); err != nil {
		t.Fatal(err)
	}
	got := f.sftp(t, "pwd", "mkdir dir", "put -p "+source+" dir/one", "rename dir/one dir/two", "ln -s dir/two link", "ln dir/two hard",
		"chmod 600 hard", "get link "+local+"/back", "ls -l dir", "rm hard", "-rmdir dir", "-rm dir")
	if got.status != 0 || !strings.Contains(got.out, "Remote working directory: /\n") || !strings.Contains(got.out, "two") {
		t.Fatalf("sftp: %v", got)
	}
	back, err := os.ReadFile(filepath.Join(local, "back"))
	if err != nil || !bytes.Equal(back, text) {
		t.Errorf("what came back has %d bytes, %v; want %d", len(back), err, len(text))
	}
	info, err := os.Stat(filepath.Join(home, "dir/two"))
	if err != nil || info.Mode() != 0o600 || !info.ModTime().Equal(then) {
		t.Errorf("the file: %v, %v; want mode 0600 and its time", info, err)
	}
	if target, err := os.Readlink(filepath.Join(home, "link")); err != nil || target != "dir/two" {
		t.Errorf("the link leads to %q, %v", target, err)
	}
	if _, err := os.Stat(filepath.Join(home, "hard")); err == nil {
		t.Error("the second name was not removed")
	}
}

func TestSCP(t *testing.T) {
	f := one(t, nil)
	local := t.TempDir()
	os.MkdirAll(filepath.Join(local, "tree/below"), 0o755)
	for name, text := range map[string]string{"tree/a": "A", "tree/below/b c": "B"} {
		if err := os.WriteFile(filepath.Join(local, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := f.scp(t, "-r", filepath.Join(local, "tree"), "core@127.0.0.1:"); got.status != 0 {
		t.Fatalf("scp to: %s", got.err)
	}
	if got := f.scp(t, "-r", "core@127.0.0.1:tree", filepath.Join(local, "back")); got.status != 0 {
		t.Fatalf("scp from: %v", got)
	}
	if text, err := os.ReadFile(filepath.Join(local, "back/below/b c")); string(text) != "B" || err != nil {
		t.Errorf("what came back: %q, %v", text, err)
	}
	if got := f.scp(t, "-O", filepath.Join(local, "tree/a"), "core@127.0.0.1:x"); got.status == 0 || !strings.Contains(got.err, "use scp without -O") {
		t.Errorf("scp -O: %v", got)
	}
	if text, err := os.ReadFile(filepath.Join(f.dir, "home/core/tree/a")); string(text) != "A" || err != nil {
		t.Errorf("in the home directory: %q, %v", text, err)
	}
}

// TestConfined: nothing outside of the home directory is read, written or made.
func TestConfined(t *testing.T) {
	f := one(t, nil)
	outside, local := filepath.Join(f.dir, "secret"), t.TempDir()
	home := filepath.Join(f.dir, "home/core")
	if err := os.WriteFile(outside, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(local, "mine"), []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.sftp(t, "ln -s "+outside+" absolute", "ln -s ../../secret climbing", "ln -s .. up")
	for _, command := range []string{
		"get absolute " + local + "/got", "get climbing " + local + "/got", "get up/../secret " + local + "/got", "get /../../secret " + local + "/got",
		"get " + outside + " " + local + "/got", "put " + local + "/mine climbing", "put " + local + "/mine up/new", "mkdir up/new",
		"rename up/../../secret stolen", "ln up/secret stolen", "chmod 777 climbing", "cd up", "rm up/core",
	} {
		if got := f.sftp(t, command); got.status == 0 {
			t.Errorf("%s: %v", command, got)
		}
	}
	if text, err := os.ReadFile(outside); string(text) != "secret" || err != nil {
		t.Errorf("the file outside: %q, %v", text, err)
	}
	if info, err := os.Stat(outside); err != nil || info.Mode() != 0o600 {
		t.Errorf("the file outside: %v, %v", info, err)
	}
	if _, err := os.Stat(filepath.Join(local, "got")); err == nil {
		t.Error("a file outside was read")
	}
	entries, err := os.ReadDir(filepath.Dir(home))
	if err != nil || len(entries) != 1 {
		t.Errorf("beside the home directory: %v, %v", entries, err)
	}
}

// TestForcedTransfer: a key may be good for files alone, or for anything but them.
func TestForcedTransfer(t *testing.T) {
	f := newFixture(t, nil)
	key := f.newKey(t, "id")
	f.allow(`command="internal-sftp",restrict ` + key)
	if got := f.sftp(t, "pwd"); got.status != 0 {
		t.Errorf("sftp: %v", got)
	}
	if got := f.ssh(t, "id", "", nil, "echo", "x"); strings.Contains(got.out, "[x]") {
		t.Errorf("a command ran: %v", got)
	}
	f.allow(`command="echo forced" ` + key)
	if got := f.sftp(t, "pwd"); got.status == 0 {
		t.Errorf("sftp with another forced command: %v", got)
	}
}

// TestFIFO: one that lies there holds nothing up.
func TestFIFO(t *testing.T) {
	f := one(t, nil)
	f.sftp(t, "pwd") // makes the home directory
	if made := run(t, "", "mkfifo", filepath.Join(f.dir, "home/core/fifo")); made.status != 0 {
		t.Fatal(made)
	}
	if got := f.sftp(t, "get fifo "+t.TempDir()); got.status == 0 {
		t.Errorf("a FIFO was read: %v", got)
	}
}

// TestWholeMachine: with a shell, files are where they are.
func TestWholeMachine(t *testing.T) {
	f := one(t, func(s *Server) { s.Shell = "/bin/sh" })
	local := t.TempDir()
	if got := f.sftp(t, "pwd", "get /etc/passwd "+local+"/passwd"); got.status != 0 || !strings.Contains(got.out, filepath.Join(f.dir, "home/core")) {
		t.Fatalf("sftp: %v", got)
	}
	want, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(local + "/passwd"); err != nil || !bytes.Equal(text, want) {
		t.Errorf("/etc/passwd came as %q, %v", text, err)
	}
}
