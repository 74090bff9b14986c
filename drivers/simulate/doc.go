// Package simulate plays Modbus instruments, on a real pseudo-terminal or over
// TCP, to test and demonstrate against. Faults are made on purpose, repeatably by seed.
//
// Is: a slave for functions 1 to 4 whose registers compute themselves.
// Is not: a model of any instrument, or a slave for production.
package simulate
