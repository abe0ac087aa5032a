// Package deb reads Debian binary packages.
//
// A package is an ar archive (deb(5)) of exactly these members, in this order:
//
//	debian-binary      the format version, "2.0\n"
//	control.tar[.*]    fields about the package, and its maintainer scripts
//	data.tar[.*]       the files, with names like ./usr/bin/nft
//
// Members whose name starts with an underscore are skipped where they stand
// before data.tar; whatever follows data.tar is ignored. The tars may be plain,
// or compressed with gzip, xz or zstd. Left out: bzip2 and lzma, which dpkg has
// not written for a decade; maintainer scripts, which nothing here runs;
// signatures, because apt has checked the whole file against its signed index.
package deb

import (
	"archive/tar"
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"
)

// Control is what a package says about itself (deb-control(5)).
type Control struct {
	Package      string
	Version      string
	Architecture string // "all" or a Debian architecture
	Source       string // the source package, where it differs: "e2fsprogs" or "glibc (2.36-9)"
}

// maxControl bounds the control file: real ones are a few kilobytes.
const maxControl = 1 << 20

// maxWindow is the largest zstd window and more than any dictionary dpkg-deb uses (64 MiB at xz -9).
const maxWindow = 128 << 20

// Read reads one package. It calls visit for each entry of data.tar, in order;
// the reader is the entry's content and is valid only during the call.
func Read(r io.Reader, visit func(*tar.Header, io.Reader) error) (Control, error) {
	archive, err := newArchive(r)
	if err != nil {
		return Control{}, err
	}
	if err := readVersion(archive); err != nil {
		return Control{}, err
	}
	control, err := readControl(archive)
	if err != nil {
		return Control{}, err
	}
	return control, readData(archive, visit)
}

// readVersion checks the first member: readers must accept any minor version.
func readVersion(a *archive) error {
	name, body, err := a.next()
	if err != nil {
		return err
	}
	if name != "debian-binary" {
		return fmt.Errorf("read package: first member is %q, not debian-binary", name)
	}
	version, err := io.ReadAll(io.LimitReader(body, 64))
	if err != nil {
		return err
	}
	if !strings.HasPrefix(string(version), "2.") {
		return fmt.Errorf("read package: format version %q is not 2.x", strings.TrimSpace(string(version)))
	}
	return nil
}

// readControl returns the fields of the file "control" in the member control.tar.
func readControl(a *archive) (Control, error) {
	entries, stop, err := openTar(a, "control.tar")
	if err != nil {
		return Control{}, err
	}
	defer stop()
	for {
		h, err := entries.Next()
		if err == io.EOF {
			return Control{}, errors.New("read control.tar: no file named control")
		}
		if err != nil {
			return Control{}, fmt.Errorf("read control.tar: %w", err)
		}
		if path.Clean(h.Name) == "control" && h.Typeflag == tar.TypeReg {
			return parseControl(entries)
		}
	}
}

// parseControl reads one deb822(5) paragraph; of its fields it keeps Control's.
func parseControl(r io.Reader) (Control, error) {
	var c Control
	fields := map[string]*string{
		"package": &c.Package, "version": &c.Version, "architecture": &c.Architecture, "source": &c.Source,
	}
	lines := bufio.NewScanner(io.LimitReader(r, maxControl))
	lines.Buffer(nil, maxControl)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || line[0] == ' ' || line[0] == '\t' || line[0] == '#' {
			continue // a continuation of a field that is not kept
		}
		name, value, found := strings.Cut(line, ":")
		if !found {
			return c, fmt.Errorf("read control: %q is not a field", line)
		}
		if target := fields[strings.ToLower(name)]; target != nil {
			*target = strings.TrimSpace(value)
		}
	}
	if err := lines.Err(); err != nil {
		return c, fmt.Errorf("read control: %w", err)
	}
	for _, name := range []string{"package", "version", "architecture"} {
		if *fields[name] == "" {
			return c, fmt.Errorf("read control: no field %q", name)
		}
	}
	return c, nil
}

func readData(a *archive, visit func(*tar.Header, io.Reader) error) error {
	entries, stop, err := openTar(a, "data.tar")
	if err != nil {
		return err
	}
	defer stop()
	for {
		h, err := entries.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read data.tar: %w", err)
		}
		if err := visit(h, entries); err != nil {
			return err
		}
	}
}

// openTar opens the next member, which must be the tar called name, whatever
// its compression. stop releases the decompressor.
func openTar(a *archive, name string) (entries *tar.Reader, stop func(), err error) {
	for {
		member, body, err := a.next()
		if err != nil {
			return nil, nil, fmt.Errorf("find %s: %w", name, err)
		}
		if strings.HasPrefix(member, "_") {
			continue
		}
		suffix, found := strings.CutPrefix(member, name)
		if !found {
			return nil, nil, fmt.Errorf("find %s: member %q stands in its place", name, member)
		}
		plain, stop, err := decompress(suffix, body)
		if err != nil {
			return nil, nil, fmt.Errorf("open %s: %w", member, err)
		}
		return tar.NewReader(plain), stop, nil
	}
}

func decompress(suffix string, r io.Reader) (io.Reader, func(), error) {
	none := func() {}
	switch suffix {
	case "":
		return r, none, nil
	case ".gz":
		z, err := gzip.NewReader(r)
		return z, none, err
	case ".xz":
		z, err := xz.NewReader(bufio.NewReader(r))
		return z, none, err
	case ".zst":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, nil, err
		}
		return z, z.Close, nil
	}
	return nil, nil, fmt.Errorf("compression %q is not one of gz, xz, zst", suffix)
}
