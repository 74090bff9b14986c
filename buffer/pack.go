package buffer

import (
	"sync"

	"github.com/klauspost/compress/zstd"
)

const zstdWindow = 64 << 10

// packer compresses segment bodies. One encoder and one decoder serve all: they
// are most of the memory that a buffer needs.
type packer struct {
	enc *zstd.Encoder // of the committer
	raw []byte
	out []byte

	mu  sync.Mutex // guards dec
	dec *zstd.Decoder
}

func newPacker() *packer {
	enc, err := zstd.NewWriter(nil,
		zstd.WithEncoderConcurrency(1),
		zstd.WithLowerEncoderMem(true),
		zstd.WithWindowSize(zstdWindow),
		zstd.WithEncoderCRC(false), // the row has its own
		zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		panic(err) // the options are constants
	}
	dec, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxMemory(maxText+maxSegmentRaw))
	if err != nil {
		panic(err)
	}
	return &packer{enc: enc, dec: dec}
}

// pack returns a segment's body as it rests. It is valid until the next call.
func (p *packer) pack(g *segment) (body []byte, flags int64) {
	p.raw = g.appendBinary(p.raw[:0])
	p.out = p.enc.EncodeAll(p.raw, p.out[:0])
	body, flags = p.out, flagZstd
	if len(p.out) >= len(p.raw) {
		body, flags = p.raw, 0
	}
	if cap(p.raw) > 4*maxSegmentRaw { // a long message was here
		p.raw = nil
	}
	if cap(p.out) > 4*maxSegmentRaw {
		p.out = nil
	}
	return body, flags
}

func (p *packer) unpack(body []byte, flags int64) ([]byte, error) {
	if flags&flagZstd == 0 {
		return body, nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dec.DecodeAll(body, nil)
}
