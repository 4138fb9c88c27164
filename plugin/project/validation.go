package project

import "go.yaml.in/yaml/v3"

// validationFile is the gate `validation: {}`. from is the environment whose
// runs are asked: the sandbox, unless it says otherwise.
type validationFile struct {
	From string `yaml:"from"`
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (v *validationFile) UnmarshalYAML(node *yaml.Node) error {
	type plain validationFile
	return strict(node, (*plain)(v), "validation", "from")
}
