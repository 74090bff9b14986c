package config

import (
	"encoding"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/gaugeway/gaugeway/gateway"
)

// defaulter is what an entry of a table of tables can be, to begin with its defaults.
type defaulter interface{ SetDefaults() }

// bind puts a TOML value into a Go value, by the `toml` tags of structs. It
// goes on after a fault, so that all are found at once.
func (d *document) bind(path []string, value any, into reflect.Value) {
	if text, ok := value.(string); ok {
		expanded, whole := d.expand(path, text)
		value = expanded
		if whole {
			value = literal(expanded, into.Type())
		}
	}
	if into.Kind() == reflect.Pointer {
		into.Set(reflect.New(into.Type().Elem()))
		d.bind(path, value, into.Elem())
		return
	}
	if d.bindSpecial(path, value, into) {
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		d.bindStruct(path, value, into)
	case reflect.Map:
		d.bindMap(path, value, into)
	case reflect.Slice:
		d.bindSlice(path, value, into)
	case reflect.Interface:
		into.Set(reflect.ValueOf(value))
	default:
		d.bindScalar(path, value, into)
	}
}

// bindSpecial handles the types that have a notation of their own.
func (d *document) bindSpecial(path []string, value any, into reflect.Value) bool {
	switch target := into.Addr().Interface().(type) {
	case *time.Duration:
		text, ok := value.(string)
		duration, err := ParseDuration(text)
		if !ok || err != nil {
			d.fault(path, false, `%s is not a duration; write it like "5s", "15m" or "7d"`, show(value))
			*target = time.Second // it was given: nobody shall call it missing as well
			return true
		}
		*target = duration
	case *gateway.Decimal:
		number, err := gateway.ParseDecimal(strings.Trim(show(value), `"`))
		if err != nil {
			d.fault(path, false, "%s is not a decimal number", show(value))
			return true
		}
		*target = number
	case encoding.TextUnmarshaler:
		if number, is := value.(int64); is {
			if target, takes := target.(interface{ SetNumber(int64) }); takes {
				target.SetNumber(number)
				return true
			}
		}
		text, ok := value.(string)
		if !ok {
			d.fault(path, false, "%s must be written in quotes", show(value))
		} else if err := target.UnmarshalText([]byte(text)); err != nil {
			d.fault(path, false, "%v", err)
		}
	default:
		return false
	}
	return true
}

func (d *document) bindScalar(path []string, value any, into reflect.Value) {
	switch v := value.(type) {
	case string:
		if into.Kind() == reflect.String {
			into.SetString(v)
			return
		}
	case bool:
		if into.Kind() == reflect.Bool {
			into.SetBool(v)
			return
		}
	case int64:
		if into.CanInt() && !into.OverflowInt(v) {
			into.SetInt(v)
			return
		}
		if into.CanUint() && v >= 0 && !into.OverflowUint(uint64(v)) {
			into.SetUint(uint64(v))
			return
		}
		if into.CanFloat() {
			into.SetFloat(float64(v))
			return
		}
	case float64:
		if into.CanFloat() {
			into.SetFloat(v)
			return
		}
	}
	d.fault(path, false, "%s is not %s", show(value), kindName(into.Kind()))
}

func kindName(k reflect.Kind) string {
	switch k {
	case reflect.String:
		return "a text; write it in quotes"
	case reflect.Bool:
		return "true or false"
	case reflect.Float32, reflect.Float64:
		return "a number"
	default:
		return "a whole number in range"
	}
}

