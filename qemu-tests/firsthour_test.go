package qemutests

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/ketch-os/ketch/builder/oslayers/oci"
	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/internal/pace"
	"github.com/ketch-os/ketch/internal/testkit"
)

// firstHourLimit is for a build and two machines, one after the other.
const firstHourLimit = 3 * bootLimit

// blocks are the fenced blocks of a document, in order, by their language.
func blocks(t *testing.T, path, language string) (found []string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fence := regexp.MustCompile("(?ms)^```" + language + "\n(.*?)^```$")
	for _, match := range fence.FindAllStringSubmatch(string(text), -1) {
		found = append(found, match[1])
	}
	return found
}

// checkout is a directory that looks like a checkout in which everything is built.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"bin", "images", "keys", "out"} {
		place, err := filepath.Abs(filepath.Join("..", name))
		if err == nil {
			err = os.Symlink(place, filepath.Join(dir, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// webArchive is an image of one static program that answers on port 8000.
func webArchive(t *testing.T) []byte {
	t.Helper()
	archive, err := oci.Archive("shop/web:1", "1", tarOf(t, files{"hello": guestProgram(t, "./testdata/hello")}), oci.Image{Config: v1.Config{Entrypoint: []string{"/hello"}}})
	if err != nil {
		t.Fatal(err)
	}
	return archive
}

// TestFirstHour does what docs/first-hour.md says, command by command, as it is
// written there: from a container to a machine that answers.
func TestFirstHour(t *testing.T) {
	t.Parallel()
	const page = "../docs/first-hour.md"
	testkit.Tool(t, "curl")
	ctx, cancel := context.WithTimeout(t.Context(), firstHourLimit)
	defer cancel()
	dir := checkout(t)
	yaml, commands := blocks(t, page, "yaml"), blocks(t, page, "sh")
	if len(yaml) != 2 || len(commands) != 5 {
		t.Fatalf("%s has %d files and %d commands; this test knows 2 and 5", page, len(yaml), len(commands))
	}
	for name, data := range map[string][]byte{"compose.yaml": []byte(yaml[0]), "image.yaml": []byte(yaml[1]), "web.tar": webArchive(t)} {
		path := filepath.Join(dir, "shop", name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	do := func(command string) (string, error) {
		cmd := exec.CommandContext(ctx, "sh", "-ec", command)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	check, build, run, ask, test := commands[0], commands[1], commands[2], commands[3], commands[4]
	for _, command := range []string{check, build} {
		if out, err := do(command); err != nil {
			t.Fatalf("%s: %v\n%s", command, err, out)
		}
	}
	answers(t, ctx, dir, run, func() (string, error) { return do(ask) })
	out, err := do(test)
	if err != nil || !regexp.MustCompile(`(?m)^shop-web +running `).MatchString(out) {
		t.Errorf("%s: %v\n%s\nwant shop-web running", test, err, out)
	}
}

// answers starts a machine by a command and asks until the container answers.
func answers(t *testing.T, ctx context.Context, dir, command string, ask func() (string, error)) {
	t.Helper()
	var console strings.Builder
	cmd := exec.CommandContext(ctx, "sh", "-ec", "exec "+command)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &console, &console
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	defer func() {
		cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	}()
	for began := time.Now(); ; {
		out, err := ask()
		if err == nil && strings.Contains(out, "ahoy from the shop") {
			return
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s has ended: %v\n%s", command, err, &console)
		case <-ctx.Done():
			cmd.Process.Signal(syscall.SIGTERM)
			err := <-ended
			ended <- err
			t.Fatalf("the container never answered\n%s", &console)
		case <-time.After(pace.Pause(time.Since(began))):
		}
	}
}

// TestDebugShell: what fingers know works in the shell of a debug image.
func TestDebugShell(t *testing.T) {
	t.Parallel()
	m, _ := goOn(t, nil)
	for command, want := range map[string]string{
		"seq 9 | head -5":                    "5\n",
		"echo one | grep -E 'o(n|m)e'":       "one\n",
		"df -h /var":                         "/var\n",
		"printf 'a b\\n' | awk '{print $2}'": "b\n",
		"echo abc | sed s/b/x/":              "axc\n",
		"vi --help 2>&1 || true":             "Edit FILE",
		"TERM=linux clear | wc -c":           "",
		"which clear":                        "/usr/bin/clear",
	} {
		ctx, cancel := qemu.Limit(m.ctx, bootLimit)
		out, err := m.Shell(ctx, command)
		cancel()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%s = %q, %v; want %q in it", command, out, err, want)
		}
	}
}

// everyday are commands as people type them, which end with status 0 where they are
// known.
const everyday = `seq 9 | tail -3
seq 9 | tail -n +3
ls -lah /etc
ls -ltr /etc
ls -1 /etc
du -sh /etc
seq 9 | sort -rn
sort -k 2 /etc/hosts
find /etc -type f -exec cat {} +
find /var -maxdepth 1 -size +100k
ps
ps aux
ping -c 1 127.0.0.1
date +%s
cp -a /etc/hosts /tmp/hosts
cp -r /etc /tmp/etc
tar czf /tmp/etc.tgz -C /tmp etc
tar tzf /tmp/etc.tgz
tar xzf /tmp/etc.tgz -C /var/tmp
rm -rf /tmp/etc
zcat /tmp/etc.tgz | wc -c
seq 9 | uniq -c
echo abc | tr -d b
echo a b | xargs -n 1 echo
echo a b | xargs -I{} echo x{}
stat /etc/hosts
sha256sum /etc/hosts
id
whoami
nproc
free -m
uptime
mount
mount -o remount,rw /tmp
mkdir /tmp/m && mount -t tmpfs none /tmp/m
umount -l /tmp/m
ip a
ip route
ip -6 route
netstat -tln
hexdump -C /etc/hosts
od -c /etc/hosts
xxd /etc/hosts
kill -0 1
pidof ketchd
kill -0 $(pidof ketchd)
dmesg | tail -n 2
readlink -f /bin/sh
touch /tmp/y
chmod u+x /tmp/y
chown 1:1 /tmp/y
ln -sf /tmp/y /tmp/z
cat -n /etc/hosts
less /etc/hosts
test -f /etc/hosts
expr 1 + 1
timeout 5 true
env
uname -a
hostname
wget -q -O - http://127.0.0.1:8080/
dd if=/dev/zero of=/tmp/q bs=1k count=1
diff /etc/hosts /tmp/hosts
mktemp
blkid
fdisk -l /dev/vda
sysctl kernel.hostname
cut -d: -f1 /etc/hosts
grep -ri localhost /etc/hosts
sed -n 1,2p /etc/hosts
top -bn1
`

func TestEverydayCommands(t *testing.T) {
	t.Parallel()
	m, _ := goOn(t, nil)
	m.shell("until wget -q -O /dev/null http://127.0.0.1:8080/; do sleep 0.2; done")
	var script strings.Builder
	for command := range strings.Lines(everyday) {
		fmt.Fprintf(&script, "if sh -c '%s' > /tmp/said 2>&1 < /dev/null; then :; else echo '%[1]s:' $(tail -n 1 /tmp/said); fi\n", strings.TrimSpace(command))
	}
	if got := m.shell(script.String()); strings.TrimSpace(got) != "" {
		t.Errorf("not known in the shell of a debug image:\n%s", got)
	}
}
