package config

import (
	"testing"

	"github.com/gaugeway/gaugeway/drivers"
)

// TestProfilesPlayTheirExchanges binds every profile that the program brings,
// and decodes every exchange that it has written down: each tag must be in one.
func TestProfilesPlayTheirExchanges(t *testing.T) {
	all, errs := drivers.Profiles("")
	for _, err := range errs {
		t.Error(err)
	}
	if len(all) < 6 {
		t.Errorf("%d profiles", len(all))
	}
	for _, p := range all {
		t.Run(p.Name, func(t *testing.T) {
			device, faults := ProfileDevice(p)
			if len(faults) > 0 {
				t.Fatal(faults)
			}
			expected := make(map[string]bool)
			for name, x := range p.Exchanges {
				if err := p.Play(name, device); err != nil {
					t.Errorf("exchange %s: %v", name, err)
				}
				for tag := range x.Tags {
					expected[tag] = true
				}
			}
			for tag := range device.TagOptions() {
				if !expected[tag] {
					t.Errorf("tag %s is in no exchange", tag)
				}
			}
		})
	}
}
