// Package modbus polls instruments that speak Modbus.
//
// A Driver is the only master of one line. It reads what its devices' tags need
// in as few requests as it can, each interval, in deadline order, and publishes
// every read, failed ones too, as readings.
//
//	plan.go, hole.go    tags ─► requests              (once; again as holes are learned)
//	schedule.go         whose turn is it              (each transaction)
//	errand.go           what people ask, in between   (read.go, write.go, lend.go)
//	rtu.go, tcp.go      request ─► reply, or why not  (the engine; framing.go has the protocols)
//	tag.go              reply ─► readings             (value, quality, reason)
//
// On RTU, and on ASCII, a reply carries no transaction id. That no reply is ever taken for the
// answer to another request rests on: one owner per line; silence and drain in
// one loop, right before the write; exact unit, function, length and checksum;
// and a unit whose answer did not come is left alone for longer than its answers
// have ever taken.
//
// What RTU cannot tell apart at all, and so neither can this package:
//
//   - an answer that comes later than the response time and the quarantine after it
//     (as long again, or twice the slowest answer ever seen), and has the length that
//     is waited for by then. An instrument, radio or converter that can hold answers
//     back for longer needs a response_timeout as long as that;
//   - an answer that comes twice, the second time after the silence that ends a frame;
//   - an instrument that itself answers with the values of an earlier request;
//   - two instruments with the same address, when one answers for the other;
//   - damage that leaves the checksum right, which happens to one of 65536 damaged
//     answers of the right shape; of ASCII, whose checksum has 8 bits, to one of 256.
//
// Over TCP their frames are as blind, and there is no silence to end them: what the
// far side still sends later than a millisecond after an answer is only told by
// what it says, unless inter_request_gap is longer. After three requests in a row
// without an answer the connection is opened anew.
//
// On Modbus TCP, and on nothing else, each answer says which request it answers.
//
// Instruments that do not answer share a twentieth of their line, however many
// they are, once they have been tried three times each; the others are waited
// for only as long as they have shown to need.
//
// Is not: a way to serve as a slave, or to share a line with another master.
package modbus
