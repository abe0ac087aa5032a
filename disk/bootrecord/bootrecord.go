// Package bootrecord reads and writes the boot record of a machine: what became
// of each version of the OS that it has started. It fills the partition of type
// f44126d9-b73c-4c33-bf76-93438cf48f9b, and docs/boot-record.md has its bytes.
//
// The partition holds the record twice: a copy of 4096 bytes at its start and
// one at 512 KiB. The record of generation g lies in copy g modulo 2, so a write
// always replaces the older copy, and one that is cut short leaves the newer one
// as it was. Everything else in the partition is zero. A partition of zeros is
// an empty record of generation 0.
//
// Left out: when a start counts, and what follows from the counts. That is for
// the program that starts, PID 1; Count, Fail, Good, Revoke and Expect only keep the
// books.
package bootrecord

import (
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ketch-os/ketch/disk/verity"
)

const (
	// MaxVersions is how many versions a record knows. A machine has two slots;
	// the others are a memory of versions that are gone.
	MaxVersions = 8
	// MaxName is how long a version may be, in bytes.
	MaxName = 24
	// MaxEntry is how long the ID of a boot entry may be, in bytes.
	MaxEntry = 64
	// MaxWords is how much of a failure's words is kept, in bytes.
	MaxWords = 312
)

// Silent are the words of a start that has not been heard of again: it ended in a
// panic, a reset or a power cut, or has not ended yet.
const Silent = "started, and was not heard of again"

// Record is what a machine knows of its boots.
type Record struct {
	Generation uint64          `json:"generation"`      // of this state; one more with each write
	Floor      string          `json:"floor,omitempty"` // no older version may be installed; reserved for updates
	Asked      verity.RootHash `json:"asked,omitzero"`  // the version that PID 1 asked the boot loader for, until the next start
	AskedFor   verity.RootHash `json:"askedFor,omitzero"`
	Versions   []Version       `json:"versions"` // in the order of their last start, the latest first; see Expect
}

// Version is what became of one version.
type Version struct {
	RootHash verity.RootHash `json:"rootHash"`
	Name     string          `json:"name"`  // as it calls itself: "0.1.0"
	Entry    string          `json:"entry"` // ID of its boot entry, without counter and suffix: "ketch_0.1.0"

	Starts   uint32 `json:"starts"`   // ever
	Goods    uint32 `json:"goods"`    // starts that became good
	Attempts uint32 `json:"attempts"` // starts since it was last good, or since the first
	Tries    uint32 `json:"tries"`    // attempts that may fail; 0 = as many as for any version
	Revoked  bool   `json:"revoked"`  // its slot is given to another version
	LastGood uint64 `json:"lastGood"` // generation of the record that says so; 0 = never, or revoked
	GoodTime int64  `json:"goodTime"` // when that was, in seconds since 1970
	FailTime int64  `json:"failTime"` // when Words was written, likewise
	Words    string `json:"words"`    // why the last start failed; Silent while it has not become good
}

// EverGood tells whether the version has ever been good, and has not been revoked
// since.
func (v *Version) EverGood() bool { return v.LastGood > 0 }

// Clone returns a copy that shares nothing with the record.
func (r *Record) Clone() *Record {
	c := *r
	c.Versions = slices.Clone(r.Versions)
	return &c
}

// Find returns the version with a root hash, or nil.
func (r *Record) Find(root verity.RootHash) *Version {
	i := slices.IndexFunc(r.Versions, func(v Version) bool { return v.RootHash == root })
	if i < 0 {
		return nil
	}
	return &r.Versions[i]
}

// LastGood returns the version that was good last among those that suit, or nil.
func (r *Record) LastGood(suits func(Version) bool) *Version {
	var last *Version
	for i := range r.Versions {
		v := &r.Versions[i]
		if v.EverGood() && suits(*v) && (last == nil || later(v.LastGood, last.LastGood)) {
			last = v
		}
	}
	return last
}

