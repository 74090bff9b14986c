package text

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"

	"github.com/gaugeway/gaugeway/gateway"
)

// TestGrammar loads every block of GRAMMAR.md.
func TestGrammar(t *testing.T) {
	page, err := os.ReadFile("GRAMMAR.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllStringSubmatch(string(page), -1)
	if len(blocks) < 8 {
		t.Fatalf("%d blocks", len(blocks))
	}
	for i, b := range blocks {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			var c struct {
				Line   map[string]map[string]any `toml:"line"`
				Device map[string]struct {
					Line string `toml:"line"`
					DeviceOptions
				} `toml:"device"`
			}
			md, err := toml.Decode(b[1], &c)
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range md.Undecoded() {
				if key[0] != "line" {
					t.Errorf("%s is not a key", key)
				}
			}
			for name, d := range c.Device {
				o := d.DeviceOptions
				if o.Address == "" {
					o.Address = "1"
				}
				if f := o.Validate(); len(f) > 0 {
					t.Errorf("%s: %v", name, f)
				}
			}
		})
	}
	keys := append(tomlKeys(reflect.TypeFor[DeviceOptions]()), tomlKeys(reflect.TypeFor[LineOptions]())...)
	for _, k := range slices.Concat(kindNames(), typeNames(), ranges, keys) {
		if !strings.Contains(string(page), k) {
			t.Errorf("%s is not explained", k)
		}
	}
}

// tomlKeys returns the keys of a struct and of the tables below it, without those
// that every tag has.
func tomlKeys(t reflect.Type) (keys []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Map || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || t == reflect.TypeFor[gateway.TagOptions]() {
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if key := f.Tag.Get("toml"); key != "" {
			keys = append(keys, key)
		}
		keys = append(keys, tomlKeys(f.Type)...)
	}
	return keys
}
