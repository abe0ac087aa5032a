package debugport

import (
	"bytes"
	"testing"
)

// FuzzReadFrame reads what may be no frame; what is one is written as it was.
func FuzzReadFrame(f *testing.F) {
	var frame bytes.Buffer
	if err := WriteFrame(&frame, Stdout, []byte("out")); err != nil {
		f.Fatal(err)
	}
	f.Add(frame.Bytes())
	f.Add([]byte("R\xff\xff\xff\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		kind, payload, err := ReadFrame(bytes.NewReader(data))
		if err != nil {
			return
		}
		var again bytes.Buffer
		if err := WriteFrame(&again, kind, payload); err != nil || !bytes.HasPrefix(data, again.Bytes()) {
			t.Errorf("frame %q of %d bytes is written as another: %v", kind, len(payload), err)
		}
	})
}
