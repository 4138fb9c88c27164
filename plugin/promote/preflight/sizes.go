package preflight

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/api/validation"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
)

// Limits of the API server and of etcd, in bytes.
const (
	maxObject      = 3 << 19   // a request to etcd: 1.5 MiB (etcd, "System limits")
	maxData        = 1 << 20   // of a ConfigMap or Secret (core/v1, MaxSecretSize)
	maxAnnotations = 256 << 10 // all of one object (apimachinery, TotalAnnotationSizeLimitB)
)

// sizes finds objects that the server would not store: too large, or with
// names and labels that it does not take. A dry run says the same, but one at
// a time and not where a namespace or CRD is yet to come.
func (c *Check) sizes(*view) Report {
	var report Report
	for _, obj := range c.Objects {
		say := func(next, format string, args ...any) {
			report.add(CheckObjects, Error, obj, next, format, args...)
		}
		raw, err := json.Marshal(obj.Object)
		if err != nil {
			say("", "it is no JSON: %v", err)
			continue
		}
		data := dataSize(obj)
		annotations := 0
		for k, v := range obj.GetAnnotations() {
			annotations += len(k) + len(v)
		}
		switch {
		case data > maxData:
			say("put large files into a volume or an image", "its data has %s, and a %s holds 1 MiB", bytesOf(data), obj.GetKind())
		case annotations > maxAnnotations:
			say("shorten the annotations", "its annotations have %s, and an object holds 256 KiB of them", bytesOf(annotations))
		case len(raw) > maxObject:
			say("split the object", "it has %s, and the server stores 1.5 MiB", bytesOf(len(raw)))
		}
		for _, words := range invalid(obj) {
			say("", "%s", words)
		}
	}
	return report
}

// dataSize is what the values of a ConfigMap or Secret hold, decoded.
func dataSize(obj *unstructured.Unstructured) int {
	if gvk := obj.GroupVersionKind(); gvk.Group != "" || gvk.Kind != "ConfigMap" && gvk.Kind != "Secret" {
		return 0
	}
	n := 0
	for _, field := range []string{"data", "binaryData", "stringData"} {
		values, _, _ := unstructured.NestedMap(obj.Object, field)
		for _, v := range values {
			s, _ := v.(string)
			if field == "binaryData" || field == "data" && obj.GetKind() == "Secret" {
				n += base64.StdEncoding.DecodedLen(len(s)) - strings.Count(s[max(0, len(s)-2):], "=")
				continue
			}
			n += len(s)
		}
	}
	return n
}

// nameRules are the kinds whose names are narrower than a DNS subdomain.
var nameRules = map[string]validation.ValidateNameFunc{
	"/Namespace": validation.ValidateNamespaceName,
	"/Service":   validation.NameIsDNS1035Label,
	// The pods of a Job have its name as a label; those of an Indexed one as
	// part of their host name.
	"batch/Job":        validation.NameIsDNSLabel,
	"batch/CronJob":    cronJobName,
	"apps/StatefulSet": validation.NameIsDNSLabel,
}

// cronJobName leaves room for the eleven characters of its Jobs' names.
func cronJobName(name string, prefix bool) []string {
	out := validation.NameIsDNSSubdomain(name, prefix)
	if len(name) > 52 {
		out = append(out, "must be no more than 52 characters")
	}
	return out
}

func invalid(obj *unstructured.Unstructured) []string {
	var out []string
	gvk := obj.GroupVersionKind()
	rule, ok := nameRules[gvk.Group+"/"+gvk.Kind]
	if !ok {
		rule = validation.NameIsDNSSubdomain
	}
	if gvk.Group == "rbac.authorization.k8s.io" {
		rule = func(string, bool) []string { return nil } // names with colons
	}
	for _, words := range rule(obj.GetName(), false) {
		out = append(out, fmt.Sprintf("name %q: %s", obj.GetName(), words))
	}
	for _, k := range sorted(obj.GetLabels()) {
		for _, words := range utilvalidation.IsQualifiedName(k) {
			out = append(out, fmt.Sprintf("label %q: %s", k, words))
		}
		for _, words := range utilvalidation.IsValidLabelValue(obj.GetLabels()[k]) {
			out = append(out, fmt.Sprintf("label %s=%q: %s", k, obj.GetLabels()[k], words))
		}
	}
	for _, k := range sorted(obj.GetAnnotations()) {
		for _, words := range utilvalidation.IsQualifiedName(strings.ToLower(k)) {
			out = append(out, fmt.Sprintf("annotation %q: %s", k, words))
		}
	}
	return out
}

func bytesOf(n int) string {
	if n < 1<<20 {
		return fmt.Sprintf("%.0f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%.2f MiB", float64(n)/(1<<20))
}
