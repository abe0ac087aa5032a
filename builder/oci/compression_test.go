package oci

import (
	"strings"
	"testing"

	"github.com/ketch-os/ketch/builder/hint"
)

// What layers may not be compressed with is named, with the cure.
func TestOtherCompressions(t *testing.T) {
	for head, want := range map[string]string{
		"\xfd7zXZ\x00\x00\x04": "xz", "BZh91AY&SY\x01": "bzip2", "BZh11AY&SY": "bzip2", "\x04\x22\x4d\x18d": "lz4", "LZIP\x01\x0c": "lzip",
	} {
		_, err := decompress(strings.NewReader(head + strings.Repeat("x", 600)))
		if err == nil || !strings.Contains(err.Error(), "compressed with "+want) || !strings.Contains(hint.Of(err), "zstd") {
			t.Errorf("decompress(%q) = %v, hint %q; want that it is %s", head, err, hint.Of(err), want)
		}
	}
	for _, name := range []string{"BZh9/", "BZhx1AY&SY", "LZIP", "B", ""} { // a tar may begin with such a file name
		r, err := decompress(strings.NewReader(name))
		if err != nil {
			t.Errorf("decompress(%q) = %v; want it as it is", name, err)
			continue
		}
		r.Close()
	}
}
