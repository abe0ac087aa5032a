package image

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/builder/keys"
	"github.com/ketch-os/ketch/builder/limit"
	"github.com/ketch-os/ketch/builder/output"
	"github.com/ketch-os/ketch/builder/sparse"
	"github.com/ketch-os/ketch/disk/fat"
	"github.com/ketch-os/ketch/efi/authenticode"
	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/update/release"
)

// Signer makes the signature of a program of the ESP, which name says: RSA
// PKCS #1 v1.5 with SHA-256 over message.
type Signer interface {
	Sign(ctx context.Context, name string, message []byte) (signature []byte, err error)
}

// program is a file of the ESP that firmware checks the signature of.
type program struct {
	name string // on the ESP
	what string
}

// loaders are the programs that lead to the boot entries.
func loaders() []program {
	return []program{{layout.AMD64.Guard, "guard"}, {layout.AMD64.BootLoader, "boot loader"}}
}

// programs are all programs of an image, in the order in which they are written.
func programs(version string) []program {
	return append(loaders(), program{entryPath(version), "kernel image"})
}

// entryPath is where a version's kernel image lies on the ESP before its first boot.
func entryPath(version string) string {
	return path.Join(layout.ESPEntries, firstEntry(version).File())
}

// espFiles lists the files of the ESP in the order in which they are written:
// those without a signature by name, then the programs.
func espFiles(version string, unsigned, signed map[string][]byte) []fat.File {
	var files []fat.File
	for _, name := range sortedESP(unsigned) {
		files = append(files, fatFile(name, unsigned[name]))
	}
	for _, p := range programs(version) {
		files = append(files, fatFile(p.name, signed[p.name]))
	}
	return files
}

// signPrograms signs the programs of the build, or leaves that to others.
func (b *build) signPrograms(ctx context.Context) error {
	list := programs(b.Definition.Version)
	if b.Unsigned {
		b.detail = fmt.Sprintf("left to do: %d programs", len(list))
		return nil
	}
	if err := signAll(ctx, list, b.programs, b.Signer, b.Keys); err != nil {
		return err
	}
	b.result.UKISize = int64(len(b.programs[entryPath(b.Definition.Version)]))
	b.detail = fmt.Sprintf("%d programs, by %s", len(list), b.Keys.DB.Certificate.Subject.CommonName)
	return nil
}

// signAll replaces the programs in data by signed ones.
func signAll(ctx context.Context, list []program, data map[string][]byte, by Signer, set *keys.Set) error {
	for _, p := range list {
		signed, err := signProgram(ctx, p.name, data[p.name], by, set)
		if err != nil {
			return fmt.Errorf("sign %s (%s): %w", p.what, p.name, err)
		}
		data[p.name] = signed
	}
	return nil
}

func signProgram(ctx context.Context, name string, data []byte, by Signer, set *keys.Set) ([]byte, error) {
	message, err := authenticode.Message(data)
	if err != nil {
		return nil, err
	}
	signature, err := by.Sign(ctx, name, message)
	if err != nil {
		return nil, err
	}
	return authenticode.Attach(data, signature, set.DB.Certificate)
}

// SignOptions say how an unsigned image becomes a signed one.
type SignOptions struct {
	Unsigned string // the image of a build with Options.Unsigned
	Output   string // the signed image; it appears by rename
	Keys     *keys.Set
	Signer   Signer // default: the key of Keys
	MaxSize  int64  // of the image, in bytes; 0: limit.Default
}

// Sign completes an unsigned image. It first checks that the image is, byte for
// byte, one that the builder writes; the result is what a build with this key
// would have written.
func Sign(ctx context.Context, o SignOptions) (err error) {
	if o.Signer == nil {
		if o.Signer, err = o.Keys.Signer(); err != nil {
			return err
		}
	}
	if err := output.Check(o.Output); err != nil {
		return err
	}
	most := cmp.Or(o.MaxSize, limit.Default)
	d, err := OpenWithin(o.Unsigned, most)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := limit.Check(d.Size, most, "write "+o.Output); err != nil {
		return err
	}
	u, err := readUnsigned(d)
	if err != nil {
		return fmt.Errorf("%s: %w", o.Unsigned, err)
	}
	if err := u.suits(o.Keys); err != nil {
		return fmt.Errorf("%s: %w", o.Unsigned, err)
	}
	if err := signAll(ctx, programs(u.info.Version), u.programs, o.Signer, o.Keys); err != nil {
		return err
	}
	if err := u.write(ctx, o.Output); err != nil {
		return err
	}
	return exportSBOM(o.Output)
}

