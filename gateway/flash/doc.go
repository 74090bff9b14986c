// Package flash keeps the gateway's one SQLite file, for cheap flash memory:
// one file, one connection, one goroutine that commits everybody's rows.
//
//	participants ──Wake──► Run: Write … Write, COMMIT + fdatasync ──Settled──► participants
//	             ──Read──►      between two commits
//
// The price of a commit hardly depends on what is in it, so that everything
// that has to be on disk waits a little for the others. What must survive
// together (a forwarded message and the id it came with) shares a transaction.
//
// The file always opens: one that is damaged, or of a newer version, is moved
// aside and a new one takes its place; see Open.
package flash
