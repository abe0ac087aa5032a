package cache

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ketch-os/ketch/internal/atomicfile"
)

// ReadMemo returns an answer that WriteMemo kept. One that is not as it was
// kept, because it was changed or cut short, was never given: ask again.
func ReadMemo(path string) (answer []byte, ok bool) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, false
	}
	_, answer, _ = bytes.Cut(content, []byte("\n"))
	return answer, bytes.Equal(content, sealed(answer))
}

// WriteMemo keeps an answer, under a name that says what was asked. Directories
// are made. The file begins with a line that is the answer's SHA-256: its name
// says nothing about its content.
func WriteMemo(path string, answer []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return atomicfile.WriteFile(path, sealed(answer), 0o644)
}

func sealed(answer []byte) []byte { return fmt.Appendf(nil, "%x\n%s", sha256.Sum256(answer), answer) }
