package qemutests

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/disk/erofs"
	"github.com/ketch-os/ketch/disk/erofs/sample"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/qemu-tests/crafted"
)

// craftedCases is how many file systems TestCraftedExt4 mounts, craftedSampled how
// many of them in make test.
const craftedCases, craftedSampled = 400, 40

// craftedSeed makes the same file systems every time.
const craftedSeed = 4

// craftedLife is how long the machine may take for one of them, emulated on a busy
// host.
const craftedLife = 15 * time.Second

// TestCraftedExt4: file systems as an enemy who has the disk may craft them, whose
// checksums are right where they have any. Each is mounted and used, or refused;
// none ends the kernel.
func TestCraftedExt4(t *testing.T) {
	t.Parallel()
	count := series(craftedCases, craftedSampled)
	scratch := filepath.Join(t.TempDir(), "scratch")
	if err := errors.Join(os.WriteFile(scratch, nil, 0o666), os.Truncate(scratch, craftedSize)); err != nil {
		t.Fatal(err)
	}
	o := direct(t, newDisk(t))
	o.ExitOnReboot = true
	for id, file := range map[string]string{"cases": craftedDrive(t, count), "scratch": scratch} {
		o.Extra = append(o.Extra, "-drive", "if=none,format=raw,id="+id+",file="+file, "-device", "virtio-blk-pci,serial="+id+",drive="+id)
	}
	// What the kernel says of such a file system, and warnings that it has of its own
	// code, are no end.
	m := launch(t, o, bootLimit+time.Duration(count)*craftedLife, "EXT4-fs", "WARNING: CPU", "Call Trace")
	m.waitLine(layout.ConsolePrefix + layout.SayGood)
	m.shell("mkdir /tmp/cases && mount -t erofs " + bySerial(m, "cases") + " /tmp/cases")
	out, err := m.Shell(m.ctx, "/tmp/cases/mounter /tmp/cases "+bySerial(m, "scratch"))
	outcomes := map[string]int{}
	for line := range strings.Lines(out) {
		_, said, _ := strings.Cut(line, " ")
		outcome, _, _ := strings.Cut(said, ",")
		word, _, _ := strings.Cut(outcome, " (")
		outcomes[word]++
	}
	t.Logf("%d file systems: %v\n%s", count, outcomes, out)
	if err != nil || strings.Count(out, "\n") != count {
		t.Fatalf("not all were tried: %v", err)
	}
	if outcomes["mounted"] == 0 || outcomes["refused"] == 0 {
		t.Error("none was mounted, or none refused: the lies are not the right ones")
	}
	if n := strings.Count(m.Console.String(), "WARNING: CPU"); n > 0 {
		t.Logf("the kernel has warned %d times of its own code", n)
	}
	m.survives(m.pids())
}

// bySerial is the device of a virtio disk.
func bySerial(m *machine, serial string) string {
	m.t.Helper()
	for _, name := range []string{"vda", "vdb", "vdc"} {
		if strings.TrimSpace(m.shell("cat /sys/block/"+name+"/serial")) == serial {
			return "/dev/" + name
		}
	}
	m.t.Fatalf("the machine has no disk %s", serial)
	return ""
}

// craftedSize is the size of a crafted file system.
const craftedSize = 16 * layout.MiB

// craftedDrive is an EROFS with the mounter, the images, and what to change in them.
func craftedDrive(t *testing.T, count int) string {
	t.Helper()
	dir := t.TempDir()
	content := map[string]string{"mounter": filepath.Join(dir, "mounter")}
	if err := os.WriteFile(content["mounter"], guestProgram(t, "./mounter"), 0o666); err != nil {
		t.Fatal(err)
	}
	// As PID 1 makes it, which has checksums; and without, so that lies are believed.
	for name, features := range map[string]string{"sealed": "quota,project", "open": "quota,project,^metadata_csum"} {
		content[name] = filepath.Join(dir, name)
		makeCraftable(t, content[name], features)
	}
	cases, err := json.Marshal(crafted.Cases(craftable(t, content), count, craftedSeed))
	if err == nil {
		content["cases.json"] = filepath.Join(dir, "cases.json")
		err = os.WriteFile(content["cases.json"], cases, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
	return eroded(t, content)
}

// eroded is an EROFS image of some files.
func eroded(t *testing.T, content map[string]string) string {
	t.Helper()
	root := &erofs.Inode{Mode: 0o040755, Mtime: sample.Built(), Children: map[string]*erofs.Inode{}}
	for name, path := range content {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		root.Children[name] = &erofs.Inode{
			Mode: 0o100755, Size: int64(len(data)), Mtime: sample.Built(),
			Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil },
		}
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "cases"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := erofs.Write(f, root, sample.Options()); err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// makeCraftable makes a file system with something in it, and in its journal.
func makeCraftable(t *testing.T, path, features string) {
	t.Helper()
	content := filepath.Join(t.TempDir(), "content")
	for _, dir := range []string{"lib", "log"} {
		if err := os.MkdirAll(filepath.Join(content, dir), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(content, dir, "file"), make([]byte, 100<<10), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile(path, nil, 0o666), os.Truncate(path, craftedSize)); err != nil {
		t.Fatal(err)
	}
	runTool(t, "mke2fs", "-q", "-F", "-t", "ext4", "-b", strconv.Itoa(layout.BlockSize), "-m", "0", "-O", features,
		"-E", "quotatype=prjquota", "-d", content, path)
}

// craftable are the images, with where things lie in them.
func craftable(t *testing.T, paths map[string]string) (images []crafted.Image) {
	t.Helper()
	for _, name := range []string{"sealed", "open"} {
		data, err := os.ReadFile(paths[name])
		if err != nil {
			t.Fatal(err)
		}
		images = append(images, crafted.Image{
			Name: name, Data: data, Sealed: name == "sealed", Descriptors: layout.BlockSize,
			Journal: journal(t, paths[name]) * layout.BlockSize, InodeTable: inodeTable(t, paths[name]) * layout.BlockSize,
			RootDirectory: rootDirectory(t, paths[name]) * layout.BlockSize,
		})
	}
	return images
}

// rootDirectory is the first block of the root directory.
func rootDirectory(t *testing.T, path string) int64 {
	t.Helper()
	out, err := exec.Command(testkit.Tool(t, "debugfs"), "-R", "blocks <2>", path).Output()
	first, _, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	return number(t, first, err)
}
