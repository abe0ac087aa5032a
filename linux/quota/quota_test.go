package quota

import (
	"encoding/binary"
	"errors"
	"testing"
)

func TestSizes(t *testing.T) {
	if n := binary.Size(block{}); n != 72 {
		t.Errorf("struct if_dqblk has %d bytes; want 72", n)
	}
	if n := binary.Size(attributes{}); n != 28 {
		t.Errorf("struct fsxattr has %d bytes; want 28", n)
	}
	if getQuota != 0x80000702 || setQuota != 0x80000802 {
		t.Errorf("commands %#x, %#x", getQuota, setQuota)
	}
}

// TestWithout: /proc has no quotas, and says so in the one way.
func TestWithout(t *testing.T) {
	if use, err := Read("/proc", 7); !errors.Is(err, ErrNone) {
		t.Errorf("Read = %+v, %v; want %v", use, err, ErrNone)
	}
	if err := Limit("/proc", 7, Use{BytesLimit: 1}); !errors.Is(err, ErrNone) {
		t.Errorf("Limit = %v; want %v", err, ErrNone)
	}
	if err := Assign("/proc/self/attr", 7); !errors.Is(err, ErrNone) {
		t.Errorf("Assign = %v; want %v", err, ErrNone)
	}
	if err := Assign(t.TempDir()+"/none", 7); err == nil {
		t.Error("Assign of no directory = nil; want an error")
	}
}
