package userdata

import (
	"bytes"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/ketch-os/ketch/internal/config"
)

const page = "../../../docs/configuration.md"

// TestDocs: every example is accepted, as what it is shown as.
func TestDocs(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[string]string{"yaml": Ketch, "json": Ignition, "cloud-config": CloudConfig}
	seen := map[string]int{}
	for _, match := range regexp.MustCompile("(?ms)^```([a-z-]+)\n(.*?)^```$").FindAllSubmatch(text, -1) {
		language, example := string(match[1]), match[2]
		seen[language]++
		got := Parse(t.Context(), example, nil)
		if got.Kind != kinds[language] || len(got.Problems) > 0 || reflect.DeepEqual(got.Config, config.Config{}) {
			t.Errorf("the example\n%s\nis %s, with problems %v; want %s and none", example, got.Kind, got.Problems, kinds[language])
		}
	}
	if seen["yaml"] < 2 || seen["json"] < 1 || seen["cloud-config"] < 1 {
		t.Errorf("examples: %v; want some of each kind", seen)
	}
}

// TestDocsKeys: every key of the form stands in a table of the page.
func TestDocsKeys(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	var told strings.Builder
	for line := range bytes.Lines(text) {
		if bytes.HasPrefix(line, []byte("|")) {
			told.Write(line)
		}
	}
	var check func(prefix string, typ reflect.Type)
	check = func(prefix string, typ reflect.Type) {
		for typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || typ.PkgPath() != reflect.TypeFor[config.Config]().PkgPath() {
			return
		}
		for _, f := range reflect.VisibleFields(typ) {
			key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
			if key == "" {
				continue
			}
			typ := f.Type
			if typ.Kind() == reflect.Struct && strings.Contains(told.String(), "`"+key+".") {
				check(key+".", typ)
				continue
			}
			if !strings.Contains(told.String(), "`"+key+"`") && !strings.Contains(told.String(), "`"+prefix+key+"`") {
				t.Errorf("%s has no line for %s%s", page, prefix, key)
			}
			check(key+".", f.Type)
		}
	}
	check("", reflect.TypeFor[config.Config]())
}
