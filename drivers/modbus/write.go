package modbus

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/gaugeway/gaugeway/drivers/modbus/wire"
	"github.com/gaugeway/gaugeway/gateway"
)

// Why a value was not written, to be asked with errors.Is. Of the first five
// nothing reached the instrument.
var (
	ErrNotAllowed     = errors.New("writes are not allowed on this site")
	ErrNotWritable    = errors.New("the tag is not writable")
	ErrOutOfRange     = errors.New("the value is out of range")
	ErrInexact        = errors.New("the value cannot be held exactly")
	ErrNotSent        = errors.New("nothing was written")
	ErrRefused        = errors.New("the instrument refused")
	ErrNoEffect       = errors.New("the write took no effect")
	ErrUnknownOutcome = errors.New("it is not known whether the write took effect")
)

// Write writes a value to a tag and reads it back. The answer holds the request
// and the reply of the write, and the reading that was read back, also beside
// an error where there is one. It is safe for concurrent use; writes to one line
// follow one another.
//
// It is written only if Options.Writes allows it, the tag is writable, and the
// value is between min and max and can be held exactly. A write is never sent
// twice: where no answer came, what is read back decides. nil means that the
// instrument holds the value now.
func (d *Driver) Write(ctx context.Context, device, name string, v gateway.Value) (gateway.Answer, error) {
	a, err := d.write(ctx, device, name, v)
	if err != nil {
		err = fmt.Errorf("write %s/%s: %w", device, name, err)
	}
	return a, err
}

func (d *Driver) write(ctx context.Context, device, name string, v gateway.Value) (gateway.Answer, error) {
	if !d.writes {
		return gateway.Answer{}, fmt.Errorf("%w; write writes = \"allowed\" in the configuration to allow them", ErrNotAllowed)
	}
	dev, err := d.deviceOf(device)
	if err != nil {
		return gateway.Answer{}, err
	}
	t, err := dev.tagOf(name)
	if err != nil {
		return gateway.Answer{}, err
	}
	if !t.writable {
		return gateway.Answer{}, fmt.Errorf("%w; write writable = true, min and max in its table to make it so", ErrNotWritable)
	}
	bits, err := t.encode(v)
	if err != nil {
		return gateway.Answer{}, err
	}
	select {
	case d.writing <- struct{}{}:
		defer func() { <-d.writing }()
	case <-ctx.Done():
		return gateway.Answer{}, fmt.Errorf("%w: %w", ErrNotSent, d.keep.Late(ctx))
	}
	return d.writeBits(ctx, dev, t, bits)
}

// writeBits sends the one request that writes, and finds out what came of it.
func (d *Driver) writeBits(ctx context.Context, dev *device, t *tag, bits uint64) (gateway.Answer, error) {
	res, err := d.ask(ctx, dev.unit, t.writeRequest(bits, dev.options.WriteFunction))
	a := gateway.Answer{Reading: gateway.Reading{Tag: t.tag, Class: t.class}, Request: res.sent, Reply: res.got, Took: res.took}
	a.Reading.Fail(gateway.Starting)
	if err != nil && !res.tried {
		return a, fmt.Errorf("%w: %w", ErrNotSent, err)
	}
	if e, is := res.err.(wire.Exception); is && e != wire.Acknowledge && !viaGateway(e) { //nolint:errorlint // the engine returns it bare
		if e == wire.IllegalFunction && t.inRegister() {
			return a, fmt.Errorf("%w: %w; it cannot write one bit of a register (function 22), and all 16 at once would undo what changed meanwhile", ErrRefused, e)
		}
		return a, fmt.Errorf("%w: %w", ErrRefused, e)
	}
	if err == nil {
		err = res.err
	}
	return d.readBack(ctx, dev, t, bits, a, err)
}

// readBack tells what a write that may have reached the instrument has done. why
// is the reason why it is not known by now, or nil.
func (d *Driver) readBack(ctx context.Context, dev *device, t *tag, bits uint64, a gateway.Answer, why error) (gateway.Answer, error) {
	b := newBlock([]*tag{t})
	res, err := d.askAgain(ctx, dev.unit, b.request)
	if err != nil {
		res.err = err
	}
	a.Reading = res.answer(t, b.request).Reading
	switch err := res.err; {
	case err != nil:
		if why != nil {
			return a, fmt.Errorf("%w: %w, and it cannot be read back: %w", ErrUnknownOutcome, why, err)
		}
		return a, fmt.Errorf("%w: the instrument took it, but it cannot be read back: %w", ErrUnknownOutcome, err)
	case t.bitsIn(res.data) == bits:
		return a, nil
	case errors.Is(why, wire.Acknowledge):
		return a, fmt.Errorf("%w: the instrument took it, to do it later, and it reads back as %s now", ErrUnknownOutcome, a.Reading.Value)
	case why != nil:
		return a, fmt.Errorf("%w: %w, and it reads back as %s", ErrNoEffect, why, a.Reading.Value)
	default:
		return a, fmt.Errorf("%w: the instrument took it, but it reads back as %s", ErrNoEffect, a.Reading.Value)
	}
}

// inRegister reports whether the tag is one bit of a register.
func (t *tag) inRegister() bool { return t.layout.Type.Name == "bool" && !t.function.Bits() }

// bitsIn returns what encode would have to return for the data of a block that
// holds only this tag.
func (t *tag) bitsIn(data []byte) uint64 {
	on := false
	switch {
	case t.function.Bits():
		on = wire.Bit(data, 0)
	case t.inRegister():
		v, _ := t.layout.Decode(data)
		on = v == gateway.Bool(true)
	default:
		return t.layout.Bits(data)
	}
	if on {
		return 1
	}
	return 0
}

// The values of write_function.
const (
	writeAuto     = "auto"
	writeSingle   = "single"
	writeMultiple = "multiple"
)

var writeFunctions = []string{writeAuto, writeSingle, writeMultiple}

// writeRequest returns the request that makes the instrument hold the bits.
func (t *tag) writeRequest(bits uint64, how string) wire.Request {
	r := wire.Request{Address: uint16(t.address), Count: uint16(t.layout.Registers())}
	switch {
	case t.function.Bits() && how == writeMultiple:
		r.Function, r.Data[0] = wire.WriteCoils, byte(bits)
	case t.function.Bits():
		r.Function, r.Count = wire.WriteCoil, uint16(bits)*0xFF00 // application protocol, 6.5
	case t.inRegister():
		bit := t.layout.Bit
		if t.layout.Order == "BA" {
			bit ^= 8
		}
		r.Function, r.Count = wire.MaskRegister, ^(uint16(1) << bit)
		binary.BigEndian.PutUint16(r.Data[:], uint16(bits)<<bit)
	default:
		r.Function = wire.WriteRegisters
		t.layout.PutBits(r.Data[:], bits)
		if r.Count == 1 && how != writeMultiple {
			r.Function, r.Count = wire.WriteRegister, binary.BigEndian.Uint16(r.Data[:])
			clear(r.Data[:])
		}
	}
	return r
}
