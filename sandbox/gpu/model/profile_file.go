package model

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Architectures that NVML knows, as the label gpu.family has them.
var architectures = []string{"kepler", "maxwell", "pascal", "volta", "turing", "ampere", "ada-lovelace", "hopper", "blackwell"}

// ReadProfile reads a profile of one's own from YAML, whose fields are those
// of Profile.
func ReadProfile(r io.Reader) (Profile, error) {
	var p Profile
	d := yaml.NewDecoder(r)
	d.KnownFields(true)
	if err := d.Decode(&p); err != nil {
		return p, fmt.Errorf("read the GPU profile: %w", err)
	}
	return p, p.Check()
}

var (
	profileName = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
	capability  = regexp.MustCompile(`^\d{1,2}\.\d$`)
	driver      = regexp.MustCompile(`^\d{3}\.\d{2,3}(\.\d{2})?$`)
	cuda        = regexp.MustCompile(`^\d{1,2}\.\d$`)
)

// Check returns what is missing or cannot be in a profile of one's own, all of
// it.
func (p Profile) Check() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf("GPU profile %s: "+format, append([]any{p.Name}, args...)...))
		}
	}
	bad(!profileName.MatchString(p.Name), "name: lower-case letters, digits, dots and dashes between them, please")
	bad(p.Product == "" || len(p.Product) > 95, "product %q: 1 to 95 characters, please", p.Product)
	bad(p.MemoryMiB < 1024 || p.MemoryMiB > 1<<20, "memoryMiB %d: 1024 to %d, please", p.MemoryMiB, 1<<20)
	bad(p.ReservedKiB>>10 >= p.MemoryMiB, "reservedKiB %d: more than there is", p.ReservedKiB)
	bad(p.PowerLimit < 1 || p.MinPower < 1 || p.MinPower > p.PowerLimit || p.IdlePower < 0 || p.IdlePower > 1000*p.PowerLimit, "idlePower (mW), minPower and powerLimit (W): in this order, please")
	bad(p.MaxClock < p.IdleClock || p.IdleClock < 1 || p.MemoryClock < 1, "idleClock, maxClock and memoryClock (MHz) are missing, or out of order")
	bad(p.PCIeGen < 1 || p.PCIeGen > 7, "pcieGen %d: 1 to 7, please", p.PCIeGen)
	bad(p.NVLinkGroup < 0, "nvLinkGroup %d: not negative, please", p.NVLinkGroup)
	bad(!strings.Contains(","+strings.Join(architectures, ",")+",", ","+p.Architecture+","), "architecture %q: one of %s, please", p.Architecture, strings.Join(architectures, ", "))
	bad(!capability.MatchString(p.ComputeCap), "computeCap %q: such as 8.9, please", p.ComputeCap)
	bad(p.Driver != "" && !driver.MatchString(p.Driver), "driver %q: such as %s, please", p.Driver, DefaultDriver)
	bad(p.CUDA != "" && !cuda.MatchString(p.CUDA), "cuda %q: such as %s, please", p.CUDA, DefaultCUDA)
	return errors.Join(errs...)
}
