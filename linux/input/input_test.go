package input

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

func TestPowerButtons(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	sys := fstest.MapFS{
		"class/input/event0/device/capabilities/key": file("10000000000000 0\n"), // ACPI power button
		"class/input/event1/device/capabilities/key": file("402000000 3803078f800d001 feffffdfffefffff fffffffffffffffe\n"),
		"class/input/event2/device/capabilities/key": file("1f0000 0 0 0 0\n"), // mouse
		"class/input/event3/device/capabilities/key": file("0\n"),
		"class/input/event4/device/capabilities/key": file("x y\n"),
	}
	got, err := powerButtons(sys)
	// event1 is a PC keyboard, with a power key of its own: bit 52 of its second word.
	if diff := cmp.Diff([]string{"/dev/input/event0", "/dev/input/event1"}, got); diff != "" || err != nil {
		t.Errorf("powerButtons: %v (-want +got):\n%s", err, diff)
	}
}

func TestWaitPower(t *testing.T) {
	if got := binary.Size(event{}); got != eventSize {
		t.Fatalf("binary.Size(event) = %d; want %d", got, eventSize)
	}
	events := func(list ...event) io.Reader {
		var buf bytes.Buffer
		binary.Write(&buf, binary.NativeEndian, list)
		return &buf
	}
	sync, release := event{}, event{Type: typeKey, Code: keyPower}
	press := event{Type: typeKey, Code: keyPower, Value: 1}
	other := event{Type: typeKey, Code: 30, Value: 1}
	if err := WaitPower(events(other, sync, press, sync)); err != nil {
		t.Errorf("WaitPower(press) = %v", err)
	}
	if err := WaitPower(events(other, sync, release)); !errors.Is(err, io.EOF) {
		t.Errorf("WaitPower(no press) = %v; want EOF", err)
	}
}
