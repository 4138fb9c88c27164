package fault

import (
	"fmt"
	"slices"
)

// MaxXID is the largest number that is taken for an XID.
const MaxXID = 999

const (
	doubleBit = 48
	fallenOff = 79
)

// XID is an error number of NVIDIA's driver.
type XID struct {
	Number  int
	Meaning string

	lost   bool // nothing can be read any more
	memory bool // an uncorrectable memory error is counted
}

// xids are those that are seen most, in our words. model.ApplicationXID says
// which of them leave a GPU healthy.
var xids = []XID{
	{Number: 13, Meaning: "a program's kernel did something illegal"},
	{Number: 31, Meaning: "a program used an address that is not mapped"},
	{Number: 43, Meaning: "a program's channel was reset"},
	{Number: 45, Meaning: "a program's channel was torn down, as when it is killed"},
	{Number: doubleBit, Meaning: "an uncorrectable memory error", memory: true},
	{Number: 63, Meaning: "a row of memory will be remapped at the next reset"},
	{Number: 64, Meaning: "a row of memory could not be remapped"},
	{Number: 68, Meaning: "the video decoder failed for a program"},
	{Number: 74, Meaning: "an NVLink failed"},
	{Number: fallenOff, Meaning: "the GPU has fallen off the bus", lost: true},
	{Number: 94, Meaning: "an uncorrectable memory error, contained to one program", memory: true},
	{Number: 95, Meaning: "an uncorrectable memory error that was not contained", memory: true},
	{Number: 109, Meaning: "a program's context could not be switched in time"},
	{Number: 119, Meaning: "the GPU's system processor (GSP) does not answer"},
	{Number: 120, Meaning: "the GPU's system processor (GSP) failed"},
}

// XIDs returns those that are described, by number.
func XIDs() []XID { return slices.Clone(xids) }

// LookupXID returns what is known of an XID.
func LookupXID(number int) (XID, bool) {
	i := slices.IndexFunc(xids, func(x XID) bool { return x.Number == number })
	if i < 0 {
		return XID{}, false
	}
	return xids[i], true
}

func checkXID(number int) error {
	if number < 1 || number > MaxXID {
		return &XIDError{Number: number}
	}
	return nil
}

// XIDError says that a number is no XID.
type XIDError struct{ Number int }

func (e *XIDError) Error() string {
	return fmt.Sprintf("XID %d: 1 to %d, please", e.Number, MaxXID)
}
