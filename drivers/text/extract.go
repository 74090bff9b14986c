package text

import (
	"bytes"
	"regexp"
)

// catch is what the replies of one poll said: the last one whole, and the texts
// of their fields. It is used again for the next poll, and keeps its memory.
type catch struct {
	says   []byte // of the last frame
	fields []field
	text   []byte // of all fields
	groups []int  // scratch
}

// field is a named text; it stands in catch.text.
type field struct {
	name     string
	from, to int
}

// maxFields bounds how much a reply can make us keep.
const maxFields = 256

func (c *catch) reset() {
	c.says, c.fields, c.text = c.says[:0], c.fields[:0], c.text[:0]
}

func (c *catch) add(name string, text []byte) {
	if len(c.fields) == maxFields {
		return
	}
	from := len(c.text)
	c.text = append(c.text, text...)
	c.fields = append(c.fields, field{name, from, len(c.text)})
}

// field returns the text of a field; "" is the whole reply. The last one counts
// where steps have the same.
func (c *catch) field(name string) (text []byte, ok bool) {
	if name == "" {
		return c.says, true
	}
	for i := len(c.fields) - 1; i >= 0; i-- {
		if f := c.fields[i]; f.name == name {
			return c.text[f.from:f.to], true
		}
	}
	return nil, false
}

// take keeps a reply that the pattern matches, and reports whether it does. With
// no pattern everything matches.
func (c *catch) take(pattern *regexp.Regexp, says []byte) bool {
	if pattern == nil {
		c.says = append(c.says[:0], says...)
		return true
	}
	high := bytes.ContainsFunc(says, func(r rune) bool { return r >= 0x80 })
	seen := says
	if high {
		seen = []byte(latin1(says))
	}
	m := pattern.FindSubmatchIndex(seen)
	if m == nil {
		return false
	}
	c.says = append(c.says[:0], says...)
	for i, name := range pattern.SubexpNames() {
		if name == "" || m[2*i] < 0 {
			continue
		}
		text := seen[m[2*i]:m[2*i+1]]
		if high {
			text = bytesOf(text)
		}
		c.add(name, text)
	}
	return true
}

// bytesOf is the way back from latin1.
func bytesOf(s []byte) []byte {
	var out []byte
	for _, r := range string(s) {
		out = append(out, byte(r))
	}
	return out
}

// parting is how a reply is parted. Exactly one of its ways is used.
type parting struct {
	way       way
	field     string
	separator []byte
	equals    []byte
	skip      int
	width     int
	size      int
	key       []int
	value     int
	unit      int // -1 for none
}

type way byte

const (
	byField way = iota
	bySplit
	byColumns
	byPairs
	byGroups
)

// place is where a text stands. index counts from 0.
type place struct {
	field string
	index int
	key   string
}

// find returns the text at a place, and the unit that stands beside it where the
// reply has one.
func (p *parting) find(c *catch, at place) (text, unit []byte, ok bool) {
	if p.way == byField || at.field != "" {
		text, ok = c.field(at.field)
		return text, nil, ok
	}
	body, ok := c.field(p.field)
	if !ok {
		return nil, nil, false
	}
	switch p.way {
	case bySplit:
		text, ok = nth(body, p.separator, at.index)
	case byColumns:
		text, ok = p.column(body, at.index)
	case byPairs:
		text, ok = p.pair(body, at.key)
	default:
		return p.group(body, at.key)
	}
	return text, nil, ok
}

// nth returns the part at an index.
func nth(b, separator []byte, index int) ([]byte, bool) {
	for ; index >= 0; index-- {
		part, rest, more := bytes.Cut(b, separator)
		if index == 0 {
			return part, true
		}
		if !more {
			return nil, false
		}
		b = rest
	}
	return nil, false
}

// column returns a piece, which must be whole: a reply that was cut off has none.
func (p *parting) column(b []byte, index int) ([]byte, bool) {
	from := p.skip + index*p.width
	if from+p.width > len(b) {
		return nil, false
	}
	return b[from : from+p.width], true
}

func (p *parting) pair(b []byte, key string) ([]byte, bool) {
	for len(b) > 0 {
		part, rest, _ := bytes.Cut(b, p.separator)
		name, value, ok := bytes.Cut(part, p.equals)
		if ok && string(trim(name)) == key {
			return value, true
		}
		b = rest
	}
	return nil, false
}

// group returns value and unit of the group with a key.
func (p *parting) group(b []byte, key string) (value, unit []byte, ok bool) {
	for from := 0; len(b) > 0 && from < maxFields; from++ {
		end := skipParts(b, p.separator, p.size)
		if p.hasKey(b[:end], key) {
			if value, ok = nth(b[:end], p.separator, p.value); ok && p.unit >= 0 {
				unit, ok = nth(b[:end], p.separator, p.unit)
			}
			return value, unit, ok
		}
		b = bytes.TrimPrefix(b[end:], p.separator)
	}
	return nil, nil, false
}

// skipParts returns where so many parts end.
func skipParts(b, separator []byte, n int) int {
	at := 0
	for i := range n {
		next := bytes.Index(b[at:], separator)
		if next < 0 {
			return len(b)
		}
		at += next
		if i < n-1 {
			at += len(separator)
		}
	}
	return at
}

// hasKey compares the parts that are the key, joined by commas.
func (p *parting) hasKey(group []byte, key string) bool {
	for i, at := range p.key {
		part, ok := nth(group, p.separator, at)
		if !ok || len(key) < len(part) || key[:len(part)] != string(part) {
			return false
		}
		key = key[len(part):]
		if i < len(p.key)-1 {
			if len(key) == 0 || key[0] != ',' {
				return false
			}
			key = key[1:]
		}
	}
	return key == ""
}
