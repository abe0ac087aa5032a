package qemutests

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/builder/qemu"
	"github.com/ketch-os/ketch/builder/sparse"
	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/layout"
)

func TestBootsToRuntimeReady(t *testing.T) {
	t.Parallel()
	m := boot(t, qemu.Options{CPUs: 2, Image: newDisk(t)})
	for _, want := range []string{layout.SayVersion, layout.SayDevelopment, layout.SayRuntimeReady} {
		m.waitLine(layout.ConsolePrefix + want)
	}
	m.waitLine("hello from a container on Ketch")
	// The health gate took the counter off the boot entry: this version is good.
	if got := m.shell("ketchctl status"); !strings.Contains(got, "good") {
		t.Errorf("ketchctl status says nothing of a good boot:\n%s", got)
	}
}

func TestUsrCannotBeWritten(t *testing.T) {
	t.Parallel()
	m, _ := goOn(t, nil)
	for attempt, why := range map[string]string{
		"touch /usr/x":                                 "read-only file system",   // EROFS
		"mount -o remount,rw /usr; touch /usr/x":       "read-only file system",   // the device cannot be written to, so it stays as it was
		"dd if=/dev/zero of=/dev/dm-0 bs=4096 count=1": "operation not permitted", // EPERM
	} {
		out, err := m.Shell(m.ctx, attempt+" 2>&1")
		if said := strings.ToLower(fmt.Sprint(out, err)); err == nil || !strings.Contains(said, why) {
			t.Errorf("%s: %v: %s; want it refused: %s", attempt, err, out, why)
		}
	}
	if mounts := m.shell("cat /proc/mounts"); !strings.Contains(mounts, " /usr erofs ro,") {
		t.Errorf("/usr is not a read-only EROFS:\n%s", mounts)
	}
}

func TestDemoAnswers(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	m, _ := goOn(t, []qemu.Forward{{Host: port, Guest: 8080}})
	body := m.get(fmt.Sprintf("http://127.0.0.1:%d/", port))
	if !strings.Contains(body, "Ketch") {
		t.Errorf("the demo answers %q", body)
	}
}

// get asks until there is an answer: the container's network comes up after its first line.
func (m *machine) get(url string) string {
	m.t.Helper()
	for deadline := time.Now().Add(bootLimit); ; {
		ctx, cancel := context.WithTimeout(m.ctx, 5*time.Second)
		request, _ := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			body, err := io.ReadAll(response.Body)
			response.Body.Close()
			cancel()
			if err == nil && response.StatusCode == http.StatusOK {
				return string(body)
			}
		}
		cancel()
		if m.ctx.Err() != nil || time.Now().After(deadline) {
			m.t.Fatalf("GET %s: %v", url, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// The first boot makes the disk this machine's: the state partition grows to its
// end, the version that comes up is good. The second finds what the first wrote.
// Both leave a clean file system.
func TestFirstBootAndSecond(t *testing.T) {
	t.Parallel()
	const size = 9 * layout.GiB
	options := kept(t, copyOf(t, imagePath(t), size))
	disk := options.Image
	before, _ := readTable(t, disk)

	m := boot(t, options)
	m.waitLine(layout.ConsolePrefix + layout.SayStateGrown)
	id := m.shell("cat /etc/machine-id")
	m.shell("echo kept > /var/lib/ketch/test-file")
	m.powerOff()
	m.waitLine(layout.ConsolePrefix + layout.SayDown)
	grownState(t, disk, before)
	cleanState(t, disk)
	if e := onlyEntry(t, disk); strings.Contains(e.Path, "+") {
		t.Errorf("the boot entry after a good boot is %s; want it without a counter", e.Path)
	}
	// What the machine may not change still verifies.
	for _, c := range verifyDisk(t, disk) {
		if c.Err != nil {
			t.Errorf("verify %s: %v", c.Name, c.Err)
		}
	}

	m = boot(t, options)
	if got := m.shell("cat /var/lib/ketch/test-file"); got != "kept" {
		t.Errorf("after a second boot the file holds %q; want %q", got, "kept")
	}
	if got := m.shell("cat /etc/machine-id"); got != id {
		t.Errorf("machine-id is %q after a second boot, was %q", got, id)
	}
	m.powerOff()
	cleanState(t, disk)
}

// grownState checks what a first boot makes of the partition table of an image.
func grownState(t *testing.T, disk string, before *gpt.Table) {
	t.Helper()
	table, f := readTable(t, disk)
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	state := table.Partitions[layout.NumState-1]
	if end := state.Offset(table.SectorSize) + state.Size(table.SectorSize); info.Size()-end > layout.Alignment {
		t.Errorf("the state partition ends %d bytes before the disk's end", info.Size()-end)
	}
	if table.DiskID == before.DiskID || state.ID == before.Partitions[layout.NumState-1].ID {
		t.Error("disk GUID or state UUID are still the image's: every machine wants its own")
	}
	esp := &table.Partitions[layout.NumESP-1]
	if esp.ID == before.Partitions[layout.NumESP-1].ID {
		t.Error("the ESP's UUID is still the image's")
	}
	esp.ID = before.Partitions[layout.NumESP-1].ID
	for i, p := range table.Partitions[:layout.NumBoot] {
		if p != before.Partitions[i] {
			t.Errorf("partition %d has changed: %+v, was %+v", i+1, p, before.Partitions[i])
		}
	}
	if out := runTool(t, "sgdisk", "-v", disk); !strings.Contains(out, "No problems found") {
		t.Errorf("sgdisk -v: %s", out)
	}
}

// partition copies a partition out of a disk.
func partition(t *testing.T, disk string, number int) string {
	t.Helper()
	table, f := readTable(t, disk)
	p := table.Partitions[number-1]
	return extract(t, f, p.Offset(table.SectorSize), p.Size(table.SectorSize))
}

// extract copies size bytes of a file from an offset on, without its holes.
func extract(t *testing.T, f *os.File, first, size int64) string {
	t.Helper()
	out, err := os.Create(filepath.Join(t.TempDir(), "partition"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	err = sparse.Each(f, first+size, func(start, end int64) error {
		if start = max(start, first); start >= end {
			return nil
		}
		_, err := io.Copy(io.NewOffsetWriter(out, start-first), io.NewSectionReader(f, start, end-start))
		return err
	})
	if err = errors.Join(err, out.Truncate(size)); err != nil {
		t.Fatal(err)
	}
	return out.Name()
}

func readTable(t *testing.T, disk string) (*gpt.Table, *os.File) {
	t.Helper()
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	info, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	table, err := gpt.Read(f, info.Size())
	if err != nil {
		t.Fatal(err)
	}
	return table, f
}
