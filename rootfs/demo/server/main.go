// The demo container: it says hello, then serves HTTP until it is told to stop.
//
//	/         a text page about where it runs
//	/healthz  "ok"
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	address := ":8080"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	if err := run(ctx, address, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// run serves on address until ctx ends, and lets open requests finish.
func run(ctx context.Context, address string, out io.Writer) error {
	greeting := greet(os.Getenv("KETCH_VERSION"))
	fmt.Fprintln(out, greeting)
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "serving on %s\n", address)
	server := &http.Server{Handler: pages(greeting, time.Now()), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() {
		limited, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		server.Shutdown(limited)
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	fmt.Fprintln(out, "stopped")
	return nil
}

// greet is the first line. ketchd tells each container the version of the OS.
func greet(version string) string {
	if version == "" {
		version = "(version unknown)"
	}
	return fmt.Sprintf("hello from a container on Ketch %s (%s/%s)", version, runtime.GOOS, runtime.GOARCH)
}

func pages(greeting string, started time.Time) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, r *http.Request) {
		host, _ := os.Hostname()
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintf(w, "%s\nhost %s, pid %d, up %s\n", greeting, host, os.Getpid(), time.Since(started).Round(time.Second))
	})
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "ok")
	})
	return mux
}
