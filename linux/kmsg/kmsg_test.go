package kmsg

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestEncode(t *testing.T) {
	for _, test := range []struct {
		level Level
		text  string
		plain bool
		want  string
	}{
		{Notice, "ketch: version 1", false, "<5>ketch: version 1\n"},
		{Error, "ketch: x", true, "ketch: x\r\n"},
		{Info, "a\tb\x1b[2Jc\x7f\r\u009b2J\x9b\u202e", false, `<6>a b\x1b[2Jc\x7f\r\u009b2J\x9b\u202e` + "\n"},
		{Info, strings.Repeat("x", 2000), false, "<6>" + strings.Repeat("x", maxText) + "…\n"},
	} {
		if got := string(encode(test.level, test.text, test.plain)); got != test.want {
			t.Errorf("encode(%d, %.20q, %v) = %q; want %q", test.level, test.text, test.plain, got, test.want)
		}
	}
}

func TestPrintfWritesARecordALine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	out, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	l := &Log{prefix: "ketch: ", fd: int(out.Fd()), open: true}
	l.Printf(Info, "one\ntwo %d\n", 2)
	l.Line(Notice, "ketchd: ", "three")
	got, _ := os.ReadFile(path)
	if want := "<6>ketch: one\n<6>ketch: two 2\n<5>ketchd: three\n"; string(got) != want {
		t.Errorf("log = %q; want %q", got, want)
	}
	(&Log{}).Printf(Info, "nowhere")
}

func TestPrepare(t *testing.T) {
	for printk, want := range map[string]string{"4\t4\t1\t7\n": "6 4 1 7", "7\t4\t1\t7\n": "7\t4\t1\t7\n", "6\t4\t1\t7\n": "6\t4\t1\t7\n"} {
		root := t.TempDir()
		os.Mkdir(root+"/kernel", 0o755)
		os.WriteFile(root+"/kernel/printk", []byte(printk), 0o644)
		os.WriteFile(root+"/kernel/printk_devkmsg", []byte("ratelimit\n"), 0o644)
		if err := Prepare(root); err != nil {
			t.Fatal(err)
		}
		if got, _ := os.ReadFile(root + "/kernel/printk"); string(got) != want {
			t.Errorf("Prepare with printk %q leaves %q; want %q", printk, got, want)
		}
		if got, _ := os.ReadFile(root + "/kernel/printk_devkmsg"); string(got) != "on\n" {
			t.Errorf("Prepare leaves printk_devkmsg %q; want on", got)
		}
	}
	if err := Prepare(t.TempDir()); err == nil {
		t.Error("Prepare without sysctls = nil; want an error")
	}
}
