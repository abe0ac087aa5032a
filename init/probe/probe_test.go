package probe

import (
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// listen serves one connection after another with serve.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return path
}

func TestHTTP2(t *testing.T) {
	if got := binary.Size(frame{}); got != 9 {
		t.Errorf("binary.Size(frame) = %d; want 9", got)
	}
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: &protocols, Handler: http.NotFoundHandler()} // the oracle
	good := filepath.Join(t.TempDir(), "good")
	l, err := net.Listen("unix", good)
	if err != nil {
		t.Fatal(err)
	}
	go server.Serve(l)
	t.Cleanup(func() { server.Close() })
	if err := HTTP2(good, time.Minute); err != nil {
		t.Errorf("HTTP2 of a server = %v", err)
	}
	for name, serve := range map[string]func(net.Conn){
		"silent":   func(c net.Conn) { io.Copy(io.Discard, c) },
		"closes":   func(c net.Conn) {},
		"HTTP/1.1": func(c net.Conn) { io.WriteString(c, "HTTP/1.1 400 Bad Request\r\n\r\n") },
	} {
		if err := HTTP2(listen(t, serve), 50*time.Millisecond); err == nil {
			t.Errorf("HTTP2 of a server that is %s = nil; want an error", name)
		}
	}
}

func TestHTTP(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/health" {
			http.Error(w, "workload demo is not up", http.StatusServiceUnavailable)
			return
		}
		// In parts, as a server sends what it has not measured.
		for _, part := range []string{"ready", ": ", "true"} {
			io.WriteString(w, part)
			w.(http.Flusher).Flush()
		}
	})
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go http.Serve(l, handler)
	if err := HTTP(path, "/v1/health", time.Minute); err != nil {
		t.Errorf("HTTP(/v1/health) = %v", err)
	}
	if body, err := Get(path, "/v1/health", time.Minute); string(body) != "ready: true" || err != nil {
		t.Errorf("Get(/v1/health) = %q, %v; want the parts as one", body, err)
	}
	if err := Answers(path, "/other", time.Minute); err != nil {
		t.Errorf("Answers(/other) = %v; want any answer to do", err)
	}
	err = HTTP(path, "/other", time.Minute)
	if want := "get /other: 503 Service Unavailable: workload demo is not up"; err == nil || err.Error() != want {
		t.Errorf("HTTP(/other) = %v; want %s", err, want)
	}
	for name, answer := range map[string]string{"nothing": "", "a torn line": "HTTP/1.1 200", "another protocol": "220 smtp\r\n"} {
		path := listen(t, func(c net.Conn) { io.WriteString(c, answer) })
		if err := Answers(path, "/", time.Second); err == nil {
			t.Errorf("Answers of a server that says %s = nil; want an error", name)
		}
	}
}

func FuzzGet(f *testing.F) {
	f.Add("HTTP/1.1 503 No\r\nX: y\r\n\r\nwhy\n")
	f.Fuzz(func(t *testing.T, answer string) {
		_, err := get(struct {
			io.Reader
			io.Writer
		}{strings.NewReader(answer), io.Discard}, "/")
		if err == nil && !strings.HasPrefix(answer, "HTTP/1.") {
			t.Errorf("get took %q for a 200", answer)
		}
	})
}
