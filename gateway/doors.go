package gateway

import (
	"context"
	"errors"
	"io"
	"time"
)

// Line is an open port or connection. One goroutine owns it.
//
// Read returns os.ErrDeadlineExceeded at the deadline. Any other error means
// that the line is gone: Close it and open another.
type Line interface {
	io.ReadWriteCloser
	SetReadDeadline(time.Time) error
	Discard() error          // throws away what has arrived and nobody asked for
	CharTime() time.Duration // of one character; 0 where there is no wire to wait for
}

// Sink takes readings. Append never blocks for long and keeps nothing of rs
// after it returns. done, which may be nil, is called once, in the order of the
// calls, when the readings are on disk (nil) or refused (why); it must not block.
type Sink interface {
	Append(rs []Reading, done func(error))
}

// Driver speaks one protocol on one line: it opens, owns and closes it, until
// ctx ends. It survives the line: a lost port is opened again.
type Driver interface {
	Run(ctx context.Context, open func(context.Context) (Line, error), publish Sink) error
}

// ErrNothing is what Store.Next returns when Want.Wait is false and nothing
// of what is wanted is there.
var ErrNothing = errors.New("nothing to send")

// Want says what an uplink can take now.
type Want struct {
	Classes     ClassSet // which classes; the most urgent comes first
	MaxReadings int      // at most so many in one batch
	MaxBytes    int      // and about so many bytes as they rest on disk
	Wait        bool     // block until there is something
}

// ClassSet is a set of classes.
type ClassSet uint8

// The sets that are asked for.
const (
	OnlyAlarms ClassSet = 1 << Alarm
	AllClasses ClassSet = 1<<Alarm | 1<<Normal | 1<<Bulk
)

// Has reports whether c is in the set.
func (s ClassSet) Has(c Class) bool { return s&(1<<c) != 0 }

// Store keeps readings until every uplink has delivered them. What Next
// returns is committed: no power cut takes it back. It returns the same
// readings again until they are acknowledged. Acknowledged ranges merge.
type Store interface {
	Sink
	Next(ctx context.Context, uplink string, want Want) (Batch, error)
	Ack(ctx context.Context, uplink string, epoch Epoch, class Class, from, to Seq) error
}

// Uplink delivers one batch to a remote server. nil means that the far side has
// acknowledged it. It blocks while the link is down, until ctx ends.
type Uplink interface {
	Send(ctx context.Context, b Batch) error
}

// Tap is where the on-box broker hands over what may have to leave the site:
// every own reading, and those messages of other clients that it wants.
type Tap interface {
	Sink
	// Wants reports whether a message of another client on this topic goes up.
	Wants(topic string) bool
}
