package filelock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
)

// Whoever opened the file before its holder removed it, and locked it after,
// holds nothing.
func TestOneAtATime(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	var held sync.Mutex
	var group sync.WaitGroup
	for range 8 {
		group.Go(func() {
			for range 200 {
				l, err := Try(name)
				if errors.Is(err, ErrHeld) {
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				if !held.TryLock() {
					t.Error("two hold the lock")
					return
				}
				runtime.Gosched()
				held.Unlock()
				if err := l.Release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	wantNone(t, name)
}

func TestWait(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	first := try(t, name)
	released := make(chan error, 1)
	go func() { released <- first.Release() }()
	second, err := Wait(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(<-released, second.Release()); err != nil {
		t.Error(err)
	}
	wantNone(t, name)
}

func TestWaitEndsWithItsContext(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	l := try(t, name)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Wait(ctx, name); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait() = %v; want %v", err, context.Canceled)
	}
	if err := l.Release(); err != nil {
		t.Error(err)
	}
}

// What a killed process leaves keeps nobody out, and goes.
func TestLeftover(t *testing.T) {
	name := filepath.Join(t.TempDir(), "lock")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := try(t, name).Release(); err != nil {
		t.Error(err)
	}
	wantNone(t, name)
}

func TestLinkIsNotFollowed(t *testing.T) {
	dir := t.TempDir()
	name, target := filepath.Join(dir, "lock"), filepath.Join(dir, "target")
	if err := os.Symlink(target, name); err != nil {
		t.Fatal(err)
	}
	if _, err := Try(name); err == nil {
		t.Error("Try() has locked what a link points to")
	}
	wantNone(t, target)
}

func try(t *testing.T, name string) *Lock {
	t.Helper()
	l, err := Try(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func wantNone(t *testing.T, name string) {
	t.Helper()
	if _, err := os.Lstat(name); !os.IsNotExist(err) {
		t.Errorf("Lstat(%s) = %v; want no such file", name, err)
	}
}
