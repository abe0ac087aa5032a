package power

import "testing"

// TestActions holds the commands against linux/reboot.h. Nothing here calls
// reboot(2): the tests may well run as root.
func TestActions(t *testing.T) {
	for action, want := range map[Action]struct {
		name    string
		command int
	}{
		Off: {"power-off", 0x4321fedc}, Reboot: {"reboot", 0x01234567}, Halt: {"halt", 0xcdef0123},
	} {
		if action.String() != want.name || action.command() != want.command {
			t.Errorf("action %d = %s, %#x; want %s, %#x", action, action, action.command(), want.name, want.command)
		}
	}
}
