package run

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// Axis is one parameter of a matrix and the values that it takes.
type Axis struct {
	Name   string
	Values []string
}

// variable is a name of an environment variable that shells can set.
var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// ParseAxis reads KEY=A,B,C.
func ParseAxis(s string) (Axis, error) {
	name, list, ok := strings.Cut(s, "=")
	a := Axis{Name: name, Values: strings.Split(list, ",")}
	switch {
	case !ok || !variable.MatchString(name):
		return a, fmt.Errorf("%q: want KEY=A,B with a KEY such as lr", s)
	case slices.Contains(a.Values, ""):
		return a, fmt.Errorf("%q: a value is empty", s)
	}
	for i, v := range a.Values {
		if slices.Contains(a.Values[:i], v) {
			return a, fmt.Errorf("%q: %s is there twice", s, v)
		}
	}
	return a, nil
}

// ParseSetting reads KEY=VALUE; the value may be empty.
func ParseSetting(s string) (name, value string, err error) {
	name, value, ok := strings.Cut(s, "=")
	if !ok || !variable.MatchString(name) {
		return "", "", fmt.Errorf("%q: want KEY=VALUE", s)
	}
	return name, value, nil
}

// maxPoints bounds a matrix: more is most likely a mistake. Chosen.
const maxPoints = 1000

// Points returns every combination of the axes' values with the settings, the
// first axis changing slowest. Without axes that is one point.
func Points(axes []Axis, settings map[string]string) ([]map[string]string, error) {
	points := []map[string]string{maps.Clone(settings)}
	if points[0] == nil {
		points[0] = map[string]string{}
	}
	for i, a := range axes {
		if _, set := settings[a.Name]; set || slices.ContainsFunc(axes[:i], func(o Axis) bool { return o.Name == a.Name }) {
			return nil, fmt.Errorf("%s is set twice", a.Name)
		}
		var next []map[string]string
		for _, p := range points {
			for _, v := range a.Values {
				own := maps.Clone(p)
				own[a.Name] = v
				next = append(next, own)
			}
		}
		if points = next; len(points) > maxPoints {
			return nil, fmt.Errorf("the matrix has more than %d points", maxPoints)
		}
	}
	return points, nil
}
