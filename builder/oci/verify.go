package oci

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/ketch-os/ketch/builder/limit"
)

// DigestError is a content that is not what its digest says.
type DigestError struct {
	What      string // digest, or diffID: the digest of the uncompressed layer
	Got, Want v1.Hash
}

func (e *DigestError) Error() string {
	return fmt.Sprintf("%s is %s, want %s", e.What, e.Got, e.Want)
}

// Hint says what can be done.
func (e *DigestError) Hint() string {
	return "the content was damaged or changed after the image was made: get the image again from where it comes from"
}

// SizeError is a content that is shorter or longer than its descriptor says.
type SizeError struct {
	Got, Want int64 // bytes; Got is Want+1 for everything longer
}

func (e *SizeError) Error() string {
	if e.Got > e.Want {
		return fmt.Sprintf("longer than the %d bytes of its descriptor", e.Want)
	}
	return fmt.Sprintf("ends after %d of %d bytes", e.Got, e.Want)
}

// verifier holds what is read through it against a descriptor. It never gives
// more bytes than the descriptor has.
type verifier struct {
	r    io.Reader
	want v1.Descriptor // zero digest: none to check; size -1: unknown
	hash hash.Hash
	n    int64
	err  error
}

func verify(r io.Reader, d v1.Descriptor) *verifier {
	return &verifier{r: r, want: d, hash: sha256.New()}
}

func (v *verifier) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n, err := v.r.Read(p)
	v.n += int64(n)
	if v.want.Size >= 0 && v.n > v.want.Size {
		v.err = &SizeError{v.want.Size + 1, v.want.Size}
		return 0, v.err
	}
	v.hash.Write(p[:n])
	v.err = err
	return n, err
}

// check reads what is left, which a decompressor may not have wanted, and says
// whether all was as it should be.
func (v *verifier) check() error {
	if _, err := io.Copy(io.Discard, v); err != nil {
		return err
	}
	if v.want.Size >= 0 && v.n < v.want.Size {
		return &SizeError{v.n, v.want.Size}
	}
	if v.want.Digest == (v1.Hash{}) {
		return nil
	}
	return compare("digest", v.hash, v.want.Digest)
}

func compare(what string, h hash.Hash, want v1.Hash) error {
	if got := hashOf(h); got != want {
		return &DigestError{what, got, want}
	}
	return nil
}

func hashOf(h hash.Hash) v1.Hash {
	return v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(h.Sum(nil))}
}

// copyLayer reads a layer as it is stored, checks it, and writes it uncompressed.
func copyLayer(w io.Writer, r io.Reader, l Layer) error {
	stored := verify(r, l.Descriptor)
	diff := sha256.New()
	err := Decompress(io.MultiWriter(w, diff), stored)
	if large := (*limit.Error)(nil); errors.As(err, &large) {
		return err // without reading the rest of it
	}
	// A stored layer that is not the right one explains what went wrong with it.
	if err := stored.check(); err != nil {
		return err
	}
	if err != nil {
		return fmt.Errorf("uncompress: %w", err)
	}
	return compare("diffID", diff, l.DiffID)
}
