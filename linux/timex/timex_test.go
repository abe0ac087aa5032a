package timex

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func TestStep(t *testing.T) {
	for offset, want := range map[time.Duration][2]int64{
		0:                        {0, 0},
		1500 * time.Millisecond:  {1, 500_000_000},
		-time.Nanosecond:         {-1, 999_999_999},
		-1500 * time.Millisecond: {-2, 500_000_000},
		-2 * time.Second:         {-2, 0},
	} {
		got := step(offset)
		if got.Time.Sec != want[0] || got.Time.Usec != want[1] || got.Modes != unix.ADJ_SETOFFSET|unix.ADJ_NANO {
			t.Errorf("step(%v) = %+v; want %d s and %d ns", offset, got, want[0], want[1])
		}
	}
}

func TestSlew(t *testing.T) {
	for _, test := range []struct {
		offset, poll time.Duration
		want         int64
		constant     int64
	}{
		{10 * time.Millisecond, 16 * time.Second, 10_000_000, 0},
		{-10 * time.Millisecond, 64 * time.Second, -10_000_000, 2},
		{time.Hour, 1024 * time.Second, 500_000_000, 6},
		{-time.Hour, 100 * time.Hour, -500_000_000, 10},
	} {
		got := slew(test.offset, test.poll, 3*time.Millisecond)
		if got.Offset != test.want || got.Constant != test.constant || got.Maxerror != 3000 || got.Status != unix.STA_PLL|unix.STA_NANO {
			t.Errorf("slew(%v, %v) = %+v", test.offset, test.poll, got)
		}
	}
}

// TestRead: every process may.
func TestRead(t *testing.T) {
	if _, err := Read(); err != nil {
		t.Error(err)
	}
}
