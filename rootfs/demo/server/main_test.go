package main

import (
	"context"
	"io"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestPages(t *testing.T) {
	server := httptest.NewServer(pages("hello from a test", time.Now()))
	defer server.Close()
	for _, test := range []struct {
		path   string
		status int
		want   string
	}{
		{"/", 200, "hello from a test\nhost "},
		{"/healthz", 200, "ok\n"},
		{"/other", 404, ""},
	} {
		reply, err := server.Client().Get(server.URL + test.path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(reply.Body)
		reply.Body.Close()
		if reply.StatusCode != test.status || !strings.HasPrefix(string(body), test.want) {
			t.Errorf("GET %s = %d %q; want %d %q…", test.path, reply.StatusCode, body, test.status, test.want)
		}
	}
}

func TestRunStops(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	t.Setenv("KETCH_VERSION", "1.2.3")
	var out strings.Builder
	if err := run(ctx, "127.0.0.1:0", &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"hello from a container on Ketch 1.2.3", "serving on 127.0.0.1:0", "stopped"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("run printed %q; want %q in it", out.String(), want)
		}
	}
}
