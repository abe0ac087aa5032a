package oci

import (
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// FuzzLock reads lines of a lock file. What is taken of one is written as it was.
func FuzzLock(f *testing.F) {
	for _, line := range []string{"", "# a comment", "debian:12 sha256:" + strings.Repeat("0", 64), "debian:12", "a b c"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		l := &Lock{digests: map[string]v1.Hash{}}
		if l.parse(line) != nil {
			return
		}
		for tag, digest := range l.digests {
			if got := strings.Join(strings.Fields(line), " "); got != tag+" "+digest.String() {
				t.Errorf("of %q was taken: %s %s", line, tag, digest)
			}
			if l.parse(line) == nil {
				t.Errorf("%q was taken twice", line)
			}
		}
	})
}
