// Package line opens what instruments hang on: a serial port or a TCP endpoint.
// Both come back as a gateway.Line, which one goroutine owns.
//
// Is: one try to open, exclusive use, deadlines, clear reasons.
// Is not: framing, polling, or trying again; drivers do that.
package line
