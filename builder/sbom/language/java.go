package language

import (
	"archive/zip"
	"bytes"
	"io"
	"path"
	"slices"
	"strings"
)

// javaArchives are the endings of archives of Java classes.
var javaArchives = []string{".jar", ".war", ".ear"}

const (
	maxNested  = 2         // how deep archives in archives are read
	maxArchive = 128 << 20 // bytes of an archive in an archive, which is read into memory
)

// java finds the artefacts in an archive: its own, those that were merged into
// it, and those of the archives in it.
func java(r io.ReaderAt, size int64, depth int) (found []Package) {
	archive, err := zip.NewReader(r, size)
	if err != nil {
		return nil
	}
	for _, f := range archive.File {
		switch {
		case strings.HasPrefix(f.Name, "META-INF/maven/") && path.Base(f.Name) == "pom.properties":
			if data := unzip(f, maxMetadata); data != nil {
				if p := maven(data); p.good() && p.Group != "" {
					found = append(found, p)
				}
			}
		case depth > 0 && slices.Contains(javaArchives, path.Ext(f.Name)):
			if data := unzip(f, maxArchive); data != nil {
				found = append(found, java(bytes.NewReader(data), int64(len(data)), depth-1)...)
			}
		}
	}
	return found
}

// unzip reads a file of an archive, nil if it is damaged or too large.
func unzip(f *zip.File, limit int64) []byte {
	r, err := f.Open()
	if err != nil {
		return nil
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil || int64(len(data)) > limit {
		return nil
	}
	return data
}

// maven reads a pom.properties.
func maven(data []byte) Package {
	p := Package{Kind: "maven"}
	for line := range strings.Lines(string(data)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		value = strings.TrimSpace(value)
		switch strings.TrimSpace(key) {
		case "groupId":
			p.Group = value
		case "artifactId":
			p.Name = value
		case "version":
			p.Version = value
		}
	}
	return p
}
