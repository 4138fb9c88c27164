package apply

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const widgets = `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: widgets.example.com}, spec: {
  group: example.com, scope: Namespaced, names: {kind: Widget}, versions: [
    {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, required: [spec], properties: {spec: {
      type: object, required: [size, mode], properties: {
        size: {type: integer, minimum: 1}, mode: {type: string, enum: [fast, slow], default: slow}, port: {x-kubernetes-int-or-string: true},
        note: {type: string, nullable: true}, labels: {type: object, additionalProperties: {type: string}},
        free: {type: object, x-kubernetes-preserve-unknown-fields: true}, parts: {type: array, items: {type: object, properties: {name: {type: string}}}},
        pod: {type: object, x-kubernetes-embedded-resource: true, properties: {spec: {type: object}}}}}}}}}]}}`

func TestInstancesOfACRDThatComesAlongAreHeldAgainstItsSchema(t *testing.T) {
	for _, c := range []struct{ name, version, spec, text string }{
		{name: "fits; defaults are filled in before required fields are looked for", spec: `{size: 3}`},
		{name: "all that a structural schema may say", spec: `{size: 3, port: http, note: null, labels: {a: b}, free: {x: {y: 1}}, parts: [{name: p}], pod: {apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {}}}`},
		{name: "a number as a port", spec: `{size: 3, port: 80}`},
		{name: "a wrong type", spec: `{size: big}`, text: "spec.size"},
		{name: "out of bounds", spec: `{size: 0}`, text: "spec.size"},
		{name: "no member of an enum", spec: `{size: 1, mode: medium}`, text: "spec.mode"},
		{name: "a required field is missing", spec: `{mode: fast}`, text: "spec.size"},
		{name: "an unknown field", spec: `{size: 1, sise: 2}`, text: ".spec.sise: unknown field"},
		{name: "an unknown field in a list", spec: `{size: 1, parts: [{nam: p}]}`, text: ".spec.parts[0].nam: unknown field"},
		{name: "a wrong label", spec: `{size: 1, labels: {a: [1]}}`, text: "spec.labels.a"},
		{name: "a version that is not defined", version: "v2", spec: `{}`, text: "no version v2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, _ := newClient(t)
			version := c.version
			if version == "" {
				version = "v1"
			}
			widget := object(t, `{apiVersion: example.com/`+version+`, kind: Widget, metadata: {name: w, namespace: ns}, spec: `+c.spec+`}`)
			before := widget.DeepCopy()
			change := &Change{Ref: RefOf(widget), Want: widget}
			err := definitions([]*unstructured.Unstructured{object(t, widgets)})[widget.GroupVersionKind().GroupKind()].check(change)
			if c.text == "" && err != nil || c.text != "" && (err == nil || !strings.Contains(err.Error(), c.text)) {
				t.Errorf("err = %v, want %q", err, c.text)
			}
			if c.text == "" && (change.Action != Create || !strings.Contains(change.Unverified, "CRD")) {
				t.Errorf("%s, %q", change.Action, change.Unverified)
			}
			if !unchanged(before, widget) {
				t.Error("the object that is applied was changed")
			}
			if err := client.Localize([]*unstructured.Unstructured{widget, object(t, widgets)}, "ns"); err != nil {
				t.Error(err)
			}
		})
	}
}
