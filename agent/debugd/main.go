// Debugd is the machine's side of the debug channel of a debug image: it runs
// the commands that the host sends over a virtio-serial port. The wire format
// is package ketch/layout/debugport. Only debug images carry it: whoever holds
// the other end of the port is root here.
package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/ketch-os/ketch/layout/debugport"
)

// retryDelay is how long the port is left alone after the host has gone away,
// or while there is no port.
const retryDelay = 100 * time.Millisecond

func main() {
	last := ""
	for {
		err := session(os.DirFS("/sys/class/virtio-ports"), "/dev")
		if err != nil && err.Error() != last {
			last = err.Error()
			fmt.Fprintln(os.Stderr, "error:", err)
		}
		time.Sleep(retryDelay)
	}
}

// session opens the port and serves it until the host goes away.
func session(ports fs.FS, dev string) error {
	name, err := findPort(ports)
	if err != nil {
		return err
	}
	// The driver has a poll operation, so Go opens the port non-blocking and
	// Close ends a Read that waits.
	port, err := os.OpenFile(path.Join(dev, name), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer port.Close()
	return serve(port)
}

// findPort returns the device name of the debug port. Each directory of
// /sys/class/virtio-ports is a port, its file "name" what the host called it.
func findPort(ports fs.FS) (string, error) {
	entries, err := fs.ReadDir(ports, ".")
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		name, err := fs.ReadFile(ports, entry.Name()+"/name")
		if err == nil && strings.TrimSpace(string(name)) == debugport.PortName {
			return entry.Name(), nil
		}
	}
	return "", fmt.Errorf("find virtio port %s: %w", debugport.PortName, fs.ErrNotExist)
}

// frame is what the host sent.
type frame struct {
	kind    debugport.Kind
	payload []byte
}

// serve answers the host until reading or writing fails. The end of the
// stream is no error: the host has closed its side.
func serve(port io.ReadWriteCloser) error {
	frames, broken := make(chan frame), make(chan error, 1)
	stop := make(chan struct{})
	go func() {
		defer close(frames)
		broken <- receive(port, frames, stop)
	}()
	err := answer(port, frames)
	close(stop)
	port.Close()
	if readErr := <-broken; err == nil && !errors.Is(readErr, io.EOF) {
		err = readErr
	}
	return err
}

// receive hands frames over until reading fails or nobody wants them.
func receive(port io.Reader, frames chan<- frame, stop <-chan struct{}) error {
	for {
		kind, payload, err := debugport.ReadFrame(port)
		if err != nil {
			return err
		}
		select {
		case frames <- frame{kind, payload}:
		case <-stop:
			return nil
		}
	}
}

// answer handles frames until there are no more. A frame that comes while a
// command runs means that the host has given up on it: it is killed.
func answer(port io.Writer, frames <-chan frame) error {
	host := &sender{w: port}
	for next, ok := <-frames; ok; {
		switch next.kind {
		case debugport.Hello:
			host.send(debugport.Hello, nil)
			next, ok = <-frames
		case debugport.Run:
			command := start(next.payload, host)
			select {
			case <-command.done:
				next, ok = <-frames
			case next, ok = <-frames:
				command.kill()
				<-command.done
			}
		default:
			return fmt.Errorf("debug frame %q from the host", next.kind)
		}
		if err := host.failed(); err != nil {
			return err
		}
	}
	return nil
}
