// Command emptyinit is the least a PID 1 can do: it prints how long the kernel
// took to start it, and powers off. The benchmark measures the kernel alone with it.
package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

func main() {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_BOOTTIME, &now)
	console, err := os.OpenFile("/dev/console", os.O_WRONLY, 0)
	if err == nil {
		fmt.Fprintf(console, "empty PID 1 after %d us\n", now.Nano()/1000)
	}
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}
