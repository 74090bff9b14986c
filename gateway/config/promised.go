package config

import (
	"slices"
	"strings"
)

// later lists the keys that are promised and that this version does not have.
// They are refused by name, since a key that does nothing is a lie. "*" stands
// for any name.
var later = []string{
	"buffer.durability", "buffer.flash_endurance",
	"uplink.*.data_plan", "uplink.*.commands",
	"web",
}

// promised reports whether a key path is one of those.
func promised(path []string) bool {
	return slices.ContainsFunc(later, func(pattern string) bool {
		return slices.EqualFunc(strings.Split(pattern, "."), path, func(p, key string) bool { return p == "*" || p == key })
	})
}
