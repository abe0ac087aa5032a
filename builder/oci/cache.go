package oci

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/ketch-os/ketch/builder/limit"
	"github.com/ketch-os/ketch/internal/atomicfile"
	"github.com/ketch-os/ketch/internal/filelock"
)

// Cache keeps uncompressed layers under the digest of their content:
//
//	sha256/HEX     a layer, whole: it gets its name when it has been verified
//	verified/HEX   the stamp of the file that was found to be that layer
//	tmp/           what is being written; leftovers are removed after a day
//	tmp/HEX.lock   locked by the process that reads or writes sha256/HEX
//
// Layers that a local file has uncompressed are not copied. Any number of
// processes may share a cache: a layer that one of them copies is waited for.
//
// No file is believed for its name. It is read again, and held against its
// digest, unless it still has the stamp of the file that was; so a build with
// everything cached reads nothing twice, and a file that was changed, cut short
// or put there by others never becomes part of an image.
type Cache struct {
	// MaxSize bounds what one Fetch copies into the cache, in bytes, uncompressed;
	// 0: limit.Default.
	MaxSize int64
	dir     string
	now     func() time.Time // time.Now, but for tests
}

// OpenCache opens the cache in a directory, and makes it if there is none.
func OpenCache(dir string) (*Cache, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	c := &Cache{dir: dir, now: time.Now}
	for _, sub := range []string{"sha256", "verified", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o755); err != nil {
			return nil, fmt.Errorf("open layer cache: %w", err)
		}
	}
	return c, c.sweep()
}

