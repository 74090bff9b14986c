package buffer

import (
	"fmt"
	"hash/crc32"

	"github.com/gaugeway/gaugeway/gateway"
	"github.com/gaugeway/gaugeway/gateway/flash"
)

// tagTable knows the row of every tag that readings in the file have. Rows are
// found by content and never reused. The committer owns it; byRow is replaced
// under the store's lock, never changed below its length.
type tagTable struct {
	byPointer map[*gateway.Tag]int64
	byContent map[gateway.Tag]int64
	byRow     []*gateway.Tag // [0] is nil; so are rows that are damaged
}

func (s *Store) loadTags(tx *flash.Tx) error {
	old := s.tags
	t := tagTable{byPointer: map[*gateway.Tag]int64{}, byContent: map[gateway.Tag]int64{}, byRow: []*gateway.Tag{nil}}
	err := tx.Query("SELECT id,device,name,type,unit,scale,offset,crc FROM tag ORDER BY id", func(r flash.Row) error {
		id := r.Int(0)
		if id < 1 || id > 1<<24 {
			return nil
		}
		for int64(len(t.byRow)) <= id {
			t.byRow = append(t.byRow, nil)
		}
		tag, err := parseTag(r)
		if err != nil {
			s.log.Error("a tag in the buffer is damaged, and what was read of it", "row", id, "error", err)
			return nil
		}
		if row, ok := old.byContent[*tag]; ok {
			tag = old.byRow[row] // readings that were handed out share it
		} else if *tag == *gateway.Foreign {
			tag = gateway.Foreign
		}
		t.byRow[id], t.byContent[*tag] = tag, id
		return nil
	})
	s.mu.Lock()
	s.tags = t
	s.mu.Unlock()
	return err
}

func parseTag(r flash.Row) (*gateway.Tag, error) {
	tag := &gateway.Tag{Device: r.Text(1), Name: r.Text(2), Type: r.Text(3), Unit: r.Text(4)}
	if r.Int(7) != tagSum(r.Int(0), r.Text(1), r.Text(2), r.Text(3), r.Text(4), r.Text(5), r.Text(6)) {
		return nil, fmt.Errorf("wrong checksum")
	}
	if err := tag.Scale.UnmarshalText([]byte(r.Text(5))); err != nil {
		return nil, err
	}
	return tag, tag.Offset.UnmarshalText([]byte(r.Text(6)))
}

func tagSum(id int64, texts ...string) int64 {
	b := fmt.Appendf(nil, "%d", id)
	for _, t := range texts {
		b = append(append(b, 0), t...)
	}
	return int64(crc32.Checksum(b, castagnoli))
}

// tagRow returns the row of a tag, and makes it in this transaction if there is none.
func (s *Store) tagRow(tx *flash.Tx, tag *gateway.Tag) (int64, error) {
	if row, ok := s.tags.byPointer[tag]; ok {
		return row, nil
	}
	if tag == nil {
		tag = gateway.Foreign
	}
	row, ok := s.tags.byContent[*tag]
	if !ok {
		row = int64(len(s.tags.byRow))
		scale, offset := tag.Scale.String(), tag.Offset.String()
		err := tx.Exec("INSERT INTO tag(id,device,name,type,unit,scale,offset,crc) VALUES(?,?,?,?,?,?,?,?)",
			row, tag.Device, tag.Name, tag.Type, tag.Unit, scale, offset,
			tagSum(row, tag.Device, tag.Name, tag.Type, tag.Unit, scale, offset))
		if err != nil {
			return 0, err
		}
		s.mu.Lock()
		s.tags.byRow = append(s.tags.byRow, tag)
		s.mu.Unlock()
		s.tags.byContent[*tag] = row
	}
	if len(s.tags.byPointer) > 2*len(s.tags.byRow)+64 { // reloads made new pointers to the same tags
		clear(s.tags.byPointer)
	}
	s.tags.byPointer[tag] = row
	return row, nil
}
