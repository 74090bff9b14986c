//go:build cgo

package flash

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"

	sqlite3 "github.com/mattn/go-sqlite3"
)

const memoryName = ":memory:"

// connection is one SQLite connection with its prepared statements. It belongs
// to one goroutine at a time. It goes round database/sql: there is nothing to pool.
type connection struct {
	conn       *sqlite3.SQLiteConn
	statements map[string]*sqlite3.SQLiteStmt
	args       []driver.NamedValue
}

// connect opens a file with the two settings that must come before anything
// touches it: EXCLUSIVE before WAL leaves no -shm file, and without FULL go-sqlite3
// compiles in NORMAL, which gives committed rows back to a power cut.
func connect(path string) (*connection, error) {
	name := memoryName
	if path != memoryName {
		name = (&url.URL{Scheme: "file", OmitHost: true, Path: path}).String()
	}
	c, err := (&sqlite3.SQLiteDriver{}).Open(name + "?_locking_mode=EXCLUSIVE&_synchronous=FULL&_busy_timeout=2000")
	if err != nil {
		return nil, err
	}
	return &connection{conn: c.(*sqlite3.SQLiteConn), statements: map[string]*sqlite3.SQLiteStmt{}}, nil
}

func (c *connection) close() error {
	for _, s := range c.statements {
		s.Close()
	}
	return c.conn.Close()
}

func (c *connection) prepare(query string) (*sqlite3.SQLiteStmt, error) {
	if s := c.statements[query]; s != nil {
		return s, nil
	}
	s, err := c.conn.Prepare(query)
	if err != nil {
		return nil, err
	}
	c.statements[query] = s.(*sqlite3.SQLiteStmt)
	return c.statements[query], nil
}

func (c *connection) bind(args []any) []driver.NamedValue {
	c.args = c.args[:0]
	for i, a := range args {
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: a})
	}
	return c.args
}

func (c *connection) exec(query string, args ...any) error {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	_, err = s.ExecContext(context.Background(), c.bind(args))
	clear(c.args) // a blob must not live on in here
	return err
}

func (c *connection) query(query string, each func(Row) error, args ...any) error {
	s, err := c.prepare(query)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(context.Background(), c.bind(args))
	clear(c.args)
	if err != nil {
		return err
	}
	row := make(Row, len(rows.Columns()))
	for {
		if err = rows.Next(row); err != nil {
			break
		}
		if err = each(row); err != nil {
			break
		}
	}
	if errors.Is(err, io.EOF) || errors.Is(err, errStop) {
		err = nil
	}
	return errors.Join(err, rows.Close())
}

// pragma sets one setting and reads it back: a PRAGMA that SQLite does not take
// is not an error to it.
func (c *connection) pragma(name, value, want string) error {
	if value != "" {
		if err := c.query("PRAGMA "+name+"="+value, func(Row) error { return nil }); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	got, err := c.text("PRAGMA " + name)
	if err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	if got != want {
		return &pragmaError{name, got, want}
	}
	return nil
}

type pragmaError struct{ name, got, want string }

func (e *pragmaError) Error() string {
	return fmt.Sprintf("SQLite has %s=%s, but needs %s", e.name, e.got, e.want)
}

// text returns the first column of the first row, as text.
func (c *connection) text(query string) (string, error) {
	var s string
	err := c.query(query, func(r Row) error {
		if s = r.Text(0); s == "" {
			s = strconv.FormatInt(r.Int(0), 10)
		}
		return errStop
	})
	return s, err
}

func (c *connection) number(query string) (int64, error) {
	var n int64
	err := c.query(query, func(r Row) error { n = r.Int(0); return errStop })
	return n, err
}

var errStop = errors.New("stop")

// Row is one row of a result. It is valid until the callback returns; blobs and
// texts taken from it stay. A column of another type than asked for, which only
// a damaged file holds, is zero.
type Row []driver.Value

// Int returns a column as an integer.
func (r Row) Int(i int) int64 { n, _ := r[i].(int64); return n }

// Text returns a column as text.
func (r Row) Text(i int) string { s, _ := r[i].(string); return s }

// Blob returns a column as bytes. The caller may keep them.
func (r Row) Blob(i int) []byte { b, _ := r[i].([]byte); return b }
