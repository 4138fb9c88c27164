package manifest

import (
	"bytes"
	_ "embed"
	"text/template"
)

// Names of the plugin: in an index of its own, and in the public one, where
// `ai` belongs to another plugin and names are to be specific.
const (
	OwnIndex    = "ai"
	PublicIndex = "ai-train"
)

// Archive is one of a release.
type Archive struct {
	Target

	File   string // its name
	SHA256 string
	Bin    string // the program in it
}

//go:embed template/plugin.yaml.tmpl
var source string

var filled = template.Must(template.New("plugin.yaml").Parse(source))

// Render fills the template: the manifest of a plugin's name and version whose
// archives are below base. What it returns keeps all rules, or it is an error
// of *RuleErrors.
func Render(name, version, base string, archives []Archive) ([]byte, error) {
	var out bytes.Buffer
	err := filled.Execute(&out, struct {
		Name, Version, Base string
		Archives            []Archive
	}{name, version, base, archives})
	if err != nil {
		return nil, err
	}
	_, err = Parse(name+".yaml", out.Bytes())
	return out.Bytes(), err
}
