package run

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Number is a float that may be NaN or infinite, which are no numbers in JSON:
// there they are the strings "NaN", "+Inf" and "-Inf".
type Number float64

// MarshalJSON implements json.Marshaler.
func (n Number) MarshalJSON() ([]byte, error) {
	if f := float64(n); math.IsNaN(f) || math.IsInf(f, 0) {
		return json.Marshal(n.String())
	}
	return json.Marshal(float64(n))
}

// UnmarshalJSON implements json.Unmarshaler.
func (n *Number) UnmarshalJSON(raw []byte) error {
	f, err := strconv.ParseFloat(strings.Trim(string(raw), `"`), 64)
	if err != nil {
		return fmt.Errorf("%s is no number", raw)
	}
	*n = Number(f)
	return nil
}

func (n Number) String() string { return strconv.FormatFloat(float64(n), 'g', -1, 64) }

// IsNaN says whether it is none.
func (n Number) IsNaN() bool { return math.IsNaN(float64(n)) }
