package smi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// captured are the drivers, by major version, whose output is known from real
// machines: 515 and 535 as XML, 595 as XML and text, 580, 590 and 610 as text.
// What is known in one form alone has the names of the other from the drivers
// next to it.
var captured = []int{515, 535, 580, 590, 595, 610}

// formOf returns the driver whose form the output of a driver has: the newest
// captured one that is not newer, or the oldest.
func formOf(version string) int {
	major, _, _ := strings.Cut(version, ".")
	number, err := strconv.Atoi(major)
	if err != nil {
		return captured[len(captured)-1]
	}
	form := captured[0]
	for _, c := range captured {
		if c <= number {
			form = c
		}
	}
	return form
}

// span is a range of drivers, both ends included; an end of 0 is open.
type span struct{ first, last int }

// parseSpan reads "535-", "-535" or "535-590", where both ends are captured
// drivers.
func parseSpan(text string) (span, error) {
	var s span
	first, last, ok := strings.Cut(text, "-")
	if !ok {
		return s, fmt.Errorf("%q is no range of drivers", text)
	}
	for _, end := range []struct {
		text string
		to   *int
	}{{first, &s.first}, {last, &s.last}} {
		if end.text == "" {
			continue
		}
		number, err := strconv.Atoi(end.text)
		if err != nil || !slices.Contains(captured, number) {
			return s, fmt.Errorf("%q is no captured driver", end.text)
		}
		*end.to = number
	}
	return s, nil
}

// within tells whether a form is in one of the ranges, or there are none.
func within(spans []span, form int) bool {
	return len(spans) == 0 || slices.ContainsFunc(spans, func(s span) bool {
		return s.first <= form && (s.last == 0 || form <= s.last)
	})
}
