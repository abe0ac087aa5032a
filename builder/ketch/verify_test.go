package main

import (
	"crypto/x509"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/builder/keys"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/internal/cli"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

// smallImage builds an image of a few files whose hash tree has two levels and
// whose ESP has files without a signature, too.
func smallImage(t *testing.T) (disk string, certificate *x509.Certificate) {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	if err := keys.New(filepath.Join(dir, "keys"), keys.Options{Start: time.Now()}); err != nil {
		t.Fatal(err)
	}
	set, err := keys.Load(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	noise := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	loader := efiProgram(t, "systemd-bootx64.efi")
	stub := efiProgram(t, "linuxx64.efi.stub")
	for name, content := range map[string][]byte{
		layout.BootKernel: stub, layout.BootStub: stub, layout.BootLoader: loader, layout.BootGuard: loader,
		layout.BootRelease: []byte("6.1.0-test\n"), layout.BootSource: []byte("linux-source-6.1 6.1.0-1\n"),
		"usr/lib/ketch/init": []byte("not really PID 1"), "usr/share/noise": noise,
	} {
		name = filepath.Join(dir, "tree", name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeImage(filepath.Join(dir, "images"), "os", filepath.Join(dir, "tree")); err != nil {
		t.Fatal(err)
	}
	definition := filepath.Join(dir, "image.yaml")
	text := "name: Test\nversion: 1.0\nreleased: 2026-01-02T03:04:05Z\nimages: [oci:images:os]\nenroll: manual\n"
	if err := os.WriteFile(definition, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	disk = filepath.Join(dir, "disk.raw")
	build := []string{"build", definition, "-o", disk, "--keys", filepath.Join(dir, "keys")}
	if status := cli.Run(t.Context(), program(), build, cli.Streams{In: strings.NewReader(""), Out: io.Discard, Err: t.Output()}); status != 0 {
		t.Fatalf("ketch %q: status %d", build, status)
	}
	return disk, set.DB.Certificate
}

func efiProgram(t *testing.T, name string) []byte {
	t.Helper()
	name = "/usr/lib/systemd/boot/efi/" + name
	testkit.File(t, name)
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// TestVerifyNamesThePlace changes single bytes all over an image, at both ends
// and within of everything that lies there, and holds what ketch verify says
// first against what the offset means.
func TestVerifyNamesThePlace(t *testing.T) {
	disk, certificate := smallImage(t)
	f, err := os.OpenFile(disk, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	first := func() string {
		checks, err := checksOf(disk, (*image.Disk).Verify, certificate)
		if err != nil {
			return err.Error()
		}
		for _, c := range checks {
			if c.Err != nil {
				return fmt.Sprintf("%s: %v", c.Name, c.Err)
			}
		}
		return ""
	}
	source := rand.New(rand.NewPCG(3, 4))
	for _, area := range areas(t, disk) {
		length := area.end - area.start
		for _, at := range []int64{area.start, area.end - 1, area.start + source.Int64N(length), area.start + source.Int64N(length)} {
			var b [1]byte
			if _, err := f.ReadAt(b[:], at); err != nil {
				t.Fatal(err)
			}
			if _, err := f.WriteAt([]byte{b[0] ^ 1<<source.IntN(8)}, at); err != nil {
				t.Fatal(err)
			}
			got, want := first(), area.want
			if area.block > 0 {
				want = fmt.Sprintf("%s … block %d", want, (at-area.block)/layout.BlockSize)
			}
			if !names(got, want) {
				t.Errorf("byte %d was changed: ketch verify says %q; want %q", at, got, want)
			}
			if _, err := f.WriteAt(b[:], at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if got := first(); got != "" {
		t.Errorf("with every byte put back: %s", got)
	}
}

// names tells whether a message has all parts of what is wanted, as whole words.
func names(message, want string) bool {
	for part := range strings.SplitSeq(want, " … ") {
		if !regexp.MustCompile(`(^|\W)` + regexp.QuoteMeta(part) + `(\W|$)`).MatchString(message) {
			return false
		}
	}
	return true
}

// area is a range of the disk and how a fault in it is to be called, in parts
// that " … " separates.
type area struct {
	start, end int64
	want       string
	block      int64 // if above 0: "block N" follows, counted from here
}

// areas are all there is on a disk, found by the specifications of the formats
// and not by the code that is tested, but for the extents of the ESP's files.
func areas(t *testing.T, disk string) []area {
	d, err := image.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	size, table := d.Size, int64(128*128)
	list := []area{
		{0, 440, "boot code", 0}, {446, 512, "protective MBR", 0},
		{512, 512 + 92, "primary", 0}, {512 + 92, 1024, "primary header", 0},
		{1024, 1024 + table, "primary … array", 0}, {1024 + table, layout.Alignment, "unused space", 0},
		{size - layout.Alignment, size - 512 - table, "unused space", 0},
		{size - 512 - table, size - 512, "backup … array", 0}, {size - 512, size - 512 + 92, "backup", 0}, {size - 512 + 92, size, "backup header", 0},
	}
	for number := layout.NumBIOS; number <= layout.NumState; number++ {
		list = append(list, partitionAreas(t, d, number)...)
	}
	return append(list, espAreas(t, disk, d)...)
}

// partitionAreas are those of a partition but the ESP.
func partitionAreas(t *testing.T, d *image.Disk, number int) []area {
	p := d.Table.Partitions[number-1]
	start, end := p.Offset(512), p.Offset(512)+p.Size(512)
	name := fmt.Sprintf("partition %d (%s)", number, p.Name)
	whole := area{start, end, name, start}
	if number == layout.NumBoot {
		whole.block = 0 // its copies are named
	}
	used := usedBytes(t, d)[number]
	if used == 0 {
		return []area{whole}
	}
	list := []area{{start, start + used, name, start}, {start + used, end, name, start}}
	if number == layout.NumVerityA {
		list[0].start = start + layout.BlockSize
		list = append(list, area{start, start + layout.BlockSize, name + " … superblock", 0})
	}
	return list
}

// usedBytes are the lengths of the file system and of the hash tree.
func usedBytes(t *testing.T, d *image.Disk) map[int]int64 {
	entries, err := d.Entries()
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d boot entries, %v", len(entries), err)
	}
	slot, err := d.Slot(entries[0].RootHash)
	if err != nil {
		t.Fatal(err)
	}
	return map[int]int64{layout.NumUsrA: slot.UsrSize, layout.NumVerityA: verity.HashSize(slot.UsrSize)}
}

// espAreas follows the Microsoft FAT specification: reserved sectors, FATs, clusters.
func espAreas(t *testing.T, disk string, d *image.Disk) []area {
	start := d.Table.Partitions[layout.NumESP-1].Offset(512)
	f, err := os.Open(disk)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var boot [512]byte
	if _, err := f.ReadAt(boot[:], start); err != nil {
		t.Fatal(err)
	}
	sectors := func(n int64) int64 { return start + n*512 }
	reserved, fat := int64(binary.LittleEndian.Uint16(boot[14:])), int64(binary.LittleEndian.Uint32(boot[36:]))
	list := []area{
		{sectors(0), sectors(1), "ESP … boot sector", 0}, {sectors(1), sectors(2), "ESP … FSInfo", 0},
		{sectors(6), sectors(9), "ESP … backup boot sector", 0}, {sectors(9), sectors(reserved), "ESP … reserved sectors", 0},
		{sectors(reserved), sectors(reserved + fat), "ESP … FAT", 0}, {sectors(reserved + fat), sectors(reserved + 2*fat), "ESP … FAT", 0},
	}
	err = fs.WalkDir(d.ESP, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		extents, err := d.ESP.Extents(name)
		if err != nil {
			return err
		}
		want := "ESP … " + name // of a directory, or of what is in it
		if name == "." {
			want = "ESP"
		}
		for _, x := range extents {
			at := start + x.Offset
			list = append(list, area{at, at + x.Length, want, 0})
			if entry.IsDir() {
				list = append(list, area{at, at + 256, want, 0}) // where its entries are
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return append(list, area{start + layout.SizeESP - 64*layout.MiB, start + layout.SizeESP, "ESP … free space", 0})
}
