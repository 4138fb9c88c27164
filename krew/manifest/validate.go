package manifest

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"
)

// Rule names a check.
type Rule string

// The rules of krew and of krew-index.
const (
	Syntax           Rule = "syntax"             // YAML, with known fields only
	APIVersion       Rule = "api version"        // the one that krew reads
	Kind             Rule = "kind"               // Plugin
	Name             Rule = "name"               // letters, digits, dashes; none that Windows keeps for devices
	FileName         Rule = "file name"          // NAME.yaml
	Version          Rule = "version"            // semantic, with a leading v
	ShortDescription Rule = "short description"  // there, and short
	OneLine          Rule = "one line"           // the short description
	Platforms        Rule = "platforms"          // one at least
	URI              Rule = "uri"                // https
	ArchiveType      Rule = "archive type"       // .tar.gz or .zip
	SHA256           Rule = "sha256"             // 64 lowercase hexadecimal digits
	Bin              Rule = "bin"                // a path inside of the plugin
	Executable       Rule = "executable"         // .exe on Windows
	Selector         Rule = "selector"           // there, and not empty
	SelectorKeys     Rule = "selector keys"      // os and arch
	Files            Rule = "files"              // absent, or each with from and to
	Supported        Rule = "supported platform" // the selector matches one
	Overlap          Rule = "overlap"            // no two selectors match one platform
	Sum              Rule = "sum"                // of the archive
	Unpacks          Rule = "unpacks"            // the archive can be read, and stays in its folder
	License          Rule = "license"            // among the files
	BinThere         Rule = "bin there"          // among the files
)

// RuleError is a rule that a manifest or an archive breaks.
type RuleError struct {
	Rule  Rule
	Where string // the platform, or ""
	Why   string
}

func (e *RuleError) Error() string {
	if e.Where != "" {
		return fmt.Sprintf("%s of %s: %s", e.Rule, e.Where, e.Why)
	}
	return fmt.Sprintf("%s: %s", e.Rule, e.Why)
}

var (
	semver   = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)
	safeName = regexp.MustCompile(`^[\w-]+$`)
	sum      = regexp.MustCompile(`^[a-f0-9]{64}$`)
	// devices are names that Windows keeps, with any extension.
	devices = regexp.MustCompile(`(?i)^(con|prn|aux|nul|com[0-9]|lpt[0-9])$`)
)

// longest is what krew-index's reviewers let pass as a short description.
const longest = 50

// Parse reads a manifest of a file's name and checks it by all rules that need
// no archive. All that are broken are in the error, a *RuleError each.
func Parse(file string, raw []byte) (*Plugin, error) {
	p := &Plugin{}
	if err := yaml.UnmarshalStrict(raw, p); err != nil {
		return nil, &RuleError{Syntax, "", err.Error()}
	}
	c := &checker{}
	c.rule(p.APIVersion == "krew.googlecontainertools.github.com/v1alpha2", APIVersion, "", "%q", p.APIVersion)
	c.rule(p.Kind == "Plugin", Kind, "", "%q", p.Kind)
	c.rule(safeName.MatchString(p.Metadata.Name) && !devices.MatchString(p.Metadata.Name), Name, "", "%q", p.Metadata.Name)
	c.rule(path.Base(file) == p.Metadata.Name+".yaml", FileName, "", "%s holds plugin %q", path.Base(file), p.Metadata.Name)
	c.rule(semver.MatchString(p.Spec.Version), Version, "", "%q", p.Spec.Version)
	short := p.Spec.ShortDescription
	c.rule(short != "" && len(short) <= longest, ShortDescription, "", "it has %d characters, 1 to %d are wanted", len(short), longest)
	c.rule(!strings.ContainsAny(short, "\r\n"), OneLine, "", "%q", short)
	c.rule(len(p.Spec.Platforms) > 0, Platforms, "", "there is none")
	taken := map[Target]bool{}
	for i, platform := range p.Spec.Platforms {
		c.platform(fmt.Sprintf("platform %d", i+1), platform, taken)
	}
	return p, errors.Join(c.broken...)
}

type checker struct{ broken []error }

func (c *checker) rule(kept bool, rule Rule, where, format string, args ...any) {
	if !kept {
		c.broken = append(c.broken, &RuleError{rule, where, fmt.Sprintf(format, args...)})
	}
}

// platform checks one of a manifest; taken are those that others match.
func (c *checker) platform(where string, p Platform, taken map[Target]bool) {
	c.rule(strings.HasPrefix(p.URI, "https://"), URI, where, "%q", p.URI)
	c.rule(strings.HasSuffix(p.URI, ".tar.gz") || strings.HasSuffix(p.URI, ".zip"), ArchiveType, where, "%q", p.URI)
	c.rule(sum.MatchString(p.SHA256), SHA256, where, "%q", p.SHA256)
	c.rule(inside(p.Bin), Bin, where, "%q", p.Bin)
	c.rule(p.Files == nil || len(p.Files) > 0, Files, where, "the list is there and empty")
	for _, f := range p.Files {
		c.rule(f.From != "" && f.To != "", Files, where, "from %q to %q", f.From, f.To)
	}
	if p.Selector == nil || len(p.Selector.MatchLabels)+len(p.Selector.MatchExpressions) == 0 {
		c.rule(false, Selector, where, "there is none")
		return
	}
	for _, key := range keys(p.Selector) {
		c.rule(key == "os" || key == "arch", SelectorKeys, where, "%q", key)
	}
	matched, err := p.Matches()
	if err != nil {
		c.rule(false, Selector, where, "%v", err)
		return
	}
	c.rule(len(matched) > 0, Supported, where, "no system is %s", metav1.FormatLabelSelector(p.Selector))
	for _, t := range matched {
		c.rule(!taken[t], Overlap, where, "%s is matched before", t)
		taken[t] = true
		c.rule(t.OS != "windows" || strings.HasSuffix(p.Bin, ".exe"), Executable, where, "%q", p.Bin)
	}
}

// Matches lists the systems that a platform is for.
func (p Platform) Matches() ([]Target, error) {
	selector, err := metav1.LabelSelectorAsSelector(p.Selector)
	if err != nil {
		return nil, err
	}
	var out []Target
	for _, t := range supported {
		if selector.Matches(labels.Set{"os": t.OS, "arch": t.Arch}) {
			out = append(out, t)
		}
	}
	return out, nil
}

func keys(s *metav1.LabelSelector) []string {
	var out []string
	for key := range s.MatchLabels {
		out = append(out, key)
	}
	for _, e := range s.MatchExpressions {
		out = append(out, e.Key)
	}
	slices.Sort(out)
	return out
}

// inside says whether a path stays in the folder it is of.
func inside(name string) bool {
	clean := path.Clean(strings.ReplaceAll(name, `\`, "/"))
	return name != "" && !path.IsAbs(clean) && clean != ".." && !strings.HasPrefix(clean, "../")
}
