// Package configs carries the device profiles into the program.
package configs

import "embed"

// Profiles are the files profiles/*.toml.
//
//go:embed profiles/*.toml
var Profiles embed.FS
