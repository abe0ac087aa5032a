// Package ignition translates Ignition configurations, 3.0 to 3.5, to Ketch's own form
// (coreos.github.io/ignition, "Configuration v3.5.0").
//
// The types, their rules and how two configurations merge are those of package
// coreos/ignition/v2. Its own parser is not used: one bad field costs it the whole
// configuration, and it only warns of a key that it does not know.
//
// Translated are: config.merge and config.replace from data:, https: and http: URLs,
// certificate authorities, users with their SSH keys, files, directories, symbolic
// links. Everything else is a problem: disks, RAID, LUKS, file systems, systemd units,
// kernel arguments, passwords, groups, proxies, timeouts, headers of requests.
//
// Two things differ. A file that is there already is replaced, whether or not it says
// overwrite: /etc comes from the image at each boot. And a file below /var is written
// once, for a configuration is applied at every boot here, not at the first alone.
package ignition

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/coreos/ignition/v2/config/merge"
	"github.com/coreos/ignition/v2/config/v3_5/types"
	"github.com/coreos/ignition/v2/config/validate"
	vcontext "github.com/coreos/vcontext/validate"

	"github.com/ketch-os/ketch/internal/bareurl"
	"github.com/ketch-os/ketch/internal/config"
	"github.com/ketch-os/ketch/internal/config/strict"
)

const (
	// maxDepth bounds how deep configurations name each other.
	maxDepth = 8
	// maxDocuments bounds how many there are, and maxTotal their bytes.
	maxDocuments = 32
	maxTotal     = 4 << 20
)

// Result is what an Ignition configuration comes to.
type Result struct {
	Config   config.Config
	Problems []config.Problem
	// LeftOut are the URLs of configurations that were not looked at.
	LeftOut []string
}

// Parse translates a configuration and those that it names. Without a Fetcher the ones
// that are elsewhere are left out.
func Parse(ctx context.Context, text []byte, from config.Fetcher) Result {
	r := &reader{ctx: ctx, from: from}
	merged := r.read(text, "", nil)
	r.Config = translate(merged)
	return r.Result
}

// reader reads a configuration with all that it names.
type reader struct {
	Result
	ctx       context.Context
	from      config.Fetcher
	documents int
	bytes     int
}

// read reads one document. chain are the sources that led to it.
func (r *reader) read(text []byte, source string, chain []string) types.Config {
	r.documents++
	r.bytes += len(text)
	d := &document{source: source}
	d.parse(text)
	r.Problems = append(r.Problems, d.problems()...)
	whole := d.config
	named := whole.Ignition.Config
	whole.Ignition.Config = types.IgnitionConfig{}
	if named.Replace.Source != nil {
		if other, ok := r.follow(d, "ignition.config.replace", named.Replace, chain); ok {
			return other
		}
	}
	for i, resource := range named.Merge {
		if other, ok := r.follow(d, "ignition.config.merge."+strconv.Itoa(i), resource, chain); ok {
			joined, _ := merge.MergeStructTranscribe(whole, other)
			whole = joined.(types.Config)
		}
	}
	return whole
}

// follow reads what a document names at path.
func (r *reader) follow(d *document, path string, resource types.Resource, chain []string) (types.Config, bool) {
	if d.bad(path) {
		return types.Config{}, false
	}
	contents, err := resourceContents(resource)
	source := "data URL at " + path
	if contents.Source != "" {
		source = bareurl.Text(contents.Source)
	}
	switch {
	case err != nil:
	case contents.Source != "" && slices.Contains(chain, contents.Source):
		err = fmt.Errorf("%s names itself, by way of what it names", source)
	case len(chain) == maxDepth:
		err = fmt.Errorf("configurations name each other more than %d deep", maxDepth)
	case r.documents == maxDocuments:
		err = fmt.Errorf("more than %d configurations", maxDocuments)
	default:
		var text []byte
		if text, err = contents.Load(r.ctx, r.from); err == nil && r.bytes+len(text) > maxTotal {
			err = fmt.Errorf("more than %d bytes in all", maxTotal)
		}
		if err == nil {
			return r.read(text, source, append(slices.Clip(chain), contents.Source)), true
		}
	}
	if errors.Is(err, config.ErrNotFetched) {
		r.LeftOut = append(r.LeftOut, source)
		return types.Config{}, false
	}
	problem := d.root.Find(path).Problem("%v", err)
	problem.Source = d.source
	r.Problems = append(r.Problems, problem)
	return types.Config{}, false
}

// document is one configuration.
type document struct {
	source  string
	decoder *strict.Decoder
	root    strict.Node
	config  types.Config // what is right in it
}

// versions are those of the specification that are read.
var versions = []string{"3.0.0", "3.1.0", "3.2.0", "3.3.0", "3.4.0", "3.5.0"}

