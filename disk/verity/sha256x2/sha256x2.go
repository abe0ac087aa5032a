// Package sha256x2 computes SHA-256 (FIPS 180-4) of two messages at once on one core.
//
// The SHA instructions of x86-64 processors are slow to answer but can be asked
// often: one message leaves the unit idle half of the time, two keep it busy.
// Where these instructions are missing, the messages are hashed one by one by
// crypto/sha256, with the same result.
package sha256x2

import (
	"crypto/sha256"
	"encoding/binary"
)

// chunk is what SHA-256 works on at a time, in bytes.
const chunk = 64

// Hasher computes SHA-256(prefix ‖ message) of two messages at a time. It may be
// used by any number of goroutines.
type Hasher struct {
	prefix []byte
	start  lane   // the state after the whole chunks of prefix
	rest   []byte // of prefix, behind its whole chunks
}

// lane is the state of one message in the order the instructions want it:
// f e b a h g d c.
type lane [8]uint32

// order tells where a lane keeps the state's word: a is word 3 of a lane, and so on.
var order = [8]int{3, 2, 7, 6, 1, 0, 5, 4}

// initial is the initial hash value (FIPS 180-4, 5.3.3), in a lane's order.
var initial = lane{0x9b05688c, 0x510e527f, 0xbb67ae85, 0x6a09e667, 0x5be0cd19, 0x1f83d9ab, 0xa54ff53a, 0x3c6ef372}

// New returns a Hasher for messages that start with prefix.
func New(prefix []byte) *Hasher {
	h := &Hasher{prefix: prefix, start: initial, rest: prefix}
	if whole := len(prefix) / chunk; whole > 0 && accelerated {
		lanes := [2]lane{initial, initial}
		chunks(&lanes, prefix, prefix, whole)
		h.start, h.rest = lanes[0], prefix[whole*chunk:]
	}
	return h
}

// Sum appends the digest of prefix ‖ a, then that of prefix ‖ b, to dst. Both
// messages have the same length, a multiple of 64 bytes that is not zero.
func (h *Hasher) Sum(dst, a, b []byte) []byte {
	if len(a) != len(b) || len(a)%chunk != 0 || len(a) == 0 {
		panic("sha256x2: messages of unequal or odd length")
	}
	if !accelerated {
		return h.sumOne(h.sumOne(dst, a), b)
	}
	lanes := [2]lane{h.start, h.start}
	skip := 0
	if r := len(h.rest); r > 0 { // a first chunk of what is left of the prefix and some message
		skip = chunk - r
		var first [2][chunk]byte
		for i, m := range [][]byte{a, b} {
			copy(first[i][:], h.rest)
			copy(first[i][r:], m)
		}
		chunks(&lanes, first[0][:], first[1][:], 1)
	}
	if n := (len(a) - skip) / chunk; n > 0 {
		chunks(&lanes, a[skip:], b[skip:], n)
	}
	left := len(h.rest) // as many bytes of the message as the prefix has pushed out
	h.finish(&lanes, a[len(a)-left:], b[len(b)-left:], len(h.prefix)+len(a))
	return appendDigest(appendDigest(dst, &lanes[0]), &lanes[1])
}

// finish hashes the last bytes of both messages and the padding: a one bit,
// zeros, and the length in bits, up to the end of a chunk (FIPS 180-4, 5.1.1).
func (h *Hasher) finish(lanes *[2]lane, a, b []byte, length int) {
	var last [2][2 * chunk]byte
	n := (len(a)+1+8-1)/chunk + 1
	for i, m := range [][]byte{a, b} {
		k := copy(last[i][:], m)
		last[i][k] = 0x80
		binary.BigEndian.PutUint64(last[i][n*chunk-8:], uint64(length)*8)
	}
	chunks(lanes, last[0][:], last[1][:], n)
}

func appendDigest(dst []byte, l *lane) []byte {
	for _, i := range order {
		dst = binary.BigEndian.AppendUint32(dst, l[i])
	}
	return dst
}

// sumOne is for processors without the instructions.
func (h *Hasher) sumOne(dst, message []byte) []byte {
	s := sha256.New()
	s.Write(h.prefix)
	s.Write(message)
	return s.Sum(dst)
}
