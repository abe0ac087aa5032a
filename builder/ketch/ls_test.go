package main

import "testing"

func TestModeText(t *testing.T) {
	for mode, want := range map[uint32]string{
		0o100644: "-rw-r--r--", 0o040755: "drwxr-xr-x", 0o120777: "lrwxrwxrwx", 0o020600: "crw-------", 0o060660: "brw-rw----",
		0o010000: "p---------", 0o140755: "srwxr-xr-x", 0o104755: "-rwsr-xr-x", 0o102710: "-rwx--s---", 0o104644: "-rwSr--r--",
		0o041777: "drwxrwxrwt", 0o041776: "drwxrwxrwT", 0o107777: "-rwsrwsrwt", 0: "?---------",
	} {
		if got := modeText(mode); got != want {
			t.Errorf("modeText(%#o) = %s; want %s", mode, got, want)
		}
	}
}