// show writes a value as it stands in the file, more or less.
func show(value any) string {
	switch v := value.(type) {
	case string:
		return strconv.Quote(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case map[string]any:
		return "a table"
	case []any, []map[string]any:
		return "a list"
	default:
		return fmt.Sprint(v)
	}
}

func (d *document) bindStruct(path []string, value any, into reflect.Value) {
	table, ok := value.(map[string]any)
	if !ok {
		d.fault(path, false, "%s is not a table", show(value))
		return
	}
	fields := make(map[string]reflect.Value)
	collect(into, fields)
	for _, key := range sortedKeys(table) {
		here := append(slices.Clip(path), key)
		if field, known := fields[key]; known {
			d.bind(here, table[key], field)
			continue
		}
		d.unknown(here, fields)
	}
}

// unknown refuses a key, with the one that was probably meant.
func (d *document) unknown(path []string, fields map[string]reflect.Value) {
	key := path[len(path)-1]
	if promised(path) {
		d.fault(path, false, "is not in this version")
		return
	}
	if near := gateway.Nearest(key, sortedKeys(fields)); near != "" {
		d.fault(path, false, "is not a key; did you mean %q?", near)
		return
	}
	d.fault(path, false, "is not a key; known here are %s", strings.Join(sortedKeys(fields), ", "))
}

// collect finds the fields of a struct by their toml tags, those of embedded structs too.
func collect(s reflect.Value, fields map[string]reflect.Value) {
	for i := range s.NumField() {
		field := s.Type().Field(i)
		switch tag := field.Tag.Get("toml"); {
		case tag == ",inline": // a pointer in an interface
			collect(s.Field(i).Elem().Elem(), fields)
		case tag != "" && tag != "-":
			fields[tag] = s.Field(i)
		case field.Anonymous && tag == "":
			collect(s.Field(i), fields)
		}
	}
}

func (d *document) bindMap(path []string, value any, into reflect.Value) {
	table, ok := value.(map[string]any)
	if !ok {
		d.fault(path, false, "%s is not a table of named tables; write [%s.NAME]", show(value), strings.Join(path, "."))
		return
	}
	// A new map, so that entries which are defaults give way to what is written.
	into.Set(reflect.MakeMap(into.Type()))
	for _, key := range sortedKeys(table) {
		here := append(slices.Clip(path), key)
		if err := gateway.ValidName(key); err != nil {
			d.fault(here, false, "%v", err)
			continue
		}
		entry := reflect.New(into.Type().Elem())
		if with, ok := entry.Interface().(defaulter); ok {
			with.SetDefaults()
		}
		d.bind(here, table[key], entry.Elem())
		into.SetMapIndex(reflect.ValueOf(key), entry.Elem())
	}
}

func (d *document) bindSlice(path []string, value any, into reflect.Value) {
	list, ok := value.([]any)
	if !ok {
		d.fault(path, false, "%s is not a list; write it in brackets", show(value))
		return
	}
	out := reflect.MakeSlice(into.Type(), len(list), len(list))
	for i, element := range list {
		d.bind(path, element, out.Index(i))
	}
	into.Set(out)
}

func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}`)

// expand replaces ${NAME} and ${NAME:-default}; whole says that nothing else
// was in the text.
func (d *document) expand(path []string, text string) (expanded string, whole bool) {
	if !strings.Contains(text, "${") {
		return text, false
	}
	expanded = variable.ReplaceAllStringFunc(text, func(match string) string {
		parts := variable.FindStringSubmatch(match)
		if value, set := os.LookupEnv(parts[1]); set {
			return value
		}
		if parts[2] == "" {
			d.fault(path, true, "the environment variable %s is not set; write ${%s:-default} where it may be missing", parts[1], parts[1])
		}
		return parts[3]
	})
	return expanded, variable.FindString(text) == text
}

// literal lets a variable stand for a number or a bool as well.
func literal(text string, into reflect.Type) any {
	switch into.Kind() {
	case reflect.Bool:
		if b, err := strconv.ParseBool(text); err == nil {
			return b
		}
	case reflect.Int, reflect.Int64, reflect.Uint16, reflect.Uint32:
		if n, err := strconv.ParseInt(text, 0, 64); err == nil && into != reflect.TypeFor[time.Duration]() && into != reflect.TypeFor[gateway.Size]() {
			return n
		}
	case reflect.Float64:
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return f
		}
	}
	return text
}

// ParseDuration reads "5s", "1h30m" and, beyond Go, days: "7d".
func ParseDuration(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		n, err := strconv.ParseFloat(days, 64)
		if err != nil || n < 0 || n > 36500 {
			return 0, fmt.Errorf("%q is not a duration", text)
		}
		return time.Duration(n * 24 * float64(time.Hour)), nil
	}
	duration, err := time.ParseDuration(text)
	if err != nil || duration < 0 {
		return 0, fmt.Errorf("%q is not a duration", text)
	}
	return duration, nil
}
