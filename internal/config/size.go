package config

import (
	"fmt"
	"math"
	"strconv"

	"github.com/dustin/go-humanize"
)

// Size is a number of bytes.
type Size int64

// ParseSize reads a number with a unit, for instance 10MiB, 512 kB or 4096.
func ParseSize(text string) (Size, error) {
	bytes, err := humanize.ParseBytes(text)
	if err != nil || bytes > math.MaxInt64 {
		return 0, fmt.Errorf("%q is not a size: want a number and a unit, for instance 10MiB", text)
	}
	return Size(bytes), nil
}

// String returns the size exactly, in the largest unit that divides it.
func (s Size) String() string {
	units := []string{"", "KiB", "MiB", "GiB", "TiB"}
	unit := 0
	for s != 0 && s%1024 == 0 && unit < len(units)-1 {
		s /= 1024
		unit++
	}
	return strconv.FormatInt(int64(s), 10) + units[unit]
}
