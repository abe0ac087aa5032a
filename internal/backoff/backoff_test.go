package backoff

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestAfter(t *testing.T) {
	p := Pause{First: 200 * time.Millisecond, Last: time.Minute}
	for failures, want := range map[int]time.Duration{
		0: 200 * time.Millisecond, 1: 200 * time.Millisecond, 2: 400 * time.Millisecond, 9: 51200 * time.Millisecond, 10: time.Minute, 1 << 30: time.Minute,
	} {
		if got := p.After(failures, 0.5); got != want {
			t.Errorf("After(%d) = %v; want %v", failures, got, want)
		}
	}
	if least, most := p.After(99, 0), p.After(99, 1); least != 45*time.Second || most != 75*time.Second {
		t.Errorf("After(99) is %v to %v; want a minute, ±25 %%", least, most)
	}
}

func TestSleep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		if !Sleep(t.Context(), time.Hour) || time.Since(begun) != time.Hour {
			t.Errorf("Sleep took %v; want an hour", time.Since(begun))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if Sleep(ctx, time.Hour) || time.Since(begun) != time.Hour+time.Minute {
			t.Errorf("Sleep went on after its context had ended")
		}
	})
}
