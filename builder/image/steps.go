package image

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/tree"
	"github.com/ketch-os/ketch/disk/erofs"
	"github.com/ketch-os/ketch/disk/fat"
	"github.com/ketch-os/ketch/disk/gpt"
	"github.com/ketch-os/ketch/disk/verity"
	"github.com/ketch-os/ketch/efi/uki"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/update/release"
)

// bootFiles is what the tree's boot/ directory gives.
type bootFiles struct {
	kernel, release, source, stub, guard, loader []byte
}

// describe reads boot/ and writes the files that tell the image what it is.
func (b *build) describe(context.Context) error {
	if err := b.readBoot(); err != nil {
		return err
	}
	b.programs[layout.AMD64.Guard], b.programs[layout.AMD64.BootLoader] = b.boot.guard, b.boot.loader
	b.info.Name, b.info.Version, b.info.Released, b.info.Platform = b.Definition.Name, b.Definition.Version, b.Definition.Released, b.Definition.Platform
	b.info.Kernel = release.Kernel{Release: line(b.boot.release), Source: line(b.boot.source)}
	if err := b.unsignedESP(); err != nil {
		return err
	}
	var err error
	if b.infoJSON, err = b.info.Encode(); err != nil {
		return err
	}
	if err := errors.Join(b.put(layout.ImageInfo, b.infoJSON), b.put(layout.OSRelease, []byte(b.Definition.osRelease()))); err != nil {
		return err
	}
	b.detail = fmt.Sprintf("%s %s, kernel %s", b.info.Name, b.info.Version, b.info.Kernel.Release)
	return nil
}

func line(data []byte) string { return strings.TrimSpace(string(data)) }

func (b *build) put(name string, data []byte) error {
	return b.tree.Put(name[1:], tree.File(data, 0o644, b.Definition.Released), nil)
}

// bootFile is a file of boot/ and where its content goes.
type bootFile struct {
	name string
	data *[]byte
}

// parts lists the files of boot/ that an image is made of.
func (f *bootFiles) parts() []bootFile {
	return []bootFile{
		{layout.BootKernel, &f.kernel}, {layout.BootRelease, &f.release}, {layout.BootSource, &f.source},
		{layout.BootStub, &f.stub}, {layout.BootGuard, &f.guard}, {layout.BootLoader, &f.loader},
	}
}

func (b *build) readBoot() (err error) {
	for _, f := range b.boot.parts() {
		if *f.data, err = b.tree.ReadFile(f.name); err != nil {
			return hint.Add(err, "one of the definition's images must bring it: the layer kernel does (ketch layers build)")
		}
	}
	return nil
}

// makeUsr writes usr as EROFS into slot A and, in the same pass, its hash tree.
// The root of that tree names the version's content.
func (b *build) makeUsr(context.Context) error {
	root, err := b.tree.EROFS("usr")
	if err != nil {
		return err
	}
	seed := b.seed()
	usr, err := erofs.Plan(root, erofs.Options{UUID: derive(seed, "usr file system"), BuildTime: b.Definition.Released})
	if err != nil {
		return fmt.Errorf("lay out usr: %w", err)
	}
	if err := b.fits(usr.Size()); err != nil {
		return err
	}
	table := b.table()
	salt := sha256.Sum256(append(seed[:], "verity salt"...))
	hasher, err := verity.NewWriter(usr.Size(), verity.Params{UUID: derive(seed, "verity"), Salt: salt[:]}, b.at(table, layout.NumVerityA))
	if err != nil {
		return fmt.Errorf("hash usr: %w", err)
	}
	if _, err := usr.WriteTo(io.MultiWriter(b.at(table, layout.NumUsrA), hasher)); err != nil {
		return fmt.Errorf("write usr: %w", err)
	}
	if b.root, err = hasher.Finish(); err != nil {
		return fmt.Errorf("hash usr: %w", err)
	}
	b.result.UsrSize = usr.Size()
	b.detail = fmt.Sprintf("%.1f MiB, %.0f %% of the slot, root hash %x…", float64(usr.Size())/layout.MiB, float64(usr.Size())*100/layout.SizeUsr, b.root[:8])
	return nil
}

