// Package wire is Modbus as bytes, for masters and for slaves: the frames of RTU
// and TCP, the PDUs of the reading functions, and the types that instruments
// keep in registers.
//
// Clauses are of "MODBUS Application Protocol Specification V1.1b3" (PDU) and
// "MODBUS over Serial Line V1.02" (RTU), "MODBUS Messaging on TCP/IP V1.0b" (MBAP).
package wire
