//go:build !amd64

package sha256x2

const accelerated = false

// chunks is never called where accelerated is false.
func chunks(*[2]lane, []byte, []byte, int) { panic("sha256x2: not accelerated") }
