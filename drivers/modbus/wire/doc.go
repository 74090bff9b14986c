// Package wire is Modbus as bytes, for masters and for slaves: the frames of RTU,
// ASCII and TCP, the PDUs of the functions that read, write and identify, and the
// types that instruments keep in registers.
//
// Clauses are of "MODBUS Application Protocol Specification V1.1b3" (PDU) and
// "MODBUS over Serial Line V1.02" (RTU), "MODBUS Messaging on TCP/IP V1.0b" (MBAP).
package wire
