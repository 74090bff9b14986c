package broker

import "time"

// limits bound what clients may cost. They are constants in use; tests shrink them.
type limits struct {
	connections    int           // at once; beyond, the oldest that has not yet said CONNECT gives way
	unidentified   int           // of them, connections that have not yet said CONNECT
	connectTimeout time.Duration // from the first byte of the connection to a complete CONNECT
	connectBytes   int           // a CONNECT's largest size: who is it, that we should keep more?
	packetBytes    int           // any other packet's
	writeTimeout   time.Duration // for one write of at most writeBytes: a client that takes less than 2 KB/s is stuck

	sessions      int // persistent sessions that may be absent at once; beyond, the longest absent is forgotten
	subscriptions int // per session
	filterNodes   int // of the subscription tree

	window      int // messages of QoS 1 and 2 sent and not yet acknowledged, per session
	queued      int // messages that wait per session, for each of QoS 0 and above; beyond, the newest is dropped
	queuedBytes int // their cost per session
	totalBytes  int // their cost over all sessions
	unanswered  int // messages of one client whose acknowledgement waits for the disk; beyond, it is not read from

	receiveMaximum int // messages of QoS 1 and 2 that a client of MQTT 5 may have on their way to us
	aliases        int // topic aliases that it may use

	retained      int // retained messages of other clients; beyond, new topics are delivered but not kept
	retainedBytes int
}

// defaultLimits fit a box with 64 MB to spare and a hundred clients.
var defaultLimits = limits{
	connections:    2048,
	unidentified:   256,
	connectTimeout: 10 * time.Second,
	connectBytes:   64 << 10,
	packetBytes:    1 << 20,
	writeTimeout:   30 * time.Second,
	sessions:       1000,
	subscriptions:  1000,
	filterNodes:    100_000,
	window:         100,
	queued:         10_000,
	queuedBytes:    4 << 20,
	totalBytes:     32 << 20,
	unanswered:     1000,
	receiveMaximum: 1000,
	aliases:        32,
	retained:       20_000,
	retainedBytes:  16 << 20,
}

const (
	// batchBytes is about how much one write carries.
	batchBytes = 32 << 10
	// batchItems is how many messages are taken from a session at once.
	batchItems = 256
	// writeBytes is the most that one call of Write carries, so that its
	// deadline says something about the client also where messages are large.
	writeBytes = 64 << 10
	// maxControl is how many bytes of answers may wait for a client that sends
	// and does not read, before it is not read from.
	maxControl = 32 << 10
	// readBytes is how much is read at once.
	readBytes = 16 << 10
	// overhead is what a waiting message costs beside its topic and payload.
	overhead = 128
	// sweepCost is what a waiting retained message costs, which is kept anyway.
	sweepCost = 32
	// loginDelay is how long a wrong password is answered late.
	loginDelay = time.Second
	// goodByeTime is how long a connection that ends waits for the client to
	// take the last answers.
	goodByeTime = time.Second
	// sysInterval is how often the $SYS values are brought up to date.
	sysInterval = 10 * time.Second
	// reopenInterval is how often a listener that could not be opened is tried again.
	reopenInterval = 5 * time.Second
)