// table is that of the new disk, with what is known of its version so far.
func (b *build) table() *gpt.Table {
	return newTable(b.Definition.Version, b.root, diskSize(), b.Definition.SectorSize)
}

// at is where a partition of the new disk starts.
func (b *build) at(table *gpt.Table, number int) *io.OffsetWriter {
	return io.NewOffsetWriter(b.out, table.Partitions[number-1].Offset(table.SectorSize))
}

// seed is what identifiers derive from that are needed before the root hash is known.
func (b *build) seed() [32]byte { return sha256.Sum256(b.infoJSON) }

// fits checks usr against its slot, which is for life.
func (b *build) fits(size int64) error {
	limit := int64(float64(layout.SizeUsr) * b.Definition.SlotFill)
	if size <= limit && verity.HashSize(size) <= layout.SizeVerity {
		return nil
	}
	return hint.Add(fmt.Errorf("usr needs %.1f MiB; %.1f MiB of its slot may be used (%.0f %% of %d MiB)",
		float64(size)/layout.MiB, float64(limit)/layout.MiB, b.Definition.SlotFill*100, layout.SizeUsr/layout.MiB),
		"leave something out, or raise slot-fill in the definition; slots never grow, and the next version must fit too")
}

// cmdline is the kernel command line. It lies in the signed UKI.
func (b *build) cmdline() string {
	parameters := []string{
		fmt.Sprintf("%s=%s", layout.ParamUsrHash, b.root),
		layout.ParamVersion + "=" + b.Definition.Version,
	}
	if b.Keys.Development {
		parameters = append(parameters, layout.ParamDev+"=1")
	}
	return strings.Join(append(parameters, b.Definition.Cmdline...), " ")
}

// makeUKI joins stub, kernel, command line and initramfs.
func (b *build) makeUKI(context.Context) error {
	pid1 := b.tree.Lookup(layout.InitPath[1:])
	if pid1 == nil {
		return hint.Add(fmt.Errorf("merged tree: %s: no such file", layout.InitPath[1:]), "one of the definition's images must bring it: the layer init does")
	}
	r, err := pid1.Open()
	if err != nil {
		return err
	}
	defer r.Close()
	initrd, err := initramfs(r, pid1.Size)
	if err != nil {
		return err
	}
	unsigned, err := uki.Build(b.boot.stub, uki.Sections{
		OSRel: b.Definition.osRelease(), Cmdline: b.cmdline(), Uname: b.info.Kernel.Release,
		Linux: b.boot.kernel, Initrd: initrd,
	})
	if err != nil {
		return fmt.Errorf("make kernel image: %w", err)
	}
	b.programs[entryPath(b.Definition.Version)] = unsigned
	b.result.UKISize = int64(len(unsigned))
	b.detail = fmt.Sprintf("%.1f MiB", float64(len(unsigned))/layout.MiB)
	return nil
}

// unsignedESP makes the ESP's files that carry no signature and notes their digests.
func (b *build) unsignedESP() error {
	b.esp = map[string][]byte{layout.ESPLoaderConf: b.Definition.loaderConf()}
	for name, data := range b.enrol {
		b.esp[path.Join(layout.ESPEnrollKeys, name)] = data
	}
	b.info.ESP = map[string]string{}
	for name, data := range b.esp {
		b.info.ESP[name] = fmt.Sprintf("%x", sha256.Sum256(data))
	}
	return nil
}

// makeESP writes the EFI system partition: boot loader, its configuration, the UKI.
func (b *build) makeESP(context.Context) error {
	files := espFiles(b.Definition.Version, b.esp, b.programs)
	table := b.table()
	if err := fat.Write(b.at(table, layout.NumESP), espOptions(b.root, table.SectorSize, b.Definition.Released, files)); err != nil {
		return fmt.Errorf("write ESP: %w", err)
	}
	b.detail = fmt.Sprintf("%d files", len(files))
	return nil
}

func (b *build) makeTable(context.Context) error {
	table := b.table()
	if err := table.Write(b.out); err != nil {
		return fmt.Errorf("write partition table: %w", err)
	}
	b.detail = fmt.Sprintf("%d partitions on %d GiB, sectors of %d bytes", len(table.Partitions), diskSize()/layout.GiB, table.SectorSize)
	return b.out.Sync()
}