// sweep removes what interrupted processes have left behind.
func (c *Cache) sweep() error {
	entries, err := os.ReadDir(c.tmp())
	if err != nil {
		return fmt.Errorf("open layer cache: %w", err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && time.Since(info.ModTime()) > 24*time.Hour {
			removeLeftover(filepath.Join(c.tmp(), e.Name()))
		}
	}
	return nil
}

// removeLeftover leaves a lock that is held, however long.
func removeLeftover(path string) {
	if !strings.HasSuffix(path, lockSuffix) {
		os.Remove(path)
	} else if lock, err := filelock.Try(path); err == nil {
		lock.Release()
	}
}

const lockSuffix = ".lock"

func (c *Cache) tmp() string                 { return filepath.Join(c.dir, "tmp") }
func (c *Cache) path(diffID v1.Hash) string  { return filepath.Join(c.dir, "sha256", diffID.Hex) }
func (c *Cache) proof(diffID v1.Hash) string { return filepath.Join(c.dir, "verified", diffID.Hex) }

// lock waits until no other process checks or copies the layer in the cache. Each
// gives its file the same content, but a new inode: to one who is reading the old,
// and to the stamp of it, that is a change.
func (c *Cache) lock(ctx context.Context, diffID v1.Hash) (*filelock.Lock, error) {
	return filelock.Wait(ctx, filepath.Join(c.tmp(), diffID.Hex+lockSuffix))
}

func (c *Cache) maxSize() int64 {
	if c.MaxSize > 0 {
		return c.MaxSize
	}
	return limit.Default
}

// Blob is a verified uncompressed layer: a range of a local file.
type Blob struct {
	Path         string
	Offset, Size int64 // in bytes
	DiffID       v1.Hash
}

// Open opens the blob for reading.
func (b Blob) Open() (*BlobFile, error) { return section{b.Path, b.Offset, b.Size}.open() }

// Progress is how much of all the layers has been read, in bytes as they are
// stored. Those that are there already count as read.
type Progress struct{ Done, Total int64 }

// tally adds up the progress of layers that are read side by side.
type tally struct {
	mu       sync.Mutex
	done     map[v1.Hash]int64
	total    int64
	progress func(Progress) // may be nil
}

func newTally(layers []Layer, progress func(Progress)) *tally {
	t := &tally{done: map[v1.Hash]int64{}, progress: progress}
	for _, l := range layers {
		if _, twice := t.done[l.DiffID]; !twice {
			t.done[l.DiffID] = 0
			t.total += l.Descriptor.Size
		}
	}
	return t
}

// read notes how much of a layer has been read, and tells.
func (t *tally) read(l Layer, done int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done[l.DiffID] = done
	if t.progress == nil {
		return
	}
	sum := int64(0)
	for _, n := range t.done {
		sum += n
	}
	t.progress(Progress{min(sum, t.total), t.total})
}

// have notes that a layer is there.
func (t *tally) have(l Layer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done[l.DiffID] = l.Descriptor.Size
}

// Fetch gets layers, in parallel, and returns them in their order. It reads
// every content once, however often it is among the layers. progress may be
// nil; it is not called for layers that are there already, and its calls do not
// overlap.
func (c *Cache) Fetch(ctx context.Context, layers []Layer, progress func(Progress)) ([]Blob, error) {
	tally := newTally(layers, progress)
	budget := limit.New(c.maxSize(), "unpack layers")
	first := map[v1.Hash]int{}
	blobs := make([]Blob, len(layers))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(Parallel)
	for i, l := range layers {
		if _, twice := first[l.DiffID]; twice {
			continue
		}
		first[l.DiffID] = i
		group.Go(func() (err error) {
			if blobs[i], err = c.fetch(ctx, l, budget, func(n int64) { tally.read(l, n) }); err != nil {
				return fmt.Errorf("%s: %w", l, err)
			}
			tally.have(l)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	for i, l := range layers {
		blobs[i] = blobs[first[l.DiffID]]
	}
	return blobs, nil
}

// fetch gets one layer: from the cache, in place, or by copying it.
func (c *Cache) fetch(ctx context.Context, l Layer, budget *limit.Budget, report func(int64)) (Blob, error) {
	if err := limit.Check(l.Descriptor.Size, c.maxSize(), "read layer"); err != nil {
		return Blob{}, err
	}
	if b, ok, err := c.cached(ctx, l); ok || err != nil {
		return b, err
	}
	s, local, err := l.source.local(l.Descriptor)
	if err != nil {
		return Blob{}, err
	}
	if local {
		plain, err := s.isPlain()
		if err != nil {
			return Blob{}, err
		}
		if plain {
			return c.inPlace(ctx, l, s, report)
		}
	}
	return c.store(ctx, l, budget, report)
}

// cached returns a layer that the cache has.
func (c *Cache) cached(ctx context.Context, l Layer) (b Blob, ok bool, err error) {
	info, err := os.Stat(c.path(l.DiffID))
	if errors.Is(err, fs.ErrNotExist) {
		return Blob{}, false, nil
	}
	if err != nil {
		return Blob{}, false, err
	}
	s := section{c.path(l.DiffID), 0, info.Size()}
	if stamp, _, err := s.stamp(); err == nil && c.noted(l.DiffID, stamp) {
		return Blob{s.path, 0, s.size, l.DiffID}, true, nil
	}
	lock, err := c.lock(ctx, l.DiffID)
	if err != nil {
		return Blob{}, false, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	return c.check(ctx, l)
}

// check is cached for the holder of the layer's lock. A file that is not what its
// name says is removed, and the layer is fetched anew.
func (c *Cache) check(ctx context.Context, l Layer) (Blob, bool, error) {
	path := c.path(l.DiffID)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Blob{}, false, nil
	}
	if err != nil {
		return Blob{}, false, err
	}
	check := func(sum v1.Hash) error {
		if sum != l.DiffID {
			return &DigestError{"diffID", sum, l.DiffID}
		}
		return nil
	}
	err = c.prove(ctx, l.DiffID, section{path, 0, info.Size()}, check, func(int64) {})
	if damaged := (*DigestError)(nil); errors.As(err, &damaged) {
		return Blob{}, false, os.Remove(path)
	}
	return Blob{path, 0, info.Size(), l.DiffID}, err == nil, err
}

// inPlace verifies a layer that a local file has uncompressed.
func (c *Cache) inPlace(ctx context.Context, l Layer, s section, report func(int64)) (Blob, error) {
	if s.size != l.Descriptor.Size {
		return Blob{}, &SizeError{s.size, l.Descriptor.Size}
	}
	return Blob{s.path, s.offset, s.size, l.DiffID}, c.prove(ctx, l.DiffID, s, l.checkPlain, report)
}

// prove reads a range of a local file and checks its digest, unless that was
// done before and the file has not changed since.
func (c *Cache) prove(ctx context.Context, diffID v1.Hash, s section, check func(sum v1.Hash) error, report func(int64)) error {
	before, _, err := s.stamp()
	if err != nil {
		return err
	}
	if c.noted(diffID, before) {
		return check(diffID)
	}
	sum, err := hashSection(ctx, s, report)
	if err == nil {
		err = check(sum)
	}
	if err != nil {
		return err
	}
	after, of, err := s.stamp()
	if err != nil {
		return err
	}
	if before != after {
		return fmt.Errorf("%s changed while it was read", s.path)
	}
	if !of.Settled(c.now()) {
		return nil // it is read again the next time
	}
	return atomicfile.WriteFile(c.proof(diffID), []byte(after), 0o644)
}

// noted tells whether the file with this stamp was found to be the layer.
func (c *Cache) noted(diffID v1.Hash, stamp string) bool {
	text, err := os.ReadFile(c.proof(diffID))
	return err == nil && string(text) == stamp
}

// checkPlain compares the digest of a layer that is stored uncompressed with
// the descriptor's, which docker archives do not have, and with the diffID.
func (l Layer) checkPlain(sum v1.Hash) error {
	if want := l.Descriptor.Digest; want != (v1.Hash{}) && want != sum {
		return &DigestError{"digest", sum, want}
	}
	if sum != l.DiffID {
		return &DigestError{"diffID", sum, l.DiffID}
	}
	return nil
}

// store copies a layer into the cache, uncompressed and verified, unless another
// process has done so by now.
func (c *Cache) store(ctx context.Context, l Layer, budget *limit.Budget, report func(int64)) (b Blob, err error) {
	lock, err := c.lock(ctx, l.DiffID)
	if err != nil {
		return Blob{}, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	if b, ok, err := c.check(ctx, l); ok || err != nil {
		return b, err
	}
	return c.copy(ctx, l, budget, report)
}

// copy is store for the holder of the layer's lock.
func (c *Cache) copy(ctx context.Context, l Layer, budget *limit.Budget, report func(int64)) (Blob, error) {
	rc, err := l.source.blob(ctx, l.Descriptor)
	if err != nil {
		return Blob{}, err
	}
	defer rc.Close()
	f, err := atomicfile.CreateIn(c.tmp(), 0o644)
	if err != nil {
		return Blob{}, err
	}
	stored := &meter{ctx: ctx, r: rc, done: report}
	w := bufio.NewWriterSize(budget.Writer(f), 1<<20)
	if err = copyLayer(w, stored, l); err == nil {
		err = w.Flush()
	}
	size, errSeek := f.Seek(0, io.SeekCurrent)
	if err := errors.Join(err, errSeek); err != nil {
		return Blob{}, errors.Join(err, f.Discard())
	}
	return Blob{c.path(l.DiffID), 0, size, l.DiffID}, f.CommitAs(c.path(l.DiffID))
}

// hashSection returns the digest of a range of a local file.
func hashSection(ctx context.Context, s section, done func(int64)) (v1.Hash, error) {
	f, err := s.open()
	if err != nil {
		return v1.Hash{}, err
	}
	defer f.Close()
	h := sha256.New()
	// io.Copy would let the file do the copying, in small pieces.
	r := struct{ io.Reader }{&meter{ctx: ctx, r: f, done: done}}
	n, err := io.CopyBuffer(struct{ io.Writer }{h}, r, make([]byte, 1<<20))
	if err == nil && n != s.size {
		err = &SizeError{n, s.size}
	}
	return hashOf(h), err
}

// isPlain says whether a section is a layer that is not compressed.
func (s section) isPlain() (bool, error) {
	f, err := s.open()
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, len(magicZstd))
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return false, err
	}
	return !isCompressed(head[:n]), nil
}

// meter counts what is read through it, and ends the reading with its context.
type meter struct {
	ctx      context.Context
	r        io.Reader
	done     func(int64)
	n, shown int64
}

func (m *meter) Read(p []byte) (int, error) {
	if err := m.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := m.r.Read(p)
	m.n += int64(n)
	if m.n-m.shown >= 1<<20 || err == io.EOF && m.n > m.shown {
		m.shown = m.n
		m.done(m.n)
	}
	return n, err
}
