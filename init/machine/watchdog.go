package machine

import (
	"time"

	"github.com/ketch-os/ketch/linux/kmsg"
	"github.com/ketch-os/ketch/linux/watchdog"
)

// WatchdogTimeout is how long PID 1 may hang.
const WatchdogTimeout = 60 * time.Second

// FeedEvery is how often the watchdog is fed, by package step before services run
// and on the way down, and by the loop of the running system in between.
const FeedEvery = 5 * time.Second

// ArmWatchdog arms the first watchdog that works. A machine without one runs.
func (m *Machine) ArmWatchdog() error {
	device, err := watchdog.Arm(WatchdogTimeout)
	if err != nil {
		m.Log.Printf(kmsg.Info, "no watchdog armed: %v", err)
		return nil
	}
	m.Watchdog = device
	if m.WatchdogFD, err = device.Keep(); err != nil {
		return err
	}
	m.Log.Printf(kmsg.Info, "watchdog %s armed, timeout %v", device.Identity, device.Timeout)
	return nil
}

// Feed feeds the watchdog, if there is one.
func (m *Machine) Feed() {
	if err := m.Watchdog.Ping(); err != nil {
		m.Log.Printf(kmsg.Warning, "%v", err)
	}
}
