package platform

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/builder/convert"
	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/builder/tree"
	"github.com/ketch-os/ketch/disk/erofs"
	"github.com/ketch-os/ketch/disk/fat"
	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/efi/uki"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout"
)

// stub is the one that Debian's systemd-boot-efi brings: an EFI program, which
// also stands for boot loader and kernel.
const stub = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub"

// disk describes a small disk with everything that rules look at. The zero value,
// with a command line, breaks none of them.
type disk struct {
	cmdline  []string
	size     int64            // default 256 MiB
	debug    bool             // usr has the debug layer
	noLoader bool             // the ESP has nothing that firmware starts
	noEntry  bool             // the ESP has no kernel image
	table    func(*gpt.Table) // bends the partition table
	// sectorSize is what the table counts in, by default 512 bytes. The ESP's file
	// system has that in any case: of larger sectors, 64 MiB hold too few for FAT32.
	sectorSize int64
}

// cmdline is the command line that the platform's definition gives.
func cmdline(t testing.TB, platform string) []string {
	t.Helper()
	d, err := image.LoadDefinition(filepath.Join("../../images", platform+".yaml"))
	if err != nil {
		t.Fatal(err)
	}
	return d.Cmdline
}

// write writes the disk, as a raw image.
func (d disk) write(t testing.TB, path string) {
	t.Helper()
	testkit.File(t, stub)
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if d.size == 0 {
		d.size = 256 * layout.MiB
	}
	sector := cmp.Or(d.sectorSize, 512)
	table := &gpt.Table{DiskID: gpt.UUID([16]byte{1}), SectorSize: sector, Sectors: uint64(d.size / sector)}
	for i, p := range []struct {
		kind string
		at   int64 // MiB
		size int64 // MiB
	}{{layout.TypeESP, 1, 64}, {layout.AMD64.Usr, 65, 16}, {layout.AMD64.UsrVerity, 81, 1}, {layout.TypeState, 82, 8}} {
		table.Partitions = append(table.Partitions, gpt.Partition{
			Type: gpt.MustParseGUID(p.kind), ID: gpt.UUID([16]byte{2, byte(i)}), Name: fmt.Sprint("p", i+1),
			First: uint64(p.at * layout.MiB / sector), Last: uint64((p.at+p.size)*layout.MiB/sector - 1),
		})
	}
	at := func(number int) *io.OffsetWriter {
		return io.NewOffsetWriter(f, table.Partitions[number-1].Offset(sector))
	}
	root := d.writeUsr(t, at(2), at(3))
	table.Partitions[1].ID, table.Partitions[2].ID = gpt.UUID([16]byte(root[:16])), gpt.UUID([16]byte(root[16:]))
	d.writeESP(t, at(1), root)
	if d.table != nil {
		d.table(table)
	}
	check(t, f.Truncate(d.size))
	check(t, table.Write(f))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// writeUsr writes a usr file system and its hash tree, and returns the root hash.
func (d disk) writeUsr(t testing.TB, usr, hash io.WriterAt) (root [32]byte) {
	t.Helper()
	files := tree.New(tree.Policy{})
	names := []string{layout.InitPath}
	if d.debug {
		names = append(names, layout.DebugDaemon)
	}
	for _, name := range names {
		check(t, files.Put(name[1:], tree.File([]byte("a program"), 0o755, time.Unix(0, 0)), nil))
	}
	inode, err := files.EROFS("usr")
	check(t, err)
	plan, err := erofs.Plan(inode, erofs.Options{})
	check(t, err)
	hasher, err := verity.NewWriter(plan.Size(), verity.Params{}, hash)
	check(t, err)
	_, err = plan.WriteTo(io.MultiWriter(io.NewOffsetWriter(usr, 0), hasher))
	check(t, err)
	root, err = hasher.Finish()
	check(t, err)
	return root
}

func (d disk) writeESP(t testing.TB, w io.WriterAt, root [32]byte) {
	t.Helper()
	program, err := os.ReadFile(stub)
	check(t, err)
	kernel, err := uki.Build(program, uki.Sections{
		OSRel: "ID=ketch\n", Linux: program,
		Cmdline: strings.Join(append([]string{fmt.Sprintf("usrhash=%x", root)}, d.cmdline...), " "),
	})
	check(t, err)
	var files []fat.File
	if !d.noLoader {
		files = append(files, fat.File{Path: layout.AMD64.Guard, Data: program})
	}
	if !d.noEntry {
		files = append(files, fat.File{Path: layout.ESPEntries + "/ketch_1.0+3-0.efi", Data: kernel})
	}
	check(t, fat.Write(w, fat.Options{Size: 64 * layout.MiB, Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), Files: files}))
}

// convert writes a raw disk in another format, and returns its path.
func convertDisk(t testing.TB, path, format string) string {
	t.Helper()
	if format == "raw" {
		return path
	}
	to, err := convert.Named(format)
	check(t, err)
	c := convert.Conversion{Input: path, Output: strings.TrimSuffix(path, "raw") + format, Format: to}
	check(t, c.Run(context.Background()))
	return c.Output
}
