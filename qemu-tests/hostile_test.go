package qemutests

import (
	"fmt"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/ketch-os/ketch/api/node"
	"github.com/ketch-os/ketch/builder/oslayers/oci"
	"github.com/ketch-os/ketch/layout"
)

// hostileDisk is the size of the disk of the machine that is attacked: a small
// /var is full soon.
const hostileDisk = 3584 * layout.MiB

// hostileLife is how long the machine may run in all.
const hostileLife = 25 * time.Minute

// attackLimit is how long an attack may take to reach what bounds it.
const attackLimit = 3 * time.Minute

// attacks are what a container tries to use up, or to get at, the one after the
// other on one machine. Of "wild" the Compose file bounds nothing, "small" has 64 MiB,
// so that what is charged to memory is used up soon.
var attacks = []struct {
	name, service string
	result        string // how the line begins that the attacker writes; empty: it may not live to write one
	problem       string // what `ketchctl status` says of it; empty: nothing
}{
	{"keys", "small", "refused after 0", ""},
	{"devices", "small", "opened 0", ""},
	{"crashes", "small", "crashed 200 times", ""},
	{"processes", "wild", "refused after", "was refused a process or thread"},
	{"threads", "wild", "refused after", "was refused a process or thread"},
	{"memory", "wild", "", "had a process killed"},
	{"files", "small", "", "had a process killed"},
	{"sockets", "small", "", "had a process killed"},
	{"pipes", "small", "", "had a process killed"},
	{"inotify", "small", "", "had a process killed"},
	{"epoll", "small", "", "had a process killed"},
	{"lines", "wild", "begun", "its log was cut"},
	{"disk", "wild", "begun", "its writable layer has"},
	{"inodes", "small", "begun", "its writable layer has"},
}

// TestHostileWorkload: whatever a container takes, of every kind of thing that the
// kernel has to give, the machine stays good, no service of it ends, what it is
// asked it answers, and it says who did it.
func TestHostileWorkload(t *testing.T) {
	t.Parallel()
	o := direct(t, copyOf(t, buildVersion(t, "", hostileWorkload(t)), hostileDisk))
	o.ExitOnReboot = true
	m := launch(t, o, hostileLife, oomSigns...)
	m.waitLine(layout.ConsolePrefix + layout.SayGood)
	before := m.pids()
	for _, attack := range attacks {
		begun := time.Now()
		root := "/run/containerd/io.containerd.runtime.v2.task/ketch/hostile-" + attack.service + "/rootfs"
		killed := m.kills(attack.service)
		m.shell(fmt.Sprintf("echo %s > /tmp/attack; until test -e %s/hostile && cp /tmp/attack %[2]s/attack; do sleep 0.2; done", attack.name, root))
		m.waitAttack(attack.name, root, attack.result, "workload hostile-"+attack.service+": ", attack.problem, killed)
		m.survives(before)
		m.endAttack(attack.service)
		t.Logf("%s: %.1f s", attack.name, time.Since(begun).Seconds())
	}
	m.powerOff()
	for line := range strings.Lines(m.Console.String()) {
		if strings.Contains(line, "forged") {
			t.Errorf("a container has written to the console: %s", line)
		}
	}
}

// waitAttack waits until an attack has got what it can get, and the status names
// the attacker.
func (m *machine) waitAttack(name, root, result, who, problem string, killed int) {
	m.t.Helper()
	var said string
	s := new(node.Status)
	for deadline := time.Now().Add(attackLimit); time.Now().Before(deadline); time.Sleep(time.Second) {
		said = m.shell("cat " + root + "/result || true")
		s = m.status()
		done := strings.HasPrefix(said, result)
		if problem != "" {
			done = done && names(s.Problems, who, problem)
		}
		if result == "" {
			done = done && killsIn(s.Problems, who) > killed
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

// kills is how many times the kernel has killed for the memory of a service.
func (m *machine) kills(service string) int {
	return killsIn(m.status().Problems, "workload hostile-"+service+": ")
}

func killsIn(problems []string, who string) (n int) {
	for _, p := range problems {
		fmt.Sscanf(p, who+"had a process killed %d times", &n)
	}
	return n
}

// endAttack ends an attacker that lives, and waits for the next one.
func (m *machine) endAttack(service string) {
	m.t.Helper()
	m.shell("echo 1 > /sys/fs/cgroup/ketch/workloads/hostile-" + service + "/cgroup.kill || true")
}

// hostileWorkload is a container image with the hostile program, and the Compose
// file that runs it twice.
func hostileWorkload(t *testing.T) files {
	t.Helper()
	layer := tarOf(t, files{"hostile": compile(t, "hostile")})
	archive, err := oci.Archive("docker.io/library/hostile:latest", "latest", layer, oci.Image{Config: v1.Config{Entrypoint: []string{"/hostile"}}})
	if err != nil {
		t.Fatal(err)
	}
	const service = "    image: hostile\n    network_mode: host\n    restart: always\n"
	return files{
		layout.ImagesDir[1:] + "/hostile.tar": archive,
		layout.EtcSkeleton[1:] + "/ketch/compose/hostile.yaml": []byte(
			"services:\n  wild:\n" + service + "  small:\n" + service + "    mem_limit: 64m\n"),
	}
}
