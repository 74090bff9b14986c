// Package modbus polls instruments that speak Modbus RTU or TCP.
//
// A Driver is the only master of one line. It reads what its devices' tags need
// in as few requests as it can, each interval, in deadline order, and publishes
// every read, failed ones too, as readings.
//
//	plan.go      tags ─► requests                 (once)
//	schedule.go  whose turn is it                 (each transaction)
//	rtu.go, tcp.go  request ─► reply, or why not  (the engine)
//	tag.go       reply ─► readings                (value, quality, reason)
//
// On RTU a reply carries no transaction id. That no reply is ever taken for the
// answer to another request rests on: one owner per line; silence and drain in
// one loop, right before the write; exact unit, function, length and checksum;
// and a unit whose answer did not come is left alone for longer than its answers
// have ever taken.
//
// Is not: a way to write, to serve as a slave, or to share a line with another master.
package modbus
