// Package nstest holds tests of PID 1 from outside: the program that `ketch
// layers build` would put into an image runs as PID 1 of namespaces of its own,
// boots to a good state, is tormented, and goes down. No VM is needed, and the
// host is out of its reach: a user namespace takes its powers away, and what a
// process of root could still write to is not in its mount namespace.
//
//	namespace_test.go  starts PID 1 in namespaces, and asks it
//	stage_test.go      what it finds there: a root of its own
//	group_test.go      its control group
//	signals_test.go    all 64 signals
//	storm_test.go      orphans by the ten thousand; statuses that must not be lost
//
// What differs from a machine: there is no disk, so /var is in memory and the
// machine says that it is degraded; control groups have no controllers; and the
// kernel log is a FIFO that the test reads.
package nstest
