// Package buffer keeps readings on flash until every uplink has delivered them,
// and as local history after that.
//
//	Append ─► queue ─► Write: seqs, segments, gaps, acks ─► COMMIT ─► done
//	                                                          │
//	                    Next ◄── read between two commits ◄───┘
//	                    Ack  ──► ranges in memory ──► ride on the next commit
//
// Is: dense sequence numbers per class and epoch, given once and never again;
// only committed readings handed out; everything given up covered by a gap
// record for each uplink that did not have it; bounded on disk and in memory.
//
// Is not: a queue that forgets what was read (readings stay until there is no
// room), a database to ask (only ranges of sequence numbers), or a promise
// about readings younger than the last commit.
package buffer
