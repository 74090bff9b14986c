// Package text reads instruments that speak lines of ASCII, or simple binary
// frames, as their profile describes them in TOML: no code for an instrument.
//
// A Driver is the only master of one line. It asks its devices' polls each
// interval, in deadline order, or listens to those that talk by themselves, and
// publishes every read, failed ones too, as readings.
//
//	template.go   address, value, checksum ─► the bytes that are sent
//	frame.go      bytes that come ─► a frame     (checksum.go: whole or not)
//	extract.go    a frame ─► texts by name       (or bytes at a place)
//	tag.go        a text ─► a reading            (number.go: exactly)
//
// A text reply carries no transaction id. That no reply is taken for the answer
// to another request rests on: one owner per line; silence and drain in one
// loop, right before the write; patterns that match the whole frame; and an
// instrument whose answer did not come is left alone for longer than its answers
// have ever taken. Where replies do not say whose they are, the whole line waits.
//
// Is not: a programming language. An instrument that needs arithmetic between
// its replies, or a dialogue with branches, needs a driver of its own.
package text
