//go:build cgo

package flash

/*
#ifdef HAVE_FDATASYNC
enum { fdatasyncBuild = HAVE_FDATASYNC };
#else
enum { fdatasyncBuild = 0 };
#endif
*/
import "C"

import sqlite3 "github.com/mattn/go-sqlite3"

// Build says how the SQLite in this program was compiled.
type Build struct {
	SQLite    string   // its version
	Fdatasync bool     // commits need one flush; false costs twice the wear, and is as safe
	Options   []string // PRAGMA compile_options
}

// ThisBuild reports how the SQLite in this program was compiled. SQLite does not
// list HAVE_FDATASYNC among its options; CGO_CFLAGS, the only way to set it,
// reach this package as well.
func ThisBuild() (Build, error) {
	b := Build{Fdatasync: C.fdatasyncBuild != 0}
	b.SQLite, _, _ = sqlite3.Version()
	c, err := connect(memoryName)
	if err != nil {
		return b, err
	}
	defer c.close()
	err = c.query("PRAGMA compile_options", func(r Row) error {
		b.Options = append(b.Options, r.Text(0))
		return nil
	})
	return b, err
}
