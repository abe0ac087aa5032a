package image

import (
	"bytes"
	"errors"
	"io"

	"github.com/ketch-os/ketch/builder/sparse"
)

const pageSize = 4096

// pages is a sparse disk in memory: what was never written is zero.
type pages map[int64]*[pageSize]byte

// WriteAt implements io.WriterAt.
func (m pages) WriteAt(p []byte, at int64) (int, error) {
	for done := 0; done < len(p); {
		number, in := (at+int64(done))/pageSize, (at+int64(done))%pageSize
		page := m[number]
		if page == nil {
			page = new([pageSize]byte)
			m[number] = page
		}
		done += copy(page[in:], p[done:])
	}
	return len(p), nil
}

// span is a range of bytes: from start to before end.
type span struct{ start, end int64 }

// firstDifference compares the disk with what it should be, except in the
// spans to skip, and returns the offset of the first byte that differs, or -1.
// Both sides are sparse: only what either of them holds is read.
func firstDifference(disk *Disk, want pages, skip []span) (int64, error) {
	var zero, got [pageSize]byte
	compare := func(number int64) (int64, error) {
		n, err := disk.from.ReadAt(got[:min(pageSize, disk.Size-number*pageSize)], number*pageSize)
		if err != nil && !(errors.Is(err, io.EOF) && n > 0) {
			return -1, err
		}
		expected := want[number]
		if expected == nil {
			expected = &zero
		}
		if bytes.Equal(got[:n], expected[:n]) {
			return -1, nil
		}
		for i := range n {
			if at := number*pageSize + int64(i); got[i] != expected[i] && !within(at, skip) {
				return at, nil
			}
		}
		return -1, nil
	}
	first := int64(-1)
	note := func(at int64) {
		if at >= 0 && (first < 0 || at < first) {
			first = at
		}
	}
	for number := range want {
		at, err := compare(number)
		if err != nil {
			return -1, err
		}
		note(at)
	}
	err := disk.eachData(func(start, end int64) error {
		for number := start / pageSize; number*pageSize < end; number++ {
			if next := covered(number, skip); next > number {
				number = next - 1
				continue
			}
			if want[number] != nil {
				continue
			}
			at, err := compare(number)
			if err != nil {
				return err
			}
			note(at)
		}
		return nil
	})
	return first, err
}

func within(at int64, spans []span) bool {
	for _, s := range spans {
		if at >= s.start && at < s.end {
			return true
		}
	}
	return false
}

// covered returns the first page behind the span that a whole page lies in, or
// the page itself.
func covered(number int64, spans []span) int64 {
	for _, s := range spans {
		if number*pageSize >= s.start && (number+1)*pageSize <= s.end {
			return s.end / pageSize
		}
	}
	return number
}

// eachData calls do for every range of the disk that is not a hole of its file.
func (d *Disk) eachData(do func(start, end int64) error) error {
	if d.file == nil {
		return do(0, d.Size)
	}
	return sparse.Each(d.file, d.Size, func(start, end int64) error { return do(start, min(end, d.Size)) })
}
