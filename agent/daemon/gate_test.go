package daemon

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ketch-os/ketch/agent/workload"
	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/internal/compose"
	"github.com/ketch-os/ketch/internal/testkit"
	"github.com/ketch-os/ketch/layout/gatefile"
)

func TestProbeAll(t *testing.T) {
	release := make(chan struct{})
	var both sync.WaitGroup
	both.Add(2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/", http.StatusFound)
		case "/broken":
			w.WriteHeader(http.StatusServiceUnavailable)
		case "/one", "/other": // answers once the other has been asked, too
			both.Done()
			both.Wait()
		case "/hangs":
			<-release
		}
	}))
	defer server.Close()
	defer close(release)
	got := probeAll(t.Context(), testkit.HangLimit, []gatefile.Check{
		{Name: "front", HTTP: server.URL + "/"},
		{Name: "a command", Command: []string{"/bin/true"}},
		{Name: "moved", HTTP: server.URL + "/moved"},
		{Name: "moved, and so it should", HTTP: server.URL + "/moved", Status: 302},
		{Name: "broken", HTTP: server.URL + "/broken"},
		{Name: "refused", HTTP: "http://127.0.0.1:1/"},
		{Name: "one", HTTP: server.URL + "/one"},
		{Name: "other", HTTP: server.URL + "/other"},
	})
	got = append(got, probeAll(t.Context(), time.Millisecond, []gatefile.Check{{Name: "hangs", HTTP: server.URL + "/hangs"}})...)
	want := []struct{ name, reason string }{ // an empty reason: passed
		{"http front", ""}, {"http moved", "answers 302, not 200"}, {"http moved, and so it should", ""},
		{"http broken", "answers 503, not 200"}, {"http refused", "connection refused"},
		{"http one", ""}, {"http other", ""}, {"http hangs", "deadline exceeded"},
	}
	if len(got) != len(want) {
		t.Fatalf("probeAll = %+v; want %d checks", got, len(want))
	}
	for i, c := range got {
		if c.Name != want[i].name || c.Passed != (want[i].reason == "") || !strings.Contains(c.Reason, want[i].reason) {
			t.Errorf("check %d = %+v; want %+v", i, c, want[i])
		}
	}
}

// TestProbeGate: a gate file that cannot be read asks for what nobody can tell.
func TestProbeGate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gate.json")
	if got := probeGate(t.Context(), path); len(got) > 0 {
		t.Errorf("probeGate of no file = %+v; want no check", got)
	}
	if err := os.WriteFile(path, []byte(`{"check": []}`), 0o644); err != nil {
		t.Fatal(err)
	}
	got := probeGate(t.Context(), path)
	if len(got) != 1 || got[0].Passed || !strings.Contains(got[0].Reason, path) || !strings.Contains(got[0].Reason, `unknown field "check"`) {
		t.Errorf("probeGate of a bad file = %+v; want a check that does not hold, and the reason", got)
	}
}

// TestCheckImages: an essential service whose image could not be imported might run
// one of an earlier version.
func TestCheckImages(t *testing.T) {
	set := new(compose.Set)
	set.Add("/etc/a.yaml", []byte("services:\n"+
		"  x: {image: web, network_mode: host, labels: {org.ketch.essential: 'true'}}\n"+
		"  y: {image: db, network_mode: host, labels: {org.ketch.essential: 'true'}}\n"+
		"  z: {image: other, network_mode: host}\n"))
	n := &Node{workloads: &workload.Supervisor{}}
	if got := n.checkImages(); len(got) > 0 {
		t.Errorf("checkImages without workloads = %+v; want none", got)
	}
	n.workloads.Take(set)
	const web, db = "docker.io/library/web:latest", "docker.io/library/db:latest"
	bad := errors.Join(errors.New("db.tar: EOF"), errors.New("other.tar: EOF"))
	for _, test := range []struct {
		imported imported
		want     []pid1.Check
	}{
		{imported{[]string{web, db}, nil}, []pid1.Check{{Name: "image " + db + " is imported", Passed: true}, {Name: "image " + web + " is imported", Passed: true}}},
		{imported{[]string{web}, bad}, []pid1.Check{{Name: "image " + db + " is imported", Reason: "db.tar: EOF; other.tar: EOF"}, {Name: "image " + web + " is imported", Passed: true}}},
		{imported{[]string{web, db}, bad}, []pid1.Check{{Name: "image " + db + " is imported", Passed: true}, {Name: "image " + web + " is imported", Passed: true}}},
	} {
		n.imported = test.imported
		if diff := cmp.Diff(test.want, n.checkImages()); diff != "" {
			t.Errorf("checkImages after %+v (-want +got):\n%s", test.imported, diff)
		}
	}
}

// TestExcuse: what holds needs no excuse.
func TestExcuse(t *testing.T) {
	got := []pid1.Check{{Name: "a", Passed: true}, {Name: "b", Reason: "exited"}}
	excuse(got, "full")
	want := []pid1.Check{{Name: "a", Passed: true}, {Name: "b", Reason: "exited", Excused: "full"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("excuse (-want +got):\n%s", diff)
	}
}
