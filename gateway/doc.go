// Package gateway holds the words of the field that every other package speaks:
// tags, readings, batches, gaps, and the few interfaces through which a reading
// travels from a line to a server.
//
//	drivers ─► broker ─► Tap ─► Store ─► Ship ─► Uplink
//	 (a line)  (the site)       (the disk)       (a server)
//
// It imports the standard library only, so that every package may import it.
package gateway
