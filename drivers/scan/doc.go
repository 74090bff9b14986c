// Package scan finds Modbus instruments on a line of which nothing is known:
// with which settings they answer, under which numbers, what they say they are,
// and where in their registers a value of the expected size stands.
//
// Is: a patient stranger that only reads.
// Is not: a proof. A guess is what fits; the instrument's sheet decides.
package scan
