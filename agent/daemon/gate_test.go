package daemon

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ketch-os/ketch/layout/gatefile"
)

func TestProbeAll(t *testing.T) {
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/broken":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/hangs":
			<-release
		}
	}))
	defer server.Close()
	defer close(release)
	begun := time.Now()
	got := probeAll(t.Context(), []gatefile.Check{
		{Name: "front", HTTP: server.URL + "/"},
		{Name: "a command", Command: []string{"/bin/true"}},
		{Name: "moved", HTTP: server.URL + "/moved"},
		{Name: "moved, and so it should", HTTP: server.URL + "/moved", Status: 302},
		{Name: "broken", HTTP: server.URL + "/broken"},
		{Name: "refused", HTTP: "http://127.0.0.1:1/"},
		{Name: "hangs", HTTP: server.URL + "/hangs"},
		{Name: "hangs too", HTTP: server.URL + "/hangs"},
	})
	want := []struct{ name, reason string }{ // an empty reason: passed
		{"http front", ""}, {"http moved", "answers 302, not 200"}, {"http moved, and so it should", ""},
		{"http broken", "answers 503, not 200"}, {"http refused", "connection refused"},
		{"http hangs", "deadline exceeded"}, {"http hangs too", "deadline exceeded"},
	}
	if len(got) != len(want) {
		t.Fatalf("probeAll = %+v; want %d checks", got, len(want))
	}
	for i, c := range got {
		if c.Name != want[i].name || c.Passed != (want[i].reason == "") || !strings.Contains(c.Reason, want[i].reason) {
			t.Errorf("check %d = %+v; want %+v", i, c, want[i])
		}
	}
	if took := time.Since(begun); took > 2*probeLimit {
		t.Errorf("probing took %v; want the probes side by side within %v", took, probeLimit)
	}
}
