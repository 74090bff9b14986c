package broker

// ring is a first-in first-out queue. The zero value is empty and has no memory.
type ring[T any] struct {
	buf  []T // its length is 0 or a power of two
	head int
	n    int
}

// keepRing is the most slots an empty ring keeps.
const keepRing = 32

func (r *ring[T]) len() int { return r.n }

// at returns the i-th oldest.
func (r *ring[T]) at(i int) *T { return &r.buf[(r.head+i)&(len(r.buf)-1)] }

func (r *ring[T]) push(v T) {
	if r.n == len(r.buf) {
		grown := make([]T, max(4, 2*len(r.buf)))
		k := copy(grown, r.buf[r.head:])
		copy(grown[k:], r.buf[:r.head])
		r.buf, r.head = grown, 0
	}
	r.n++
	*r.at(r.n - 1) = v
}

// pop takes the oldest out; there must be one.
func (r *ring[T]) pop() T {
	slot := &r.buf[r.head]
	v := *slot
	var zero T
	*slot = zero
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	if r.n == 0 {
		r.head = 0
		if len(r.buf) > keepRing {
			r.buf = nil
		}
	}
	return v
}

// remove takes the i-th oldest out. It costs i moves, so it is cheap for what
// is acknowledged in order.
func (r *ring[T]) remove(i int) {
	for ; i > 0; i-- {
		*r.at(i) = *r.at(i - 1)
	}
	r.pop()
}

func (r *ring[T]) reset() { *r = ring[T]{} }