// unsigned is an unsigned image that has been read and checked.
type unsigned struct {
	disk     *Disk
	entry    Entry
	info     *release.Info
	files    map[string][]byte // of the ESP, without those below
	programs map[string][]byte
}

func readUnsigned(d *Disk) (*unsigned, error) {
	v := &verification{disk: d, program: isUnsigned, fresh: true}
	v.all()
	for _, c := range v.checks {
		if c.Err != nil {
			return nil, fmt.Errorf("%s: %w", c.Name, c.Err)
		}
	}
	s, err := d.Slot(v.entries[0].RootHash)
	if err != nil {
		return nil, err
	}
	u := &unsigned{disk: d, entry: v.entries[0]}
	if u.info, _, err = s.Info(); err != nil {
		return nil, err
	}
	u.files, u.programs, err = d.readESPFiles(u.info, u.entry.Path)
	return u, err
}

// isUnsigned checks a program that is still to be signed.
func isUnsigned(data []byte) (string, error) {
	signers, err := authenticode.Signers(data)
	if err == nil && len(signers) > 0 {
		err = fmt.Errorf("is signed already, by %s", signers[0].Subject.CommonName)
	}
	return "not signed", err
}

// suits refuses keys for which the image would have been built otherwise.
func (u *unsigned) suits(set *keys.Set) error {
	_, marked := parameter(u.entry.Cmdline, layout.ParamDev)
	if marked != set.Development {
		return hint.Add(fmt.Errorf("its command line calls the keys %s, but they are %s", secrecy(marked), secrecy(set.Development)),
			"build it with the directory of these keys: ketch build --unsigned --keys DIR; the certificates and the marker are enough")
	}
	if db, enrols := u.files[path.Join(layout.ESPEnrollKeys, keys.DBAuth)]; enrols {
		return set.CheckEnrolment(db)
	}
	return nil
}

func secrecy(development bool) string {
	if development {
		return "development keys"
	}
	return "secret"
}

// write writes the image with the programs as they are now.
func (u *unsigned) write(ctx context.Context, name string) (err error) {
	out, err := output.Create(ctx, name)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Discard()) }()
	if err := out.Truncate(u.disk.Size); err != nil {
		return err
	}
	p := u.disk.Table.Partitions[layout.NumESP-1]
	sector := u.disk.Table.SectorSize
	esp := span{p.Offset(sector), p.Offset(sector) + p.Size(sector)}
	if err := u.disk.copyAround(out, esp); err != nil {
		return fmt.Errorf("copy %s: %w", u.disk.file.Name(), err)
	}
	files := espFiles(u.info.Version, u.files, u.programs)
	if err := fat.Write(io.NewOffsetWriter(out, esp.start), espOptions(u.entry.RootHash, sector, u.info.Released, files)); err != nil {
		return fmt.Errorf("write ESP: %w", err)
	}
	if err := out.Sync(); err != nil {
		return err
	}
	return out.Commit()
}

// copyAround copies the data of a disk, without its holes and one span.
func (d *Disk) copyAround(w io.WriterAt, skip span) error {
	copyRange := func(start, end int64) error {
		if start >= end {
			return nil
		}
		_, err := io.Copy(io.NewOffsetWriter(w, start), io.NewSectionReader(d.file, start, end-start))
		return err
	}
	return sparse.Each(d.file, d.Size, func(start, end int64) error {
		if err := copyRange(start, min(end, skip.start)); err != nil {
			return err
		}
		return copyRange(max(start, skip.end), end)
	})
}

// readESPFiles reads the files of an ESP as the builder writes it, those without
// a signature and the programs. The digests of the former stand in info. The
// kernel image, whose name a boot changes, is at entry.
func (d *Disk) readESPFiles(info *release.Info, entry string) (files, programFiles map[string][]byte, err error) {
	files, programFiles = map[string][]byte{}, map[string][]byte{}
	for _, name := range sortedESP(info.ESP) {
		if files[name], err = d.readESP(name); err != nil {
			return nil, nil, fmt.Errorf("ESP %s: %w", name, err)
		}
		if got := fmt.Sprintf("%x", sha256.Sum256(files[name])); got != info.ESP[name] {
			return nil, nil, fmt.Errorf("ESP %s: SHA-256 is %s, want %s", name, got, info.ESP[name])
		}
	}
	for _, p := range programs(info.Version) {
		path := p.name
		if path == entryPath(info.Version) {
			path = entry
		}
		if programFiles[p.name], err = d.readESP(path); err != nil {
			return nil, nil, fmt.Errorf("ESP %s: %w", path, err)
		}
	}
	return files, programFiles, nil
}
