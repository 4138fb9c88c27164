package project

import (
	"errors"
	"strings"
	"testing"
)

const someData = `data:
  schema:
    columns:
    - {name: features, type: array, length: 64, min: 0, max: 16, required: true}
    - {name: label, type: string, required: true}
  labels: [0, 1, two]
  split: {heldOut: 0.25, seed: 7}
`

func TestTheDataContractReachesCodeAsJSON(t *testing.T) {
	p, err := Load(bundle(t, head+someData))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"schema":{"columns":[{"name":"features","type":"array","length":64,"min":0,"max":16,"required":true},{"name":"label","type":"string","required":true}]},"labels":["0","1","two"],"split":{"heldOut":0.25,"seed":7}}`
	if got := p.Data.Contract(); got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	if p, err = Load(bundle(t, head)); err != nil || p.Data.Contract() != "" {
		t.Errorf("a project that says nothing: %q, %v", p.Data.Contract(), err)
	}
}

func TestMistakesInTheDataContractAreNamedWithTheirLine(t *testing.T) {
	for _, c := range []struct{ name, old, with, want string }{
		{"unknown field", "  labels:", "  label:", ":8: data: unknown field label"},
		{"unknown field of a column", "length: 64", "size: 64", ":6: data.schema.columns: unknown field size"},
		{"unknown field of the split", "seed: 7", "sed: 7", ":9: data.split: unknown field sed"},
		{"a type", "type: array", "type: tensor", `:6: data.schema.columns: features: type "tensor"`},
		{"a length of something else", "name: label, type: string", "name: label, type: string, length: 3", ":7: data.schema.columns: label: length is"},
		{"bounds of a string", "name: label, type: string", "name: label, type: string, min: 3", ":7: data.schema.columns: label: min and max"},
		{"bounds in the wrong order", "min: 0, max: 16", "min: 17, max: 16", ":6: data.schema.columns: features: min and max"},
		{"a bound that is none", "max: 16", "max: .inf", ":6: data.schema.columns: features: min and max"},
		{"a column twice", "name: label", "name: features", ":7: data.schema.columns: features is there twice"},
		{"labels of no column", "name: label", "name: digit", ":8: data.labels are those of the column label"},
		{"a label twice", "[0, 1, two]", "[0, 1, 0]", ":8: data.labels names 0 twice"},
		{"a label that is a list", "[0, 1, two]", "[0, [1]]", ":8: data.labels"},
		{"nothing held out", "heldOut: 0.25, ", "", ":4: data.split.heldOut is missing"},
		{"all held out", "0.25", "1", ":4: data.split.heldOut 1"},
		{"held out that is no number", "0.25", ".nan", ":4: data.split.heldOut NaN"},
		{"no columns", "columns:\n    - {name: features, type: array, length: 64, min: 0, max: 16, required: true}\n    - {name: label, type: string, required: true}\n", "columns: []\n", ":4: data.schema.columns: want"},
		{"no mapping", someData, "data: [1]\n", ":3: data: want fields"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(bundle(t, head+strings.Replace(someData, c.old, c.with, 1)))
			var mistake *FileError
			if !errors.As(err, &mistake) || !strings.Contains(err.Error(), FileName+c.want) {
				t.Errorf("err = %v, want %s", err, c.want)
			}
		})
	}
}
