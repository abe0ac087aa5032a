package tree

import (
	"archive/tar"
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"
)

// A layer in the tests is a list of lines, one an entry:
//
//	d NAME [ATTR…]            directory
//	f NAME=CONTENT [ATTR…]    regular file
//	l NAME->TARGET [ATTR…]    symbolic link
//	h NAME->TARGET            hard link
//	c NAME=MAJOR:MINOR, b …   device
//	p NAME                    FIFO
//	w NAME                    whiteout of NAME
//	o NAME                    opaque marker in NAME
//
// and the attributes are mode=0750 uid=1 gid=2 mtime=12.5 xattr:user.a=b. A
// tree is written in the same way, sorted by name; attributes that are the
// default (0755 for directories, 0644 for files, 0777 for links, root, time 0)
// are left out.
func parseEntry(line string) (*tar.Header, string, error) {
	fields := strings.Fields(line)
	if len(fields) < 2 || len(fields[0]) != 1 {
		return nil, "", fmt.Errorf("no entry: %q", line)
	}
	h := &tar.Header{Name: fields[1], Mode: 0o644, ModTime: time.Unix(0, 0), PAXRecords: map[string]string{}, Format: tar.FormatPAX}
	content := ""
	switch fields[0] {
	case "d":
		h.Typeflag, h.Mode = tar.TypeDir, 0o755
	case "f":
		h.Typeflag = tar.TypeReg
		h.Name, content, _ = strings.Cut(fields[1], "=")
	case "l":
		h.Typeflag, h.Mode = tar.TypeSymlink, 0o777
		h.Name, h.Linkname, _ = strings.Cut(fields[1], "->")
	case "h":
		h.Typeflag = tar.TypeLink
		h.Name, h.Linkname, _ = strings.Cut(fields[1], "->")
	case "c", "b":
		h.Typeflag = map[string]byte{"c": tar.TypeChar, "b": tar.TypeBlock}[fields[0]]
		name, number, _ := strings.Cut(fields[1], "=")
		h.Name = name
		if _, err := fmt.Sscanf(number, "%d:%d", &h.Devmajor, &h.Devminor); err != nil {
			return nil, "", err
		}
	case "p":
		h.Typeflag = tar.TypeFifo
	case "w", "o":
		h.Typeflag = tar.TypeReg
		dir, base := "", fields[1]
		if i := strings.LastIndexByte(base, '/'); i >= 0 {
			dir, base = base[:i+1], base[i+1:]
		}
		h.Name = dir + whiteoutPrefix + base
		if fields[0] == "o" {
			h.Name = strings.TrimSuffix(fields[1], "/") + "/" + opaqueMarker
		}
	default:
		return nil, "", fmt.Errorf("no entry: %q", line)
	}
	h.Size = int64(len(content))
	for _, attr := range fields[2:] {
		if err := setAttr(h, attr); err != nil {
			return nil, "", fmt.Errorf("%q: %w", line, err)
		}
	}
	return h, content, nil
}

func setAttr(h *tar.Header, attr string) error {
	key, value, _ := strings.Cut(attr, "=")
	var err error
	switch key {
	case "mode":
		_, err = fmt.Sscanf(value, "%o", &h.Mode)
	case "uid":
		_, err = fmt.Sscanf(value, "%d", &h.Uid)
	case "gid":
		_, err = fmt.Sscanf(value, "%d", &h.Gid)
	case "mtime":
		var seconds float64
		_, err = fmt.Sscanf(value, "%g", &seconds)
		h.ModTime = time.Unix(0, int64(seconds*1e9))
	default:
		name, ok := strings.CutPrefix(key, "xattr:")
		if !ok {
			return fmt.Errorf("no attribute: %q", attr)
		}
		h.PAXRecords["SCHILY.xattr."+name] = value
	}
	return err
}

// archive makes a tar archive of a layer's lines.
func archive(t testing.TB, lines ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, line := range lines {
		h, content, err := parseEntry(line)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// layerOf makes the n-th layer of an image in a test.
func layerOf(image string, n int, data []byte) Layer {
	origin := &Origin{Image: image, Layer: n, DiffID: "sha256:" + strings.Repeat(fmt.Sprint(n), 4), Place: fmt.Sprintf("%s.yaml:%d", image, n)}
	return Layer{Origin: origin, Blob: bytes.NewReader(data), Size: int64(len(data))}
}

// build applies layers, each a list of lines, as layers of the image "base"; a
// line "image NAME" at the head of a layer begins another image.
func build(t testing.TB, p Policy, layers ...[]string) (*Tree, error) {
	t.Helper()
	tree := New(p)
	image, n := "base", 0
	for _, lines := range layers {
		if len(lines) > 0 && strings.HasPrefix(lines[0], "image ") {
			image, n, lines = strings.TrimPrefix(lines[0], "image "), 0, lines[1:]
		}
		n++
		if err := tree.Apply(layerOf(image, n, archive(t, lines...))); err != nil {
			return tree, err
		}
	}
	return tree, nil
}

// lines writes a tree as the tests do; the root only when it is not as New made it.
func (t *Tree) lines() []string {
	var out []string
	first := map[*Node]string{}
	t.Walk(func(name string, n *Node) error {
		if target, ok := first[n]; ok && !n.IsDir() {
			out = append(out, "h "+name+"->"+target)
			return nil
		}
		first[n] = name
		line := n.line(name)
		if line != "d ." {
			out = append(out, line)
		}
		return nil
	})
	return out
}

func (n *Node) line(name string) string {
	perm := uint32(0o644)
	var s string
	switch n.Type() {
	case TypeDir:
		s, perm = "d "+name, 0o755
	case TypeRegular:
		data := make([]byte, n.Size)
		if _, err := n.Reader().ReadAt(data, 0); err != nil && n.Size > 0 {
			data = []byte(err.Error())
		}
		s = "f " + name + "=" + string(data)
	case TypeSymlink:
		s, perm = "l "+name+"->"+n.Target, 0o777
	case TypeChar:
		s = fmt.Sprintf("c %s=%d:%d", name, n.Major(), n.Minor())
	case TypeBlock:
		s = fmt.Sprintf("b %s=%d:%d", name, n.Major(), n.Minor())
	case TypeFIFO:
		s = "p " + name
	}
	if n.Perm() != perm {
		s += fmt.Sprintf(" mode=0%o", n.Perm())
	}
	if n.UID != 0 {
		s += fmt.Sprintf(" uid=%d", n.UID)
	}
	if n.GID != 0 {
		s += fmt.Sprintf(" gid=%d", n.GID)
	}
	if !n.Mtime.Equal(time.Unix(0, 0)) {
		s += fmt.Sprintf(" mtime=%g", float64(n.Mtime.UnixNano())/1e9)
	}
	for _, name := range slices.Sorted(maps.Keys(n.Xattrs)) {
		s += fmt.Sprintf(" xattr:%s=%s", name, n.Xattrs[name])
	}
	return s
}
