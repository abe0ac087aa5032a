package platform

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/ketch-os/ketch/layout"
)

// refusing is a file system that fails in another way than by lacking a file.
type refusing struct{}

func (refusing) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
}

func TestLacksDebugDaemon(t *testing.T) {
	name := strings.TrimPrefix(layout.DebugDaemon, "/usr/")
	for want, usr := range map[string]fs.FS{
		"": fstest.MapFS{},
		layout.DebugDaemon + " is there; leave the debug layer out of the definition": fstest.MapFS{name: {}},
		"look for " + layout.DebugDaemon + ": open " + name + ": permission denied":   refusing{},
	} {
		got := ""
		if err := lacksDebugDaemon(usr); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("lacksDebugDaemon = %q; want %q", got, want)
		}
	}
}
