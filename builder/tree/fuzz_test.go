package tree

import (
	"bytes"
	"fmt"
	"path"
	"runtime/metrics"
	"strings"
	"testing"
)

// FuzzApply applies arbitrary bytes as a layer on top of a small tree, with
// every policy. Nothing may panic; memory stays in proportion; and in the tree
// that comes out every name is one that a file system could have.
func FuzzApply(f *testing.F) {
	for _, tt := range conformance {
		for _, lines := range lists(tt.layers...) {
			if len(lines) > 0 && strings.HasPrefix(lines[0], "image ") {
				lines = lines[1:]
			}
			f.Add(archive(f, lines...))
		}
	}
	base := archive(f, "d usr", "d usr/bin", "f usr/bin/sh=1", "l bin->usr/bin", "h sh->usr/bin/sh", "l up->../..", "d a", "f a/b=1", "l loop->loop")
	f.Fuzz(func(t *testing.T, data []byte) {
		repair(data)
		for _, links := range []LinkPolicy{LinksError, LinksFollow, LinksReplace} {
			tree := New(Policy{Links: links, MaxNodes: 10_000})
			if err := tree.Apply(layerOf("base", 1, base)); err != nil {
				t.Fatal(err)
			}
			before := allocated()
			err := tree.Apply(layerOf("fuzz", 1, data))
			if used := allocated() - before; used > 64<<20+1000*uint64(len(data)) {
				t.Errorf("%d bytes of layer took %d bytes of memory", len(data), used)
			}
			if err == nil {
				checkTree(t, tree)
			}
		}
	})
}

// allocated is how many bytes of memory were ever taken.
func allocated() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// repair gives what looks like a header its checksum, so that the fuzzer gets past it.
func repair(data []byte) {
	for at := 0; at+512 <= len(data); at += 512 {
		block := data[at : at+512]
		if !bytes.HasPrefix(block[257:], []byte("ustar")) {
			continue
		}
		copy(block[148:156], "        ")
		sum := 0
		for _, b := range block {
			sum += int(b)
		}
		copy(block[148:156], fmt.Sprintf("%06o\x00 ", sum))
	}
}

// checkTree checks what must hold for every tree: names without surprises, the
// types that there are, a count that is right, and a canonical tar that gives
// the same tree.
func checkTree(t *testing.T, tree *Tree) {
	t.Helper()
	dirs := map[*Node]bool{}
	total := int64(0)
	err := tree.Walk(func(name string, n *Node) error {
		base := path.Base(name)
		switch {
		case name != "." && (base == "" || base == "." || base == ".." || strings.ContainsAny(base, "/\x00") || strings.HasPrefix(base, whiteoutPrefix)):
			return fmt.Errorf("name %q", name)
		case len(name) > maxPath || len(base) > maxName:
			return fmt.Errorf("name of %d bytes", len(name))
		case n.IsDir() && dirs[n]:
			return fmt.Errorf("%s: a directory with two names", name)
		case n.IsDir() != (n.Children != nil):
			return fmt.Errorf("%s: mode %o, children %v", name, n.Mode, n.Children)
		case tarTypes[n.Type()] == 0 || n.Origin == nil:
			return fmt.Errorf("%s: mode %o, origin %v", name, n.Mode, n.Origin)
		}
		if dirs[n] = n.IsDir(); !n.IsDir() {
			total += n.Size
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	checkCount(t, tree)
	if total > 1<<20 {
		return // sparse
	}
	var first, second bytes.Buffer
	if err := tree.WriteTar(&first); err != nil {
		if strings.Contains(err.Error(), "archive/tar: cannot encode header") {
			return // an extended attribute with "=" in its name
		}
		t.Fatal(err)
	}
	again := New(Policy{})
	if err := again.Apply(layerOf("again", 1, first.Bytes())); err != nil {
		t.Fatalf("the canonical tar: %v", err)
	}
	if err := again.WriteTar(&second); err != nil || !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Fatalf("the canonical tar of the canonical tar differs: %v", err)
	}
}
