package demo

import "time"

// scene is one thing that happens in the demonstration.
type scene struct {
	at   float64 // share of the whole
	name string  // what is told
	play func(*stage)
}

// script is what happens, in order.
var script = []scene{
	{0.00, "Four instruments on two lines answer; every reading goes up.", func(*stage) {}},
	{0.18, "The link is cut. The gateway keeps reading into its buffer.", func(s *stage) { s.link.setCut(true) }},
	{0.32, "kill -9 of the gateway. It starts again at once.", func(s *stage) { s.kill() }},
	{0.46, "The link is back. What was buffered goes up, oldest first.", func(s *stage) { s.link.setCut(false) }},
	{0.58, "The separator answers late: a stock library now publishes each answer as the next value.", func(s *stage) { s.instruments.late("separator", s.lateBy()) }},
	{0.70, "The separator is well again.", func(s *stage) { s.instruments.late("separator", 0) }},
	{0.74, "The casing transmitter falls silent. Its neighbours on the wire must not notice.", func(s *stage) { s.instruments.silent("casing", true) }},
	{0.86, "It is back.", func(s *stage) { s.instruments.silent("casing", false) }},
	{0.95, "What was read until the end must arrive; then everything is counted.", func(*stage) {}},
}

// lateBy is how late the late answers are: longer than the gateway waits, and
// there before the next request, where a naive library finds them.
func (s *stage) lateBy() time.Duration { return s.pace.interval * 4 / 5 }
