package qemutests

import (
	"archive/tar"
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/builder/oslayers/oci"
	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/layout"
)

// The disk of a machine that is attacked is as large as the image: its /var, of some
// 480 MiB, is full soon.

// hostileLife is how long the machine may run in all.
const hostileLife = 25 * time.Minute

// attackLimit is how long an attack may take to reach what bounds it.
const attackLimit = 3 * time.Minute

// attacks are what a container tries to use up, or to get at, the one after the
// other on one machine. Of "wild" the Compose file bounds nothing. "small" and "host"
// have 32 MiB and 200 processes, so that what is charged to them is used up soon; the
// users of "host" are the machine's own.
var attacks = []struct {
	name, service string
	result        string // how the line begins that the attacker writes; empty: it may not live to write one
	problem       string // what `ketchctl status` says of it; empty: nothing
}{
	{"keys", "host", "refused after 0", ""},
	{"devices", "small", "opened 0", ""},
	{"devices", "host", "opened 0", ""},
	{"namespaces", "small", "made 0", ""},
	{"doors", "small", "reached 0", ""},
	{"murder", "host", "reached 0", ""},
	{"crashes", "small", "crashed 100 times", ""},
	{"signals", "host", "refused after", ""},
	{"terminals", "small", "", ""},
	{"processes", "wild", "refused after", "was refused a process or thread"},
	{"threads", "small", "refused after", "was refused a process or thread"},
	{"memory", "wild", "", "had a process killed"},
	{"queues", "host", "", "had a process killed"},
	{"files", "small", "", "had a process killed"},
	{"sockets", "small", "", "had a process killed"},
	{"pipes", "small", "", "had a process killed"},
	{"inotify", "host", "", "had a process killed"},
	{"epoll", "host", "", "had a process killed"},
	{"ofd", "small", "refused after 0", ""},
	{"locks", "small", "", "was ended"},
	{"lines", "wild", "begun", "its log was cut"},
	{"disk", "wild", "begun", "its writable layer has"},
	{"inodes", "small", "begun", "its writable layer has"},
}

// TestHostileWorkload: whatever a container takes, of every kind of thing that the
// kernel has to give, the machine stays good, no service of it ends, what it is
// asked it answers, its other workload too, and it says who did it. So it is after the
// next boot.
func TestHostileWorkload(t *testing.T) {
	t.Parallel()
	disk := copyOf(t, buildVersion(t, "", hostileWorkload(t)), 0)
	o := direct(t, disk)
	port := freePort(t)
	o.ExitOnReboot, o.Ports = true, []qemu.Forward{{Host: port, Guest: 8080}}
	demo := fmt.Sprintf("http://127.0.0.1:%d/", port)
	m := launch(t, o, hostileLife, oomSigns...)
	m.waitLine(layout.ConsolePrefix + layout.SayGood)
	before := m.pids()
	for _, attack := range attacks {
		begun := time.Now()
		who := "workload hostile-" + attack.service + ": "
		events := killsIn(m.status().Problems, who)
		m.order(attack.service, attack.name)
		m.waitAttack(attack.name, attack.service, attack.result, attack.problem, events)
		m.survives(before)
		m.get(demo)
		m.endAttack(attack.service)
		t.Logf("%s: %.1f s", attack.name, time.Since(begun).Seconds())
	}
	m.powerOff()
	for line := range strings.Lines(m.Console.String()) {
		if strings.Contains(line, "forged") {
			t.Errorf("a container has written to the console: %s", line)
		}
	}

	// Whatever they have left, the disk included, the next boot is good.
	m = boot(t, o)
	m.get(demo)
	m.powerOff()
	cleanState(t, disk)
}

// order tells a service what to do, as soon as its container is there to be told. Its
// files are those of its process.
func (m *machine) order(service, word string) {
	m.t.Helper()
	root := hostileRoot(service)
	m.shell(fmt.Sprintf("echo %s > /tmp/attack; until test -e %s/waits && cp /tmp/attack %[2]s/attack; do sleep 0.2; done", word, root))
}

