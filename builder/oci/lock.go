package oci

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/ketch-os/ketch/builder/hint"
	"github.com/ketch-os/ketch/internal/atomicfile"
)

// Lock remembers what the tags of a definition meant when they were resolved,
// so that the same definition gives the same image until somebody moves them.
// Its file has a line per tag, sorted: the reference, a space, the digest.
// Lines that begin with # are comments. A nil *Lock remembers nothing.
type Lock struct {
	mu      sync.Mutex
	digests map[string]v1.Hash
	used    map[string]bool // asked for or set since it was loaded
	saved   []byte          // the file as it was loaded
}

const lockHeader = `# The digests of the tags in the image definition of the same name, as they
# were when they were resolved. Written by ketch, to be kept in version control;
# a tag moves when it is asked to, or when its line is removed.
`

// LoadLock reads a lock file. A missing one is an empty lock.
func LoadLock(path string) (*Lock, error) {
	l := &Lock{digests: map[string]v1.Hash{}, used: map[string]bool{}}
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	l.saved = data
	number := 0
	for line := range strings.Lines(string(data)) {
		number++
		if err := l.parse(strings.TrimSpace(line)); err != nil {
			return nil, hint.Add(fmt.Errorf("read lock %s:%d: %w", path, number, err),
				"remove the line, and its tag is resolved anew")
		}
	}
	return l, nil
}

func (l *Lock) parse(line string) error {
	if line == "" || line[0] == '#' {
		return nil
	}
	fields := strings.Fields(line)
	if len(fields) != 2 {
		return fmt.Errorf("%q is not a reference and a digest", line)
	}
	digest, err := v1.NewHash(fields[1])
	if err != nil {
		return err
	}
	if _, twice := l.digests[fields[0]]; twice {
		return fmt.Errorf("%s is there twice", fields[0])
	}
	l.digests[fields[0]] = digest
	return nil
}

// get returns the digest recorded for a tag.
func (l *Lock) get(tag string) (v1.Hash, bool) {
	if l == nil {
		return v1.Hash{}, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	digest, ok := l.digests[tag]
	l.used[tag] = l.used[tag] || ok
	return digest, ok
}

// set records the digest of a tag.
func (l *Lock) set(tag string, digest v1.Hash) {
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.digests[tag] = digest
	l.used[tag] = true
}

// Save writes the tags that were used since the lock was loaded; the others are
// of images that the definition no longer names. The file is replaced in one
// step, and only when its content changes; without tags there is no file.
func (l *Lock) Save(path string) error {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	data := l.text()
	if bytes.Equal(data, l.saved) {
		return nil
	}
	if err := l.write(path, data); err != nil {
		return fmt.Errorf("write lock: %w", err)
	}
	l.saved = data
	return nil
}

func (l *Lock) text() []byte {
	var out bytes.Buffer
	for _, tag := range slices.Sorted(maps.Keys(l.digests)) {
		if l.used[tag] {
			fmt.Fprintf(&out, "%s %s\n", tag, l.digests[tag])
		}
	}
	if out.Len() == 0 {
		return nil
	}
	return append([]byte(lockHeader), out.Bytes()...)
}

func (l *Lock) write(path string, data []byte) error {
	if data == nil {
		return os.Remove(path)
	}
	return atomicfile.WriteFile(path, data, 0o644)
}