// parse reads the text, and leaves in config what is right.
func (d *document) parse(text []byte) {
	var err error
	if d.decoder, d.root, err = strict.JSON(text); err != nil {
		d.decoder = &strict.Decoder{Problems: []config.Problem{strict.ProblemOf(err)}}
		return
	}
	d.decoder.Tag = "json"
	d.decoder.Decode(d.root, &d.config)
	if version := d.config.Ignition.Version; !slices.Contains(versions, version) {
		d.root.Find("ignition.version").Problem("%q is not supported: want 3.0.0 to 3.5.0", version)
		d.config = types.Config{}
		return
	}
	d.config.Ignition.Version = types.MaxVersion.String()
	d.validate()
	supported.check(d.root)
	d.check()
	d.keepGood()
}

func (d *document) problems() []config.Problem {
	list := d.decoder.Sorted()
	for i := range list {
		list[i].Source = cmp.Or(list[i].Source, d.source)
	}
	return list
}

// bad tells whether something is wrong with the value at path.
func (d *document) bad(path string) bool {
	return slices.ContainsFunc(d.decoder.Problems, func(p config.Problem) bool { return p.Within(path) })
}

// validate holds the document against the rules of the specification.
func (d *document) validate() {
	report := vcontext.Validate(d.config, "json")
	report.Merge(vcontext.ValidateCustom(d.config, "json", validate.ValidateDups))
	for _, entry := range report.Entries {
		if !entry.Kind.IsFatal() {
			continue
		}
		var path []string
		for _, element := range entry.Context.Path {
			path = append(path, fmt.Sprint(element))
		}
		where := strings.Join(path, ".")
		node := d.root.Find(where)
		if node.Path == where {
			node.Problem("%s", entry.Message)
		} else {
			node.Problem("%s: %s", strings.TrimPrefix(where, node.Path+"."), entry.Message)
		}
	}
}

// check holds the values against what they are for on this machine.
func (d *document) check() {
	for i, u := range d.config.Passwd.Users {
		path := fmt.Sprintf("passwd.users.%d", i)
		d.fail(path+".name", config.CheckUser(u.Name))
		for j, key := range u.SSHAuthorizedKeys {
			_, err := config.ParseKey(string(key))
			d.fail(fmt.Sprintf("%s.sshAuthorizedKeys.%d", path, j), err)
		}
	}
	for i, f := range d.config.Storage.Files {
		path := fmt.Sprintf("storage.files.%d", i)
		_, isName := hostname(f)
		d.checkNode(path, f.Node, isName)
		_, err := resourceContents(f.Contents)
		d.fail(path+".contents", err)
	}
	for i, dir := range d.config.Storage.Directories {
		d.checkNode(fmt.Sprintf("storage.directories.%d", i), dir.Node, false)
	}
	for i, l := range d.config.Storage.Links {
		path := fmt.Sprintf("storage.links.%d", i)
		d.checkNode(path, l.Node, false)
		if l.Target != nil {
			d.fail(path+".target", config.CheckTarget(*l.Target))
		}
		if l.Hard != nil && *l.Hard {
			d.fail(path+".hard", errors.New("is not supported: links are symbolic"))
		}
	}
	for i, a := range d.config.Ignition.Security.TLS.CertificateAuthorities {
		path := fmt.Sprintf("ignition.security.tls.certificateAuthorities.%d", i)
		c, err := resourceContents(a)
		d.fail(path, err)
		if err == nil && c.Source == "" {
			d.fail(path+".source", config.CheckPEM(c.Data))
		}
	}
}

// checkNode checks what files, directories and links have in common.
func (d *document) checkNode(path string, n types.Node, free bool) {
	if !free {
		d.fail(path+".path", config.CheckPath(n.Path))
	}
	_, err := owner(n)
	d.fail(path, err)
	if n.Overwrite != nil && !*n.Overwrite {
		d.fail(path+".overwrite", errors.New("is not supported: a file that is there is replaced"))
	}
}

// fail notes an error of the value at path, unless something is known to be wrong with it.
func (d *document) fail(path string, err error) {
	if err != nil && !d.bad(path) {
		d.root.Find(path).Problem("%v", err)
	}
}

// keepGood drops what has a problem. A user keeps the good keys.
func (d *document) keepGood() {
	problems := d.decoder.Problems
	c := &d.config
	var users []types.PasswdUser
	for i, u := range c.Passwd.Users {
		path := fmt.Sprintf("passwd.users.%d", i)
		u.SSHAuthorizedKeys = strict.Good(u.SSHAuthorizedKeys, path+".sshAuthorizedKeys", problems)
		if u.Name != "" && !d.bad(path+".name") {
			users = append(users, u)
		}
	}
	c.Passwd.Users = users
	c.Storage.Files = strict.Good(c.Storage.Files, "storage.files", problems)
	c.Storage.Directories = strict.Good(c.Storage.Directories, "storage.directories", problems)
	c.Storage.Links = strict.Good(c.Storage.Links, "storage.links", problems)
	tls := &c.Ignition.Security.TLS
	tls.CertificateAuthorities = strict.Good(tls.CertificateAuthorities, "ignition.security.tls.certificateAuthorities", problems)
}
