package layout

// What PID 1 says on the console, each line after ConsolePrefix. People read
// these lines; `ketch run` and the tests wait for them.
const (
	ConsolePrefix = "ketch: "

	// SayVersion is followed by the version: "version 0.1.0".
	SayVersion = "version "
	// SayDevelopment warns of an image whose keys are not secret.
	SayDevelopment = "WARNING: signed with development keys"
	// SayStateGrown is followed by the new size of the state partition.
	SayStateGrown = "state partition grown to "
	// SayRuntimeReady is followed by the seconds since the kernel started: "runtime-ready in 1.9 s".
	SayRuntimeReady = "runtime-ready in "
	// SayGood tells that the health gate has passed: "boot is good after 3.2 s".
	SayGood = "boot is good after "
	// SayFatal is followed by the reason. The way down and a reboot follow.
	SayFatal = "FATAL: "
	// SayDown is the first line of every way down: "going down: power-off (asked by …)".
	SayDown = "going down: "
	// SayHostKey is said by the SSH server, followed by the fingerprint of its key,
	// and in a second line by the key itself.
	SayHostKey = "host key "
	// SayHalted is the last line of a machine with a watchdog that was told to halt.
	SayHalted = "halted; the power can be cut"
)