// Count counts a start of a version, known or new, and returns what is now
// known of it. Where there is no room left, the version that was started longest
// ago is forgotten, but never the one that was good last.
func (r *Record) Count(root verity.RootHash, name, entry string) *Version {
	v := Version{RootHash: root}
	if known := r.Find(root); known != nil {
		v = *known
	}
	r.forget(root)
	v.Name, v.Entry = cut(name, MaxName), cut(entry, MaxEntry)
	v.Starts, v.Attempts = increment(v.Starts), increment(v.Attempts)
	v.Words, v.FailTime = Silent, 0
	r.Versions = slices.Insert(r.Versions, 0, v)
	return &r.Versions[0]
}

// Revoke takes back that a version is good, and all its tries: its slot is about to
// be overwritten, and nothing may lead back to it. What is known of its starts
// stays.
func (v *Version) Revoke() {
	v.Revoked, v.LastGood, v.GoodTime = true, 0, 0
}

// Expect notes a version that is about to be installed, known or new: its attempts
// begin anew, and tries of them may fail. It stands behind the version that runs.
func (r *Record) Expect(root verity.RootHash, name, entry string, tries uint32) {
	v := Version{RootHash: root}
	if known := r.Find(root); known != nil {
		v = *known
	}
	r.forget(root)
	v.Name, v.Entry = cut(name, MaxName), cut(entry, MaxEntry)
	v.Attempts, v.Tries, v.Revoked = 0, tries, false
	v.Words, v.FailTime = "", 0
	r.Versions = slices.Insert(r.Versions, min(1, len(r.Versions)), v)
}

// forget removes a version, and others until there is room for one.
func (r *Record) forget(root verity.RootHash) {
	r.Versions = slices.DeleteFunc(r.Versions, func(v Version) bool { return v.RootHash == root })
	for i := len(r.Versions) - 1; len(r.Versions) >= MaxVersions; i-- {
		if good := r.LastGood(func(Version) bool { return true }); good != &r.Versions[i] {
			r.Versions = slices.Delete(r.Versions, i, i+1)
		}
	}
}

// Fail notes why the present start of a version ends.
func (v *Version) Fail(words string, now time.Time) {
	v.Words, v.FailTime = cut(words, MaxWords), seconds(now)
}

// Good notes that the present start of a version has become good. The record
// that says so is the next one to be written.
func (r *Record) Good(v *Version, now time.Time) {
	v.Goods, v.Attempts, v.Revoked = increment(v.Goods), 0, false
	v.LastGood, v.GoodTime = following(r.Generation), seconds(now)
	v.Words, v.FailTime = "", 0
}

// increment stops at the largest number: a counter that starts over would lie.
func increment(n uint32) uint32 { return max(n, n+1) }

// maxTime is the last second of the year 9999: RFC 3339, in which times are told,
// has no later one.
const maxTime = 253402300799

// seconds is a time as a record has it. A clock that is far off must not make a
// record that nobody can read.
func seconds(now time.Time) int64 { return min(max(now.Unix(), 0), maxTime) }

// following is the generation after one. The largest is followed by 2, which lies
// in the other copy as any next one does: 0 is that of a record never written.
func following(generation uint64) uint64 {
	if generation == math.MaxUint64 {
		return 2
	}
	return generation + 1
}

// later tells whether generation a came after b: numbers start over, so what counts
// is which way from one to the other is the shorter (as RFC 1982 has it). A record
// that claims the largest number stops nothing.
func later(a, b uint64) bool { return int64(a-b) > 0 }

// cut makes text fit a field: UTF-8 without NUL, shortened between two characters.
func cut(text string, limit int) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "?"), "\x00", " ")
	if len(text) <= limit {
		return text
	}
	for !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}

// newest returns the record of the later generation.
func newest(a, b *Record) *Record {
	switch {
	case a == nil:
		return b
	case b == nil || later(a.Generation, b.Generation):
		return a
	}
	return b
}
