// Package debugport is the wire format of the debug channel of a debug image: a
// virtio-serial port over which the host runs commands on the machine, one at
// a time.
//
// Both directions are a sequence of frames: one byte of kind, four bytes of
// length (big-endian), the payload. A conversation:
//
//	host   Hello                       sent again until answered; anything read before the answer is stale
//	guest  Hello
//	host   Run     JSON Command
//	guest  Stdout, Stderr  …           in the order the command wrote them
//	guest  Exit    JSON Result         always the last frame of a Run
//
// A guest that sees an unknown kind or a length over MaxPayload closes the port
// and opens it anew.
package debugport

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
)

// PortName is the name of the virtio-serial port.
const PortName = "org.ketch.debug.0"

// MaxPayload is the largest payload of a frame in bytes.
const MaxPayload = 1 << 20

// Kind tells frames apart.
type Kind byte

// The kinds of frames.
const (
	Hello  Kind = 'H'
	Run    Kind = 'R'
	Stdout Kind = 'O'
	Stderr Kind = 'E'
	Exit   Kind = 'X'
)

// Command is the payload of Run. Exactly one of Args and Shell is set.
type Command struct {
	Args    []string `json:"args,omitempty"`  // executed as is
	Shell   string   `json:"shell,omitempty"` // executed by the debug image's shell
	Stdin   []byte   `json:"stdin,omitempty"`
	Timeout float64  `json:"timeout,omitempty"` // seconds; 0 = none
}

// Result is the payload of Exit.
type Result struct {
	Status int    `json:"status"`          // exit status; 128+n when signal n ended it
	Error  string `json:"error,omitempty"` // the command could not be run at all
}

// WriteFrame writes one frame with a single Write.
func WriteFrame(w io.Writer, kind Kind, payload []byte) error {
	if len(payload) > MaxPayload {
		return fmt.Errorf("write debug frame %q: %d bytes are over the limit of %d", kind, len(payload), MaxPayload)
	}
	frame := make([]byte, 5, 5+len(payload))
	frame[0] = byte(kind)
	binary.BigEndian.PutUint32(frame[1:], uint32(len(payload)))
	_, err := w.Write(append(frame, payload...))
	return err
}

// WriteJSON writes one frame whose payload is v as JSON.
func WriteJSON(w io.Writer, kind Kind, v any) error {
	payload, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return WriteFrame(w, kind, payload)
}

// ReadFrame reads one frame.
func ReadFrame(r io.Reader) (Kind, []byte, error) {
	var head [5]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	kind, size := Kind(head[0]), binary.BigEndian.Uint32(head[1:])
	switch kind {
	case Hello, Run, Stdout, Stderr, Exit:
	default:
		return 0, nil, fmt.Errorf("read debug frame: unknown kind %#x", head[0])
	}
	if size > MaxPayload {
		return 0, nil, fmt.Errorf("read debug frame %q: %d bytes are over the limit of %d", kind, size, MaxPayload)
	}
	payload := make([]byte, size)
	_, err := io.ReadFull(r, payload)
	return kind, payload, err
}
