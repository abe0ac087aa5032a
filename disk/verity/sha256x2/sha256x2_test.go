package sha256x2

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"testing"
)

// want is the answer by crypto/sha256.
func want(prefix, a, b []byte) []byte {
	x := sha256.Sum256(append(bytes.Clone(prefix), a...))
	y := sha256.Sum256(append(bytes.Clone(prefix), b...))
	return append(x[:], y[:]...)
}

func TestSum(t *testing.T) {
	t.Logf("accelerated: %v", accelerated)
	noise := make([]byte, 3*4096+300)
	rand.NewChaCha8([32]byte{}).Read(noise)
	for prefix := range 300 {
		for _, size := range []int{64, 128, 192, 4096} {
			p, a, b := noise[:prefix], noise[300:][:size], noise[300+4097:][:size]
			h := New(p)
			if got := h.Sum(nil, a, b); !bytes.Equal(got, want(p, a, b)) {
				t.Errorf("Sum(prefix of %d, %d bytes) = %x; want %x", prefix, size, got, want(p, a, b))
			}
			if got := h.sumOne(h.sumOne(nil, a), b); !bytes.Equal(got, want(p, a, b)) {
				t.Errorf("sumOne(prefix of %d, %d bytes) = %x; want %x", prefix, size, got, want(p, a, b))
			}
		}
	}
}

func TestSumRefuses(t *testing.T) {
	for _, c := range []struct{ a, b int }{{64, 128}, {63, 63}, {0, 0}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Sum(%d bytes, %d bytes) did not panic", c.a, c.b)
				}
			}()
			New(nil).Sum(nil, make([]byte, c.a), make([]byte, c.b))
		}()
	}
}

func FuzzSum(f *testing.F) {
	f.Add([]byte("salt"), make([]byte, 128))
	f.Fuzz(func(t *testing.T, prefix, message []byte) {
		half := len(message) / 2 / chunk * chunk
		if half == 0 {
			return
		}
		a, b := message[:half], message[half:][:half]
		if got := New(prefix).Sum(nil, a, b); !bytes.Equal(got, want(prefix, a, b)) {
			t.Errorf("Sum(prefix %x, %x, %x) = %x; want %x", prefix, a, b, got, want(prefix, a, b))
		}
	})
}

func BenchmarkSum(b *testing.B) {
	blocks := make([]byte, 2*4096)
	for _, salt := range []int{0, 32} {
		b.Run(fmt.Sprintf("salt of %d", salt), func(b *testing.B) {
			h, dst := New(make([]byte, salt)), make([]byte, 0, 64)
			b.SetBytes(2 * 4096)
			for b.Loop() {
				h.Sum(dst, blocks[:4096], blocks[4096:])
			}
		})
	}
}
