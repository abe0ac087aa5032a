// Package probe asks a service on a Unix socket whether it serves, by hand: a
// whole HTTP library has no place in PID 1.
package probe

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
	"time"

	"ketch/linux/socket"
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
	conn, err := socket.Dial(path, limit)
	if err != nil {
		return err
	}
	defer conn.Close()
	return get(conn, target)
}

// get speaks HTTP/1.1 (RFC 9112, 3 and 4) as far as the status line, and quotes
// the first line of the body when the status is not 200.
func get(conn io.ReadWriter, target string) error {
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: ketch\r\nConnection: close\r\n\r\n", target); err != nil {
		return fmt.Errorf("get %s: %w", target, err)
	}
	answer := bufio.NewReader(io.LimitReader(conn, 64<<10))
	line, err := answer.ReadString('\n')
	if err != nil {
		return fmt.Errorf("get %s: %w", target, err)
	}
	version, status, _ := strings.Cut(strings.TrimSpace(line), " ")
	if !strings.HasPrefix(version, "HTTP/1.") {
		return fmt.Errorf("get %s: no HTTP answer: %q", target, line)
	}
	if status == "200" || strings.HasPrefix(status, "200 ") {
		return nil
	}
	return fmt.Errorf("get %s: %s%s", target, status, reason(answer))
}

// reason returns the first line of the body, for the error.
func reason(answer *bufio.Reader) string {
	for {
		line, err := answer.ReadString('\n')
		if err != nil {
			return ""
		}
		if strings.TrimSpace(line) == "" {
			break
		}
	}
	line, _ := answer.ReadString('\n')
	if line = strings.TrimSpace(line); line == "" {
		return ""
	}
	return ": " + line
}
