package pace

import (
	"testing"
	"time"
)

func TestPause(t *testing.T) {
	for waited, want := range map[time.Duration]time.Duration{
		0: 4 * time.Millisecond, 80 * time.Millisecond: 4 * time.Millisecond,
		time.Second: 50 * time.Millisecond, 10 * time.Second: 500 * time.Millisecond, time.Hour: 500 * time.Millisecond,
	} {
		if got := Pause(waited); got != want {
			t.Errorf("Pause(%v) = %v; want %v", waited, got, want)
		}
	}
	looks := 0
	for waited := time.Duration(0); waited < 2*time.Second; waited += Pause(waited) {
		looks++
	}
	if looks > 100 {
		t.Errorf("a wait of 2 s looks %d times; want at most 100", looks)
	}
}
