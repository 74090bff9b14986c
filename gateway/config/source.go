package config

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// source is one file as read.
type source struct {
	file  string
	text  string
	strip int // of a profile: its [device] stands for the first two keys of a path
}

// failer refuses every value; the error of the library tells the line.
type failer struct{}

func (failer) UnmarshalTOML(any) error { return errors.New("here") }

// line returns the line of the key, or of the nearest table above it, or 0. The
// library gives positions only with errors, so this makes one at the key.
func (s *source) line(path []string) int {
	if s.strip > 0 && len(path) >= s.strip {
		path = append([]string{path[0]}, path[s.strip:]...)
	}
	for ; len(path) > 0; path = path[:len(path)-1] {
		if n := s.lineOf(path); n > 0 {
			return n
		}
	}
	return 0
}

func (s *source) lineOf(path []string) int {
	var table map[string]toml.Primitive
	md, err := toml.Decode(s.text, &table)
	if err != nil {
		return 0
	}
	for i, key := range path {
		value, ok := table[key]
		if !ok {
			return 0
		}
		if i == len(path)-1 {
			var at toml.ParseError
			if errors.As(md.PrimitiveDecode(value, &failer{}), &at) {
				return at.Position.Line
			}
			return 0
		}
		table = nil
		if md.PrimitiveDecode(value, &table) != nil {
			return 0
		}
	}
	return 0
}

// document is the files of one configuration, merged.
type document struct {
	values  map[string]any
	origins map[string]*source // of each key path that holds a value, joined with NUL
	main    *source
	faults  Faults
}

func joined(path []string) string { return strings.Join(path, "\x00") }

// at returns the file that a key comes from.
func (d *document) at(path []string) *source {
	for ; len(path) > 0; path = path[:len(path)-1] {
		if s := d.origins[joined(path)]; s != nil {
			return s
		}
	}
	return d.main
}

// fault notes that the value at path is wrong.
func (d *document) fault(path []string, warning bool, format string, args ...any) {
	s := d.at(path)
	d.faults = append(d.faults, Fault{
		File: s.file, Line: s.line(path), Key: strings.Join(path, "."), Text: fmt.Sprintf(format, args...), Warning: warning,
	})
}

func newDocument(main *source) *document {
	return &document{values: make(map[string]any), origins: make(map[string]*source), main: main}
}

// read reads the files and what they include.
func read(files []string) *document {
	d := newDocument(&source{file: files[0]})
	for i, file := range files {
		s := d.add(file)
		if i == 0 && s != nil {
			d.main = s
		}
		if s != nil {
			d.include(s)
		}
	}
	return d
}

// add reads one file and merges it; it returns nil where that failed.
func (d *document) add(file string) *source {
	text, err := os.ReadFile(file)
	if err != nil {
		d.faults = append(d.faults, Fault{File: file, Text: unwrapPath(err)})
		return nil
	}
	return d.addText(file, string(text))
}

func (d *document) addText(file, text string) *source {
	s := &source{file: file, text: text}
	values := make(map[string]any)
	if _, err := toml.Decode(s.text, &values); err != nil {
		f := Fault{File: file, Text: err.Error()}
		var parse toml.ParseError
		if errors.As(err, &parse) {
			f.Line, f.Text = parse.Position.Line, parse.Message
		}
		d.faults = append(d.faults, f)
		return nil
	}
	d.merge(nil, d.values, values, s)
	return s
}

func unwrapPath(err error) string {
	var pathError *os.PathError
	if errors.As(err, &pathError) {
		return fmt.Sprintf("cannot be read: %v", pathError.Err)
	}
	return err.Error()
}

// include adds the files that s names, in the order of their names.
func (d *document) include(s *source) {
	patterns, given := d.values["include"]
	delete(d.values, "include")
	if !given {
		return
	}
	list, ok := patterns.([]any)
	if !ok {
		d.fault([]string{"include"}, false, `must be a list of files, like ["conf.d/*.toml"]`)
		return
	}
	for _, p := range list {
		pattern, ok := p.(string)
		if !ok {
			d.fault([]string{"include"}, false, "%v is not the name of a file", p)
			continue
		}
		if !filepath.IsAbs(pattern) {
			pattern = filepath.Join(filepath.Dir(s.file), pattern)
		}
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 && !strings.ContainsAny(pattern, "*?[") {
			d.fault([]string{"include"}, false, "%q names no file", pattern)
			continue
		}
		slices.Sort(files)
		for _, file := range files {
			if d.add(file); d.values["include"] != nil {
				d.fault([]string{"include"}, false, "only the first file may include others")
				delete(d.values, "include")
			}
		}
	}
}

// merge puts the values of a file into the document; a value given twice is a fault.
func (d *document) merge(path []string, into, from map[string]any, s *source) {
	for key, value := range from {
		here := append(slices.Clip(path), key)
		have, taken := into[key]
		haveTable, isTable := have.(map[string]any)
		table, wantTable := value.(map[string]any)
		switch {
		case wantTable && !taken:
			inner := make(map[string]any)
			into[key] = inner
			d.origins[joined(here)] = s
			d.merge(here, inner, table, s)
		case wantTable && isTable:
			d.merge(here, haveTable, table, s)
		case taken:
			first := d.at(here)
			d.faults = append(d.faults, Fault{
				File: s.file, Line: s.line(here), Key: strings.Join(here, "."),
				Text: fmt.Sprintf("is given in %s:%d already; give it once", first.file, first.line(here)),
			})
		default:
			into[key] = value
			d.origins[joined(here)] = s
		}
	}
}
