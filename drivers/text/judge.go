package text

// verdict is what a whole frame is to who waits for the reply to a step.
type verdict byte

const (
	ours     verdict = iota
	stranger         // of another instrument
	damaged          // its checksum is wrong
	refused          // the instrument says that it cannot
	nonsense         // whole, and not what the pattern expects
)

// judge says what a frame is. The texts of one that is ours are in c afterwards.
func (s *step) judge(f frame, c *catch) verdict {
	switch {
	case f.foreign:
		return stranger
	case f.damaged:
		return damaged
	case f.refuses, s.refuse != nil && s.refuse.MatchString(latin1(f.says)):
		return refused
	case c.take(s.match, f.says):
		return ours
	case s.loose != nil && s.loose.MatchString(latin1(f.says)):
		return stranger
	default:
		return nonsense
	}
}

// filter takes out what is passed over wherever it comes, in place.
func (in *instrument) filter(b []byte) []byte {
	kept := b[:0]
	for _, c := range b {
		if c &= in.mask; !in.skip[c] {
			kept = append(kept, c)
		}
	}
	return kept
}
