package buffer

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gaugeway/gaugeway/gateway"
)

// extent is what the file holds of one class of one epoch. A class's seqs go
// from 1 to high; what is before first was dropped.
type extent struct {
	first gateway.Seq // of the oldest row; high+1 when there is none
	high  gateway.Seq // the last that is committed; 0 for none
}

// epoch is one life of the buffer. An old one stays in the file as long as
// there are readings of it.
type epoch struct {
	row   int64
	id    gateway.Epoch
	class [gateway.Classes]extent
}

const (
	seqBits      = 44 // 500 years at 1000 readings a second
	maxSeq       = 1<<seqBits - 1
	maxEpochRows = 1 << (62 - seqBits)
)

// rowID is where a segment rests: FIFO within an epoch, later epochs behind.
// Each class has its own table, so that a new row is always the last of its
// table: SQLite then adds a page and rewrites none of its neighbours.
func rowID(epochRow int64, first gateway.Seq) int64 { return epochRow<<seqBits | int64(first) }

func seqOf(id int64) gateway.Seq { return gateway.Seq(id & maxSeq) }

func newEpoch() gateway.Epoch {
	var b [8]byte
	for {
		rand.Read(b[:])
		if e := binary.BigEndian.Uint64(b[:]); e != 0 {
			return gateway.Epoch(e)
		}
	}
}

// copyFile is the copy of the epoch outside the database. A database that is
// behind it was replaced by an older one: its seqs were used already.
const copyFile = "epoch.json"

type epochCopy struct {
	Epoch string                 `json:"epoch"`
	Seq   map[string]gateway.Seq `json:"seq"` // at least so many were used, by class
}

func readEpochCopy(dir string) (c epochCopy, id gateway.Epoch, err error) {
	b, err := os.ReadFile(filepath.Join(dir, copyFile))
	if err != nil {
		return c, 0, err
	}
	if err = json.Unmarshal(b, &c); err != nil {
		return c, 0, err
	}
	id, err = gateway.ParseEpoch(c.Epoch)
	return c, id, err
}

// writeEpochCopy replaces the copy in one step that survives a power cut.
func writeEpochCopy(dir string, e epoch) error {
	c := epochCopy{Epoch: e.id.String(), Seq: map[string]gateway.Seq{}}
	for class := range e.class {
		c.Seq[gateway.Class(class).String()] = e.class[class].high
	}
	b, err := json.Marshal(c)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, copyFile)
	if have, err := os.ReadFile(path); err == nil && bytes.Equal(have, b) {
		return nil
	}
	return replaceFile(path, b)
}

func replaceFile(path string, b []byte) error {
	f, err := os.OpenFile(path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// behind says why the newest epoch in the file must not be used further, or "".
func (c epochCopy) behind(id gateway.Epoch, epochs []*epoch) string {
	for i, e := range epochs {
		if e.id != id {
			continue
		}
		if i < len(epochs)-1 {
			return "" // the copy is one epoch late: the power went before it was written
		}
		for class, x := range e.class {
			name := gateway.Class(class).String()
			if used := c.Seq[name]; x.high < used {
				return fmt.Sprintf("the file ends at %s reading %d, but %d were used: it is an older copy", name, x.high, used)
			}
		}
		return ""
	}
	return "the file belongs to another life of the buffer"
}
