package config

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/gaugeway/gaugeway/drivers"
)

// TestBuiltInProfiles has every profile make a device without a fault, and every
// exchange that it has written down read what it says.
func TestBuiltInProfiles(t *testing.T) {
	all, errs := drivers.Profiles("")
	if len(errs) > 0 || len(all) < 16 {
		t.Fatalf("%d profiles, %v", len(all), errs)
	}
	for _, p := range all {
		t.Run(p.Name, func(t *testing.T) {
			device, faults := ProfileDevice(p)
			for _, f := range faults {
				t.Error(f)
			}
			if len(faults) > 0 {
				return
			}
			if !strings.HasPrefix(p.Head.Source, "http") || p.Head.Notes == "" {
				t.Error("a built-in profile says where it is from, and what to know of it")
			}
			if len(p.Exchanges) == 0 {
				t.Error("it has no exchange")
			}
			for _, name := range slices.Sorted(maps.Keys(p.Exchanges)) {
				if err := p.Play(name, device); err != nil {
					t.Errorf("exchange %s: %v", name, err)
				}
			}
		})
	}
}

// FuzzProfile has anything be a profile, and a device of it.
func FuzzProfile(f *testing.F) {
	all, _ := drivers.Profiles("")
	for _, p := range all {
		f.Add(p.Text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := drivers.ParseProfile("x.toml", text)
		if err != nil {
			return
		}
		device, faults := ProfileDevice(p)
		for name := range p.Exchanges {
			if !faults.Fatal() {
				_ = p.Play(name, device) // it may be wrong, and must not break
			}
		}
	})
}
