package userdata

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/internal/testkit"
)

func zipped(text string) string { return string(testkit.Gzip([]byte(text))) }

// message is a MIME message as cloud-init's make-mime writes it.
func message(parts ...string) string {
	text := "Content-Type: multipart/mixed; boundary=\"==B==\"\nMIME-Version: 1.0\n\n"
	for _, part := range parts {
		text += "--==B==\n" + part + "\n"
	}
	return text + "--==B==--\n"
}

func TestParse(t *testing.T) {
	ketch := "ketch: 1\nhostname: a\n"
	for _, test := range []struct {
		name, text string
		kind       string
		hostname   string
		problem    string // "": none
	}{
		{"nothing", "", None, "", ""},
		{"blanks", "\n \n", None, "", ""},
		{"Ketch's own", ketch, Ketch, "a", ""},
		{"after comments", "# mine\n---\n" + ketch, Ketch, "a", ""},
		{"with a byte order mark", "\ufeff" + ketch, Ketch, "a", ""},
		{"with CR LF", strings.ReplaceAll(ketch, "\n", "\r\n"), Ketch, "a", ""},
		{"Ignition", `{"ignition": {"version": "3.0.0"}, "storage": {"files": [{"path": "/etc/hostname", "contents": {"source": "data:,a"}}]}}`, Ignition, "a", ""},
		{"cloud-config", "#cloud-config\nhostname: a", CloudConfig, "a", ""},
		{"cloud-config with CR LF", "#cloud-config\r\nhostname: a\r\n", CloudConfig, "a", ""},
		{"gzip", zipped(ketch), Ketch, "a", ""},
		{"truncated gzip", zipped(ketch)[:20], Unknown, "", "gzip: cut off or damaged"},
		{"gzip in gzip", zipped(zipped(ketch)), Unknown, "", "want Ketch's YAML"},
		{"a bomb", zipped(strings.Repeat(" ", MaxSize+1)), Unknown, "", "unpacks to more than"},
		{"too large", strings.Repeat("a", MaxSize+1), Unknown, "", "over the limit"},
		{"one document too large", ketch + strings.Repeat("#", MaxSize/2+1), Ketch, "", "over the limit"},
		{"a script", "#!/bin/sh\nreboot", Script, "", "a script (#!) cannot be run"},
		{"a page of an error", "<!DOCTYPE html>\n<html>", Unknown, "", "an HTML or XML page"},
		{"include", "#include\nhttp://x/", Unknown, "", "a form of cloud-init that is not supported"},
		{"Butane", "variant: flatcar\nversion: 1.0.0", Unknown, "", "Butane"},
		{"YAML without ketch:", "hostname: a", Unknown, "", "with ketch: 1"},
		{"bytes", "\x00\x01\x02", Unknown, "", "want Ketch's YAML"},
		{"not UTF-8", "ketch: 1\nhostname: \xff", Ketch, "", "UTF-8"},
		{"multipart", message("Content-Type: text/cloud-config\n\n#cloud-config\nhostname: first\ntimezone: UTC", "Content-Type: text/plain\n\n"+ketch), Multipart, "a", ""},
		{"multipart, base64, gzip", message("Content-Transfer-Encoding: base64\n\n" + base64.StdEncoding.EncodeToString([]byte(zipped(ketch)))), Multipart, "a", ""},
		{"multipart with a script", message("Content-Type: text/x-shellscript\n\n#!/bin/sh", "\n"+ketch), Multipart, "a", "part 1: a script (#!) cannot be run"},
		{"multipart in multipart", message("\n" + strings.ReplaceAll(message("\n"+ketch), "==B==", "==C==")), Multipart, "", "part 1: a part of a MIME message is a MIME message itself"},
		{"multipart, cut off", strings.TrimSuffix(message("\n"+ketch), "--==B==--\n"), Multipart, "", "part 1: unexpected EOF"},
		{"multipart, quoted-printable", message("Content-Transfer-Encoding: quoted-printable\n\n" + ketch), Multipart, "", "quoted-printable"},
		{"multipart with many parts", message(strings.Split(strings.Repeat("\n;", 40), ";")...), Multipart, "", "more than 32 parts"},
	} {
		got := Parse(t.Context(), []byte(test.text), nil)
		if got.Kind != test.kind || got.Config.Hostname != test.hostname {
			t.Errorf("%s: %s with host name %q; want %s with %q", test.name, got.Kind, got.Config.Hostname, test.kind, test.hostname)
		}
		all := ""
		for _, p := range got.Problems {
			all += p.String() + "\n"
		}
		if !strings.Contains(all, test.problem) || test.problem == "" && all != "" {
			t.Errorf("%s: problems %q; want %q", test.name, all, test.problem)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, text := range []string{"ketch: 1", "#cloud-config\n", `{"ignition": {"version": "3.0.0"}}`, message("\nketch: 1", "\n#!/bin/sh"), zipped("ketch: 1")} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got := Parse(t.Context(), text, nil)
		if !got.Usable() && len(got.Problems) == 0 {
			t.Errorf("it is of no use, and nothing says why: %+v", got)
		}
	})
}
