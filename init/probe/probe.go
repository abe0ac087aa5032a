// Package probe asks a service on a Unix socket whether it serves. It writes and
// reads the few bytes by hand: a whole HTTP library has no place in PID 1.
package probe

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ketch-os/ketch/linux/socket"
)

// The connection preface of a client (RFC 9113, 3.4): a fixed text, then a
// SETTINGS frame, here an empty one.
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + "\x00\x00\x00\x04\x00\x00\x00\x00\x00"

// frameSettings is the type of the frame that a server sends first.
const frameSettings = 4

// frame is the header of an HTTP/2 frame (RFC 9113, 4.1).
type frame struct {
	Length [3]byte // 0: of the payload
	Type   uint8   // 3
	Flags  uint8   // 4
	Stream uint32  // 5
}

// HTTP2 returns nil when the server at a socket speaks HTTP/2, as any gRPC
// server does: it accepts and answers with its SETTINGS.
func HTTP2(path string, limit time.Duration) error {
	conn, err := socket.Dial(path, limit)
	if err != nil {
		return err
	}
	defer conn.Close()
	return exchangeSettings(conn)
}

func exchangeSettings(conn io.ReadWriter) error {
	if _, err := io.WriteString(conn, preface); err != nil {
		return fmt.Errorf("send HTTP/2 preface: %w", err)
	}
	var first frame
	if err := binary.Read(conn, binary.BigEndian, &first); err != nil {
		return fmt.Errorf("wait for HTTP/2 settings: %w", err)
	}
	if first.Type != frameSettings || first.Stream != 0 {
		return fmt.Errorf("wait for HTTP/2 settings: got a frame of type %d", first.Type)
	}
	return nil
}

// HTTP returns nil when GET target at a socket answers 200.
func HTTP(path, target string, limit time.Duration) error {
	_, err := Get(path, target, limit)
	return err
}

// Answers returns nil when GET target at a socket is answered, whatever the status.
func Answers(path, target string, limit time.Duration) error {
	_, err := Get(path, target, limit)
	var refused *StatusError
	if errors.As(err, &refused) {
		return nil
	}
	return err
}

// Get returns the body of the answer to GET target at a socket, at most maxBody
// bytes of it. An answer other than 200 is a *StatusError.
func Get(path, target string, limit time.Duration) ([]byte, error) {
	conn, err := socket.Dial(path, limit)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	body, err := get(conn, target)
	if err != nil {
		return nil, fmt.Errorf("get %s: %w", target, err)
	}
	return body, nil
}

// StatusError is an answer that is not 200.
type StatusError struct {
	Status string // "503 Service Unavailable"
	Line   string // the first of the body
}

// Error is "503 Service Unavailable: workload demo is not up".
func (e *StatusError) Error() string {
	if e.Line == "" {
		return e.Status
	}
	return e.Status + ": " + e.Line
}

// maxBody bounds an answer in bytes.
const maxBody = 1 << 20

// get speaks HTTP/1.0 (RFC 1945, 5 and 6): the answer has no parts and no chunks,
// and ends with the connection.
func get(conn io.ReadWriter, target string) ([]byte, error) {
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.0\r\nHost: ketch\r\n\r\n", target); err != nil {
		return nil, err
	}
	answer := bufio.NewReader(io.LimitReader(conn, maxBody))
	line, err := answer.ReadString('\n')
	if err != nil {
		return nil, err
	}
	version, status, _ := strings.Cut(strings.TrimSpace(line), " ")
	if !strings.HasPrefix(version, "HTTP/1.") {
		return nil, fmt.Errorf("no HTTP answer: %q", line)
	}
	if code, _, _ := strings.Cut(status, " "); code != "200" {
		return nil, &StatusError{status, firstLine(answer)}
	}
	if err := skipHeader(answer); err != nil {
		return nil, err
	}
	return io.ReadAll(answer)
}

// skipHeader reads up to the empty line before the body.
func skipHeader(answer *bufio.Reader) error {
	for {
		line, err := answer.ReadString('\n')
		if err != nil {
			return err
		}
		if strings.TrimSpace(line) == "" {
			return nil
		}
	}
}

// firstLine returns the first line of the body, for the error.
func firstLine(answer *bufio.Reader) string {
	if skipHeader(answer) != nil {
		return ""
	}
	line, _ := answer.ReadString('\n')
	return strings.TrimSpace(line)
}
