package main

import (
	"archive/tar"
	"bytes"
	"fmt"
	"net"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/builder/qemu"
)

// archive is a tar of files by name and content.
func archive(t *testing.T, files ...string) *bytes.Buffer {
	t.Helper()
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for i := 0; i < len(files); i += 2 {
		if err := w.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &buffer
}

func TestExposed(t *testing.T) {
	got := map[int]bool{}
	err := exposed(archive(t,
		"index.json", `{"schemaVersion":2,"manifests":[]}`,
		"blobs/sha256/aa", `{"schemaVersion":2,"config":{"digest":"sha256:bb","size":2},"layers":[]}`,
		"blobs/sha256/bb", `{"architecture":"amd64","config":{"ExposedPorts":{"8080/tcp":{},"53/udp":{},"9090":{},"x/tcp":{}}}}`,
		"manifest.json", `[{"Config":"bb","Layers":[]}]`,
		"layer.tar", "no JSON at all",
	), got)
	if diff := cmp.Diff(map[int]bool{8080: true, 9090: true}, got); diff != "" || err != nil {
		t.Errorf("exposed: %v (-want +got)\n%s", err, diff)
	}
	whole := archive(t, "a", "1234567890").Bytes()
	if err := exposed(bytes.NewReader(whole[:515]), got); err == nil {
		t.Error("exposed: an archive that is cut off: want an error")
	}
}

func TestDefaultForwards(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().(*net.TCPAddr).Port
	got := defaultForwards([]int{80, taken})
	if len(got) != 2 || got[0].Guest != 80 || got[0].Host < 8080 || got[1].Guest != taken || got[1].Host <= taken {
		t.Errorf("defaultForwards(80, %d which is taken) = %v; want 8080 or later, and one after %d", taken, got, taken)
	}
	if got := defaultForwards(nil); len(got) != 0 {
		t.Errorf("defaultForwards() = %v; want none", got)
	}
	same := defaultForwards([]int{taken, taken + 1})
	if len(same) != 2 || same[0].Host == same[1].Host {
		t.Errorf("defaultForwards of neighbours = %v; want two ports of this host", same)
	}
}

func TestReach(t *testing.T) {
	o := runOptions{ports: forwards{{Host: 8081, Guest: 8080}}}
	const port = "ketch run: http://127.0.0.1:8081/ reaches the machine's port 8080\r\n"
	for want, p := range map[string]promise{
		port + "ketch run: Enter gets a shell on the machine, Ctrl-A X ends it\r\n": {debug: true},
		port + "ketch run: Ctrl-A X ends the machine\r\n":                           {},
	} {
		if got := o.reach(p); got != want {
			t.Errorf("reach(%+v) = %q; want %q", p, got, want)
		}
	}
	if fmt.Sprint(qemu.Networks()) != "[user restricted none]" {
		t.Errorf("networks = %v: the help of --network names others", qemu.Networks())
	}
}
