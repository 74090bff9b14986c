//go:build cgo

package flash

import "errors"

// Tx is the file as one transaction, or one Read, sees it. It is valid until
// the callback it was given to returns.
type Tx struct {
	f        *File
	begun    bool
	readOnly bool
	last     bool
}

// Last reports whether this is the transaction before the file is closed, so
// that what may wait for company must not.
func (tx *Tx) Last() bool { return tx.last }

// Wrote reports whether anything was written in this transaction so far.
func (tx *Tx) Wrote() bool { return tx.begun }

// Exec writes. Statements are prepared once, so the text should be a constant.
// Arguments are int64, string, []byte or nil.
func (tx *Tx) Exec(query string, args ...any) error {
	if tx.readOnly {
		return errors.New("a read cannot write")
	}
	if err := tx.begin(); err != nil {
		return err
	}
	return tx.f.db.exec(query, args...)
}

// begin starts the transaction with its first row: when nobody has anything to
// write, there is none.
func (tx *Tx) begin() error {
	if tx.begun {
		return nil
	}
	if err := tx.f.fault(StepWrite); err != nil {
		return err
	}
	if err := tx.f.db.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	tx.begun = true
	return nil
}

// Query calls each for every row. An error of each ends the query and comes
// back; Stop ends it without one.
func (tx *Tx) Query(query string, each func(Row) error, args ...any) error {
	return tx.f.db.query(query, each, args...)
}

// Stop ends a Query early.
var Stop = errStop

// Space returns how many bytes of the file are in use, how many it has, and how
// many it may have.
func (tx *Tx) Space() (used, size, limit int64, err error) {
	var n [3]int64
	for i, q := range [...]string{"PRAGMA page_count", "PRAGMA freelist_count", "PRAGMA max_page_count"} {
		if n[i], err = tx.f.db.number(q); err != nil {
			return 0, 0, 0, err
		}
	}
	return (n[0] - n[1]) * pageSize, n[0] * pageSize, n[2] * pageSize, nil
}
