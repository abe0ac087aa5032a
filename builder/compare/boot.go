package compare

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/ketch-os/ketch/efi/authenticode"
	"github.com/ketch-os/ketch/efi/pe"
	"github.com/ketch-os/ketch/layout"
)

// compareBoot compares what the images boot with, and what they call themselves.
func (a *side) compareBoot(b *side) ([]Value, error) {
	var changed []Value
	add := func(v Value) {
		if v.A != v.B {
			changed = append(changed, v)
		}
	}
	for _, v := range []struct {
		name string
		of   func(*side) string
	}{
		{"name", func(s *side) string { return s.info.Name }},
		{"version", func(s *side) string { return s.info.Version }},
		{"platform", func(s *side) string { return s.info.Platform }},
		{"root hash", func(s *side) string { return s.entry.RootHash.String() }},
		{"signed by", func(s *side) string { return signers(s.entry.Data) }},
		{"kernel", func(s *side) string { return s.uki.Uname }},
		{"kernel source", func(s *side) string { return s.info.Kernel.Source }},
		{"kernel image", func(s *side) string { return digest(s.uki.Linux) }},
		{"initramfs", func(s *side) string { return digest(s.uki.Initrd) }},
		{"os-release", func(s *side) string { return digest([]byte(s.uki.OSRel)) }},
		{"SBAT", func(s *side) string { return digest([]byte(s.uki.SBAT)) }},
		{"command line", func(s *side) string { return s.cmdline() }},
	} {
		add(Value{v.name, v.of(a), v.of(b)})
	}
	esp, err := a.compareESP(b)
	return append(changed, esp...), err
}

// cmdline leaves out what the builder derives from the rest.
func (s *side) cmdline() string {
	return strings.Join(slices.DeleteFunc(strings.Fields(s.uki.Cmdline), func(p string) bool {
		return strings.HasPrefix(p, layout.ParamUsrHash+"=") || strings.HasPrefix(p, layout.ParamVersion+"=")
	}), " ")
}

// compareESP compares the other files of the ESP, signatures left out.
func (a *side) compareESP(b *side) ([]Value, error) {
	x, err := a.esp()
	if err != nil {
		return nil, fmt.Errorf("ESP of %s: %w", a.path, err)
	}
	y, err := b.esp()
	if err != nil {
		return nil, fmt.Errorf("ESP of %s: %w", b.path, err)
	}
	names := maps.Clone(x)
	maps.Copy(names, y)
	var changed []Value
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if x[name] != y[name] {
			changed = append(changed, Value{"ESP " + name, x[name], y[name]})
		}
	}
	return changed, nil
}

// esp digests the files of the ESP, boot entries left out.
func (s *side) esp() (map[string]string, error) {
	digests := map[string]string{}
	err := fs.WalkDir(s.disk.ESP, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasPrefix(name, layout.ESPEntries+"/") {
			return err
		}
		data, err := fs.ReadFile(s.disk.ESP, name)
		if err == nil {
			digests[name] = programDigest(data)
		}
		return err
	})
	return digests, err
}

// programDigest is the digest of a program without its signature, or of a file that is no program.
func programDigest(data []byte) string {
	if program, err := pe.Open(data); err == nil {
		if sum, err := program.Digest(); err == nil {
			return fmt.Sprintf("%d bytes, Authenticode SHA-256 %x", len(data), sum)
		}
	}
	return digest(data)
}

func digest(data []byte) string {
	if len(data) == 0 {
		return ""
	}
	return fmt.Sprintf("%d bytes, SHA-256 %x", len(data), sha256.Sum256(data))
}

func signers(program []byte) string {
	certificates, err := authenticode.Signers(program)
	if err != nil {
		return "" // unsigned, or not readable: ketch verify tells
	}
	var names []string
	for _, c := range certificates {
		names = append(names, c.Subject.CommonName)
	}
	return strings.Join(names, ", ")
}
