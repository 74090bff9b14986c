package wire

// crcTable is of CRC-16/MODBUS: polynomial 0x8005 reflected (serial line, 6.2.2).
var crcTable = func() (t [256]uint16) {
	for i := range t {
		crc := uint16(i)
		for range 8 {
			if crc&1 != 0 {
				crc = crc>>1 ^ 0xA001
			} else {
				crc >>= 1
			}
		}
		t[i] = crc
	}
	return t
}()

// CRC returns the checksum of an RTU frame; it is sent low byte first.
func CRC(b []byte) uint16 {
	crc := uint16(0xFFFF)
	for _, c := range b {
		crc = crc>>8 ^ crcTable[byte(crc)^c]
	}
	return crc
}

// crcOK reports whether the last two bytes are the checksum of those before.
func crcOK(frame []byte) bool {
	n := len(frame) - 2
	crc := CRC(frame[:n])
	return frame[n] == byte(crc) && frame[n+1] == byte(crc>>8)
}
