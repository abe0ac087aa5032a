// Command asker asks PID 1 of the machine it runs on: asker REQUEST…, each a line of
// JSON as docs/control-socket.md has it. It prints the answers, a line each.
package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ketch-os/ketch/layout"
	"github.com/ketch-os/ketch/linux/socket"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "asker:", err)
		os.Exit(1)
	}
}

func run(requests []string, out io.Writer) error {
	conn, err := socket.Dial(layout.InitSocket, time.Minute)
	if err != nil {
		return err
	}
	defer conn.Close()
	answers := bufio.NewReader(conn)
	for _, request := range requests {
		if _, err := fmt.Fprintln(conn, request); err != nil {
			return err
		}
		answer, err := answers.ReadString('\n')
		if err != nil {
			return err
		}
		fmt.Fprint(out, answer)
	}
	return nil
}
