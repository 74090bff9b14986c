package receive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gaugeway/gaugeway/gateway/codec"
)

// Output takes records for good. When Write returns nil they are as safe as
// this output can make them, and the server may be told.
type Output interface {
	Write(records []codec.Record) error
	Close() error
}

// streamOutput writes NDJSON to w, each record at least once: what was written and
// not yet acknowledged when the receiver dies comes again.
type streamOutput struct {
	w    io.Writer
	seen Seen
}

// NewStream returns an output that writes NDJSON to w and drops what came twice
// since it was made.
func NewStream(w io.Writer) Output { return &streamOutput{w: w, seen: make(Seen)} }

func (o *streamOutput) Write(records []codec.Record) error {
	text, err := lines(o.seen.New(records))
	if err != nil {
		return err
	}
	_, err = o.w.Write(text)
	return err
}

func (o *streamOutput) Close() error { return nil }

func lines(records []codec.Record) ([]byte, error) {
	var text []byte
	var err error
	for _, r := range records {
		if text, err = r.AppendLine(text); err != nil {
			return nil, err
		}
	}
	return text, nil
}

// fileOutput appends NDJSON to a file, each record exactly once: the state says
// how long the file was when it was written, and what is in it. What a crash
// left behind that length is cut off, and comes again from the server.
type fileOutput struct {
	file  *os.File
	path  string // of the state; "" for none
	state fileState
}

type fileState struct {
	Length int64
	Seen   Seen
}

// NewFile returns an output that appends to the file at path. With a state file
// each record is written exactly once, whatever fails; without one, what came
// twice since the start is dropped.
func NewFile(path, state string) (Output, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	o := &fileOutput{file: file, path: state, state: fileState{Seen: make(Seen)}}
	if err := o.recover(); err != nil {
		file.Close()
		return nil, err
	}
	return o, nil
}

func (o *fileOutput) recover() error {
	end, err := o.file.Seek(0, io.SeekEnd)
	if err != nil {
		return err
	}
	o.state.Length = end
	if o.path == "" {
		return nil
	}
	text, err := os.ReadFile(o.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("read the state: %w", err)
	}
	if err := json.Unmarshal(text, &o.state); err != nil {
		return fmt.Errorf("read the state %s: %w; move it away to begin anew", o.path, err)
	}
	if o.state.Length > end {
		return fmt.Errorf("the state %s says that %s has %d bytes, it has %d; they do not belong together, move one away", o.path, o.file.Name(), o.state.Length, end)
	}
	if err := o.file.Truncate(o.state.Length); err != nil {
		return err
	}
	_, err = o.file.Seek(o.state.Length, io.SeekStart)
	return err
}

func (o *fileOutput) Write(records []codec.Record) error {
	fresh := o.state.Seen.New(records)
	if len(fresh) == 0 {
		return nil
	}
	text, err := lines(fresh)
	if err != nil {
		return err
	}
	if _, err := o.file.Write(text); err != nil {
		return err
	}
	if err := o.file.Sync(); err != nil {
		return err
	}
	o.state.Length += int64(len(text))
	if o.path == "" {
		return nil
	}
	return o.saveState()
}

// saveState replaces the state file whole: a crash leaves the old or the new one.
func (o *fileOutput) saveState() error {
	text, err := json.Marshal(o.state)
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(o.path), filepath.Base(o.path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) // fails once it has its name
	_, err = tmp.Write(text)
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), o.path); err != nil {
		return err
	}
	return syncDirectory(filepath.Dir(o.path))
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (o *fileOutput) Close() error { return o.file.Close() }

// MarshalText makes a Stream a key of a JSON object.
func (s Stream) MarshalText() ([]byte, error) {
	return []byte(s.Site + "/" + s.Epoch + "/" + s.Class), nil
}

// UnmarshalText reads what MarshalText writes.
func (s *Stream) UnmarshalText(text []byte) error {
	parts := strings.Split(string(text), "/")
	if len(parts) != 3 {
		return fmt.Errorf("%q is no site/epoch/class", text)
	}
	*s = Stream{parts[0], parts[1], parts[2]}
	return nil
}
