package platform

import (
	"embed"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/template"

	"github.com/ketch-os/ketch/builder/image"
	"github.com/ketch-os/ketch/layout"
)

// nextSteps has a page for each platform that one does not start oneself.
//
//go:embed nextsteps/*.md
var nextSteps embed.FS

// steps is what the pages are filled in with.
type steps struct {
	File    string // as a shell takes it, in its own directory
	Version string
	Name    string // of what is made there: lower case, digits and "-"
	GiB     int64  // that the disk needs at least
}

// NextSteps writes what to do with an artefact: the commands of the platform's own
// client, from the file to the console of a machine.
func (p *Platform) NextSteps(w io.Writer, a *Artefact) error {
	if !p.Production() {
		return fmt.Errorf("next steps for %s: there are none: ketch run starts it", p.Name)
	}
	page, err := template.ParseFS(nextSteps, "nextsteps/"+p.Name+".md")
	if err != nil {
		return fmt.Errorf("next steps for %s: %w", p.Name, err)
	}
	s := steps{File: filepath.Base(a.Path), GiB: (a.Size + layout.GiB - 1) / layout.GiB}
	err = a.eachEntry(func(e image.Entry) error {
		s.Version = e.Version
		return nil
	})
	if err != nil {
		return err
	}
	s.Name = "ketch-" + strings.Map(plain, strings.ToLower(s.Version))
	return page.Execute(w, s)
}

// plain makes of a character one that every cloud takes in a name.
func plain(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
		return r
	}
	return '-'
}
