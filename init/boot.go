package main

import (
	"github.com/ketch-os/ketch/api/pid1"
	"github.com/ketch-os/ketch/init/initramfs"
	"github.com/ketch-os/ketch/init/machine"
	"github.com/ketch-os/ketch/init/state"
	"github.com/ketch-os/ketch/init/step"
)

// initramfsStage is the boot from the kernel's first process to the init of the
// verified /usr. It returns only with an error.
func initramfsStage(m *machine.Machine) error {
	s := &initramfs.Stage{Machine: m}
	err := step.RunFeeding(m, pid1.StageInitramfs, []step.Step{
		{Name: "kernel file systems", Do: s.MountKernel},
		{Name: "watchdog", Do: m.ArmWatchdog},
		{Name: "boot loader", Do: s.ReadLoader},
		{Name: "boot record", Limit: initramfs.RecordStepLimit, Do: s.CountStart},
		{Name: "command line", Do: s.ReadCommandLine},
		{Name: "slot", Limit: initramfs.SlotStepLimit, Do: s.FindSlot},
		{Name: "verity", Do: s.MakeVerity},
		{Name: "root", Do: s.BuildRoot},
		{Name: "move", Do: s.Move},
	})
	if err != nil {
		return err
	}
	return s.Become()
}

// boot is the first part of stage two: what services find in place, and their
// start.
func (s *running) boot() error {
	return step.RunFeeding(s.m, pid1.StageSystem, []step.Step{
		{Name: "file systems", Do: s.mountFileSystems},
		{Name: "power buttons", Do: s.listenToButtons},
		{Name: "kernel parameters", Do: s.setParameters},
		{Name: "control groups", Do: s.makeGroups},
		{Name: "etc", Do: s.buildEtc},
		{Name: "clock", Do: s.setClock},
		{Name: "state", Limit: state.Limit, Do: s.mountState},
		{Name: "directories", Do: s.makeDirectories},
		{Name: "identity", Do: s.identify},
		{Name: "services", Do: s.startServices},
	})
}

// finish is the rest of stage two: what services do not need. The loop of the
// running system has begun by then, and feeds the watchdog.
func (s *running) finish() error {
	return step.Run(s.m, pid1.StageSystem, []step.Step{
		{Name: "loopback", Do: s.raiseLoopback},
		{Name: "control socket", Do: s.openSocket},
		{Name: "previous boot", Do: s.keepPrevious},
	})
}
