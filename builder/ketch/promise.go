package main

import (
	"archive/tar"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ketch-os/ketch/builder/imagefs"
	"github.com/ketch-os/ketch/builder/limit"
	"github.com/ketch-os/ketch/layout"
)

// promise is what an image says of the machine that it will make.
type promise struct {
	debug bool  // it has a shell on its console, and runs commands for the host
	ports []int // TCP ports that its container images say they serve, ascending
}

// promiseOf reads it out of an image. A disk that is none of ours promises nothing,
// and may be started all the same: the error tells why.
func promiseOf(image string) (promise, error) {
	t, err := imagefs.Open(image, "", limit.Default) // a raw one: nothing is unpacked
	if err != nil {
		return promise{}, err
	}
	defer t.Close()
	var p promise
	if _, err := t.Lookup(layout.DebugDaemon, true); err == nil {
		p.debug = true
	} else if !errors.Is(err, fs.ErrNotExist) {
		return promise{}, err
	}
	served := map[int]bool{}
	err = t.Walk(layout.ImagesDir, -1, func(f *imagefs.File) error {
		if !f.IsRegular() || path.Ext(f.Path) != ".tar" {
			return nil
		}
		content, err := f.Open()
		if err != nil {
			return err
		}
		defer content.Close()
		return exposed(content, served)
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return promise{}, err
	}
	p.ports = slices.Sorted(maps.Keys(served))
	return p, nil
}

// maxConfig bounds the configuration of a container image, in bytes.
const maxConfig = 4 * layout.MiB

// exposed collects the TCP ports that the container images in an archive expose.
// Every layout of an archive keeps an image's configuration in a file of its own,
// under a name that only other files tell; the content tells which it is (OCI
// image specification, config.md: ExposedPorts).
func exposed(archive io.Reader, ports map[int]bool) error {
	for r := tar.NewReader(archive); ; {
		header, err := r.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if header.Size > maxConfig {
			continue
		}
		var image struct {
			Config struct{ ExposedPorts map[string]struct{} }
		}
		if json.NewDecoder(r).Decode(&image) != nil { // a layer, or a manifest whose config is a descriptor
			continue
		}
		for name := range image.Config.ExposedPorts {
			number, protocol, _ := strings.Cut(name, "/")
			if port, err := strconv.Atoi(number); err == nil && (protocol == "tcp" || protocol == "") {
				ports[port] = true
			}
		}
	}
}
