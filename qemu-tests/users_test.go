package qemutests

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/ketch-os/ketch/builder/oslayers/oci"
	"github.com/ketch-os/ketch/layout"
)

// insiders are the services of the image "insider": what each adds to its Compose
// file, and what it says that differs from the others.
var insiders = []struct {
	name, compose string
	says          []string
}{
	{"own", "", []string{
		"map: 0 own 65536", "user: 0:0", "gives a file to user 1000: yes", "gives a file to user 65535: yes",
		"gives a file to user 70000: Invalid argument", "reads all packets: Operation not permitted", "writes to its root: yes", "writes to /run: yes",
		"makes a device: Operation not permitted", "writes to /sys: Permission denied", "writes to /proc/sys: Permission denied",
	}},
	{"user", "    user: '1000:1000'\n", []string{
		"map: 0 own 65536", "user: 1000:1000", "reads all packets: Operation not permitted", "writes to its root: Permission denied",
		"makes a device: Permission denied", "writes to /sys: Permission denied", "writes to /proc/sys: Permission denied",
	}},
	{"host", "    userns_mode: host\n", []string{
		"map: 0 host 4294967295", "user: 0:0", "gives a file to user 70000: yes", "reads all packets: yes", "writes to its root: yes",
		"makes a device: Operation not permitted", "writes to /sys: Read-only file system", "writes to /proc/sys: Read-only file system",
	}},
}

// insideAll is what each of them says.
var insideAll = []string{
	"owner of /root-owned: 0:0", "owner of /user-owned: 1000:1000",
	"opens a device of its /dev: yes", "opens a terminal: yes", "opens /dev/net/tun: No such file or directory", "writes to /dev/shm: yes",
	"reads its limits: yes", "reads /sys: yes",
	"reads /etc/hosts: yes", "reads /etc/resolv.conf: yes", "listens on its port: yes", "pings: yes",
	"mounts: Operation not permitted",
}

// TestUserNamespaces: a container has users of its own, unless it asks for the
// machine's; what it could do before it still can; its files keep their owners over a
// reboot; no two have the same users.
func TestUserNamespaces(t *testing.T) {
	t.Parallel()
	disk := buildFaulty(t, insiderWorkload(t))
	m := boot(t, direct(t, disk))
	for _, insider := range insiders {
		m.insider(insider.name, 1, append(insideAll, insider.says...)...)
	}
	starts := map[int64]string{}
	for _, insider := range insiders {
		first := number(t, m.firstUser("insider-"+insider.name), nil)
		if other, taken := starts[first]; taken {
			t.Errorf("%s and %s have the same users", insider.name, other)
		}
		starts[first] = insider.name
		if own := first >= 1<<16; own == (insider.name == "host") {
			t.Errorf("root of %s is user %d of the machine", insider.name, first)
		}
	}
	m.powerOff()

	m = boot(t, direct(t, disk))
	m.insider("own", 2, "kept from before: yes", "owner of /kept: 1000:1000", "writes to its root: yes")
	m.powerOff()
}

// insider waits until a container that was started so many times has said all, and
// checks that it has said these lines.
func (m *machine) insider(name string, start int, want ...string) {
	m.t.Helper()
	log := "/var/log/ketch/insider-" + name + ".log"
	m.shell(fmt.Sprintf("until test $(grep -c 'that is all' %s) -ge %d; do sleep 0.5; done", log, start))
	text := m.shell("cat " + log)
	if i := strings.LastIndex(text, "map: "); i > 0 {
		text = text[i:] // of this boot
	}
	for _, line := range want {
		if !strings.Contains("\n"+text+"\n", "\n"+line+"\n") {
			m.t.Errorf("%s does not say %q; it says:\n%s", name, line, text)
		}
	}
}

// firstUser is who root in a container is on the machine.
func (m *machine) firstUser(workload string) string {
	m.t.Helper()
	for _, w := range m.status().Workloads {
		if w.Name == workload {
			out := m.shell(fmt.Sprintf("cat /proc/%d/uid_map", w.PID))
			return strings.Fields(out + " - -")[1]
		}
	}
	m.t.Fatalf("no workload %s", workload)
	return ""
}

// insiderWorkload is a container image with the program insider, files of two users,
// and the Compose file of three services.
func insiderWorkload(t *testing.T) files {
	t.Helper()
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	program := compile(t, "insider")
	for _, header := range []*tar.Header{
		{Name: "insider", Mode: 0o755, Size: int64(len(program))},
		{Name: "root-owned", Mode: 0o600},
		{Name: "user-owned", Mode: 0o600, Uid: 1000, Gid: 1000},
	} {
		header.Typeflag = tar.TypeReg
		err := w.WriteHeader(header)
		if err == nil && header.Size > 0 {
			_, err = w.Write(program)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	archive, err := oci.Archive("docker.io/library/insider:latest", "latest", layer.Bytes(), oci.Image{Config: v1.Config{Entrypoint: []string{"/insider"}}})
	if err != nil {
		t.Fatal(err)
	}
	text := "services:\n"
	for i, insider := range insiders {
		text += fmt.Sprintf("  %s:\n    image: insider\n    network_mode: host\n    command: ['%d']\n%s", insider.name, 80+i, insider.compose)
	}
	return files{
		layout.ImagesDir[1:] + "/insider.tar":                  archive,
		layout.EtcSkeleton[1:] + "/ketch/compose/insider.yaml": []byte(text),
	}
}
