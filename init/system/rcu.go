package system

import "os"

// expedited makes the kernel wait for readers of shared data by interrupting the
// processors, not by waiting until each has passed through the scheduler
// (Documentation/RCU, rcu_expedited).
const expedited = "/sys/kernel/rcu_expedited"

// Hurry lets the kernel wait as briefly as it can, or no longer so. The kernel boots
// that way itself until it starts PID 1. What the rest of the boot sets up, mounts,
// control groups and parameters, waits ten milliseconds each time otherwise; programs
// that run later are better not interrupted.
func Hurry(on bool) error {
	value := "0"
	if on {
		value = "1"
	}
	return os.WriteFile(expedited, []byte(value), 0)
}
