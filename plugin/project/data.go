package project

import (
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Data is the contract between a bundle's stages about their samples: what a
// sample is, which labels there are, and which samples are held out. It
// reaches code as JSON, in the environment variable DATA_CONTRACT.
type Data struct {
	Schema Schema   `json:"schema"`
	Labels []string `json:"labels,omitempty"` // what the column label may hold; none: anything
	Split  Split    `json:"split"`
}

// Schema is what a sample is: an object with these keys.
type Schema struct {
	Columns []Column `json:"columns"`
}

// Column is one key of a sample.
type Column struct {
	Name string `json:"name"`
	Type string `json:"type"` // one of ColumnTypes
	// Length is how many numbers an array has, 0: any.
	Length int `json:"length,omitempty"`
	// Min and Max bound a number, or each number of an array; nil: nothing does.
	Min      *float64 `json:"min,omitempty"`
	Max      *float64 `json:"max,omitempty"`
	Required bool     `json:"required,omitempty"`
}

// ColumnTypes are JSON's own types, as JSON Schema names them. An array holds
// numbers.
var ColumnTypes = []string{"number", "integer", "string", "boolean", "array"}

// Split says which samples no training sees: those whose hash with the seed
// falls into the first HeldOut of its range. A sample's side does not depend
// on the others, so shards and later samples agree.
type Split struct {
	HeldOut float64 `json:"heldOut"` // from 0 to 1, both excluded
	Seed    int64   `json:"seed"`
}

// Contract returns the data as code gets it; "" where the project says nothing.
func (d *Data) Contract() string {
	if d == nil {
		return ""
	}
	raw, err := json.Marshal(d)
	if err != nil {
		return "" // strings and finite numbers always marshal
	}
	return string(raw)
}

// labelColumn is the column that labels are of.
const labelColumn = "label"

type dataFile struct {
	Schema schemaFile  `yaml:"schema"`
	Labels []yaml.Node `yaml:"labels"`
	Split  splitFile   `yaml:"split"`

	line int
	data Data
}

type schemaFile struct {
	Columns []columnFile `yaml:"columns"`
}

type splitFile struct {
	HeldOut *float64 `yaml:"heldOut"`
	Seed    int64    `yaml:"seed"`
}

type columnFile struct {
	Name     string   `yaml:"name"`
	Type     string   `yaml:"type"`
	Length   int      `yaml:"length"`
	Min      *float64 `yaml:"min"`
	Max      *float64 `yaml:"max"`
	Required bool     `yaml:"required"`

	line int
}

// The parts of the contract are checked where their lines are known.

// UnmarshalYAML implements yaml.Unmarshaler.
func (c *columnFile) UnmarshalYAML(node *yaml.Node) error {
	type plain columnFile
	c.line = node.Line
	return strict(node, (*plain)(c), "data.schema.columns", "name", "type", "length", "min", "max", "required")
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *schemaFile) UnmarshalYAML(node *yaml.Node) error {
	type plain schemaFile
	return strict(node, (*plain)(s), "data.schema", "columns")
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (s *splitFile) UnmarshalYAML(node *yaml.Node) error {
	type plain splitFile
	return strict(node, (*plain)(s), "data.split", "heldOut", "seed")
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (d *dataFile) UnmarshalYAML(node *yaml.Node) error {
	type plain dataFile
	d.line = node.Line
	if err := strict(node, (*plain)(d), "data", "schema", "labels", "split"); err != nil {
		return err
	}
	return d.read()
}

func (d *dataFile) read() error {
	for _, c := range d.Schema.Columns {
		if err := c.check(d.data.Schema.Columns); err != nil {
			return fmt.Errorf("line %d: data.schema.columns: %w", c.line, err)
		}
		d.data.Schema.Columns = append(d.data.Schema.Columns, Column{c.Name, c.Type, c.Length, c.Min, c.Max, c.Required})
	}
	if len(d.data.Schema.Columns) == 0 {
		return fmt.Errorf("line %d: data.schema.columns: want at least one column", d.line)
	}
	for _, node := range d.Labels {
		switch {
		case node.Kind != yaml.ScalarNode || node.Value == "":
			return fmt.Errorf("line %d: data.labels: want a list of labels", node.Line)
		case slices.Contains(d.data.Labels, node.Value):
			return fmt.Errorf("line %d: data.labels names %s twice", node.Line, node.Value)
		}
		d.data.Labels = append(d.data.Labels, node.Value)
	}
	if len(d.data.Labels) > 0 && !slices.ContainsFunc(d.data.Schema.Columns, func(c Column) bool { return c.Name == labelColumn }) {
		return fmt.Errorf("line %d: data.labels are those of the column %s, which the schema does not have", d.Labels[0].Line, labelColumn)
	}
	if d.Split.HeldOut == nil {
		return fmt.Errorf("line %d: data.split.heldOut is missing: how much is held out for validation, such as 0.25", d.line)
	}
	if !(*d.Split.HeldOut > 0 && *d.Split.HeldOut < 1) {
		return fmt.Errorf("line %d: data.split.heldOut %g: want more than 0 and less than 1", d.line, *d.Split.HeldOut)
	}
	d.data.Split = Split{*d.Split.HeldOut, d.Split.Seed}
	return nil
}

var columnName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)

func (c columnFile) check(before []Column) error {
	infinite := func(v *float64) bool { return v != nil && (math.IsNaN(*v) || math.IsInf(*v, 0)) }
	numeric := c.Type != "string" && c.Type != "boolean"
	switch {
	case !columnName.MatchString(c.Name):
		return fmt.Errorf("name %q is no column's name such as features", c.Name)
	case slices.ContainsFunc(before, func(o Column) bool { return o.Name == c.Name }):
		return fmt.Errorf("%s is there twice", c.Name)
	case !slices.Contains(ColumnTypes, c.Type):
		return fmt.Errorf("%s: type %q: want one of %v", c.Name, c.Type, ColumnTypes)
	case c.Length < 0 || c.Length > 0 && c.Type != "array":
		return fmt.Errorf("%s: length is how many numbers an array has", c.Name)
	case !numeric && (c.Min != nil || c.Max != nil):
		return fmt.Errorf("%s: min and max bound numbers alone", c.Name)
	case infinite(c.Min), infinite(c.Max), c.Min != nil && c.Max != nil && *c.Min > *c.Max:
		return fmt.Errorf("%s: min and max: want numbers, the smaller one first", c.Name)
	}
	return nil
}

// strict decodes a mapping that has no other fields than those known: a
// decoder forgets that it is strict below a type with an UnmarshalYAML.
func strict(node *yaml.Node, into any, at string, known ...string) error {
	if node.Kind != yaml.MappingNode {
		return fmt.Errorf("line %d: %s: want fields and values", node.Line, at)
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if key := node.Content[i]; !slices.Contains(known, key.Value) {
			return fmt.Errorf("line %d: %s: unknown field %s", key.Line, at, key.Value)
		}
	}
	return node.Decode(into)
}