func hostileRoot(service string) string {
	return "/run/containerd/io.containerd.runtime.v2.task/ketch/hostile-" + service + "/rootfs"
}

// waitAttack waits until an attack has got what it can get, and the status names
// the attacker.
func (m *machine) waitAttack(name, service, result, problem string, events int) {
	m.t.Helper()
	root, who := hostileRoot(service), "workload hostile-"+service+": "
	if result != "" {
		m.shell(fmt.Sprintf("until test -e %s/result; do sleep 0.2; done", root))
	}
	said := m.shell("cat " + root + "/result || true")
	s := new(node.Status)
	for deadline := time.Now().Add(attackLimit); time.Now().Before(deadline); time.Sleep(time.Second) {
		s = m.status()
		done := strings.HasPrefix(said, result)
		if problem != "" {
			done = done && names(s.Problems, who, problem)
		}
		if result == "" && problem != "" {
			done = done && killsIn(s.Problems, who) > events
		}
		if done {
			return
		}
	}
	m.t.Fatalf("%s: the attacker says %q, the status %q; want %q, and %q", name, said, s.Problems, result, who+problem)
}

func names(problems []string, who, what string) bool {
	for _, p := range problems {
		if strings.HasPrefix(p, who) && strings.Contains(p, what) {
			return true
		}
	}
	return false
}

// killsIn is how many times a service has been killed for what it took.
func killsIn(problems []string, who string) (n int) {
	for _, p := range problems {
		var memory, locks int
		fmt.Sscanf(p, who+"had a process killed %d times", &memory)
		fmt.Sscanf(p, who+"was ended %d times", &locks)
		n += memory + locks
	}
	return n
}

// endAttack ends an attacker that lives, and waits for the next one.
func (m *machine) endAttack(service string) {
	m.t.Helper()
	m.shell("echo 1 > /sys/fs/cgroup/ketch/workloads/hostile-" + service + "/cgroup.kill || true")
}

// hostileWorkload is a container image with the hostile program and device nodes, and
// the Compose file that runs it three times.
func hostileWorkload(t *testing.T) files {
	t.Helper()
	layer := nodesOf(t, files{"hostile": compile(t, "hostile")}, map[string][2]int64{
		"node-console": {5, 1}, "node-ttyS0": {4, 64}, "node-kmsg": {1, 11}, "node-tun": {10, 200}, "node-null": {1, 3},
	})
	archive, err := oci.Archive("docker.io/library/hostile:latest", "latest", layer, oci.Image{Config: v1.Config{Entrypoint: []string{"/hostile"}}})
	if err != nil {
		t.Fatal(err)
	}
	const service = "    image: hostile\n    network_mode: host\n    restart: always\n"
	const small = "    mem_limit: 32m\n    pids_limit: 200\n"
	return files{
		"usr/bin/filler":                      compile(t, "filler"),
		layout.ImagesDir[1:] + "/hostile.tar": archive,
		layout.EtcSkeleton[1:] + "/ketch/compose/hostile.yaml": []byte(
			"services:\n  wild:\n" + service + "  small:\n" + service + small + "  host:\n" + service + small + "    userns_mode: host\n"),
	}
}

// nodesOf makes an archive of files and of character devices that anybody may open.
func nodesOf(t testing.TB, content files, devices map[string][2]int64) []byte {
	t.Helper()
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	for name, data := range content {
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: int64(len(data)), Mode: 0o755}
		err := w.WriteHeader(header)
		if err == nil {
			_, err = w.Write(data)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, number := range devices {
		header := &tar.Header{Typeflag: tar.TypeChar, Name: name, Mode: 0o666, Devmajor: number[0], Devminor: number[1]}
		if err := w.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return archive.Bytes()
}
