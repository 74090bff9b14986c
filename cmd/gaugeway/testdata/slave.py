"""A Modbus slave made of pymodbus, for the tests: slave.py rtu PTY | tcp PORT.

It answers units 1 and 2. What each register holds is packed here with struct, in
every byte order, and written as JSON on the line "ready {...}". Register 0 of unit
1 counts the requests that read it. A line "silent N" on standard input makes unit N
answer nothing, "speak N" ends that.
"""
import asyncio
import json
import struct
import sys
import threading

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext
from pymodbus.exceptions import NoSuchSlaveException
from pymodbus.server import StartAsyncSerialServer, StartAsyncTcpServer
from pymodbus.transaction import ModbusRtuFramer

ORDERS = {
    2: {"AB": [0, 1], "BA": [1, 0]},
    4: {"ABCD": [0, 1, 2, 3], "CDAB": [2, 3, 0, 1], "BADC": [1, 0, 3, 2], "DCBA": [3, 2, 1, 0]},
    # bytes of each word swapped? words of each half swapped? halves swapped?
    8: {"".join("ABCDEFGH"[i] for i in places): places for places in (
        [0, 1, 2, 3, 4, 5, 6, 7], [1, 0, 3, 2, 5, 4, 7, 6],
        [2, 3, 0, 1, 6, 7, 4, 5], [3, 2, 1, 0, 7, 6, 5, 4],
        [4, 5, 6, 7, 0, 1, 2, 3], [5, 4, 7, 6, 1, 0, 3, 2],
        [6, 7, 4, 5, 2, 3, 0, 1], [7, 6, 5, 4, 3, 2, 1, 0],
    )},
}
VALUES = {
    "int16": (">h", -12345),
    "uint16": (">H", 54321),
    "int32": (">i", -1234567890),
    "uint32": (">I", 4023456789),
    "float32": (">f", 99.73),
    "int64": (">q", -9007199254740995),
    "uint64": (">Q", 18446744073709551615),
    "float64": (">d", 3.141592653589793),
}

registers = [0] * 400
tags = []


def put(name, typ, order, data, want, **keys):
    address = 10 + sum(t["registers"] for t in tags)
    for i in range(0, len(data), 2):
        registers[address + i // 2] = data[i] << 8 | data[i + 1]
    tags.append({"name": name, "type": typ, "byte_order": order, "address": address,
                 "registers": len(data) // 2, "want": want, "keys": keys})


for typ, (fmt, value) in VALUES.items():
    raw = struct.pack(fmt, value)
    for order, places in ORDERS[len(raw)].items():
        put(f"{typ}-{order}", typ, order, bytes(raw[i] for i in places), repr(value))
put("scaled", "int16", "AB", struct.pack(">h", 364), "36.4", scale=0.1)
put("shifted", "uint16", "AB", struct.pack(">H", 250), "-15", scale=0.1, offset=-40)
put("bcd16", "bcd16", "AB", bytes.fromhex("1234"), "1234")
put("bcd32", "bcd32", "ABCD", bytes.fromhex("12345678"), "12345678")
put("string", "string", "", b"PT-100\0\0", '"PT-100"', length=4)
put("bit", "bool", "", b"\x00\x08", "true", bit=3)
put("nan", "float32", "ABCD", bytes.fromhex("7fc00000"), "bad nan")
put("infinite", "float32", "ABCD", bytes.fromhex("7f800000"), "bad nan")
put("sentinel", "int16", "AB", struct.pack(">h", -32768), "bad sentinel", bad_values=[-32768])
put("outside", "int16", "AB", struct.pack(">h", 300), "300 uncertain range", valid_range=[0, 250])


class Counting(ModbusSequentialDataBlock):
    """Register 0 counts the requests that read it."""

    def getValues(self, address, count=1):
        if address == 1:  # pymodbus counts from 1
            self.values[1] = (self.values[1] + 1) & 0xFFFF
        return super().getValues(address, count)


class Silent(ModbusSlaveContext):
    silent = False

    def validate(self, fx, address, count=1):
        if self.silent:
            raise NoSuchSlaveException("it is silent")
        return super().validate(fx, address, count)


def unit():
    block = Counting(0, [0] + registers)
    bits = ModbusSequentialDataBlock(0, [False, True, False, True, True])
    return Silent(di=bits, co=bits, hr=block, ir=block)


units = {1: unit(), 2: unit()}
context = ModbusServerContext(slaves=units, single=False)


def listen():
    for line in sys.stdin:
        word, number = line.split()
        units[int(number)].silent = word == "silent"


async def main():
    kind, where = sys.argv[1:]
    print("ready", json.dumps(tags), flush=True)
    if kind == "tcp":
        await StartAsyncTcpServer(context=context, address=("127.0.0.1", int(where)), ignore_missing_slaves=True)
    else:
        await StartAsyncSerialServer(context=context, framer=ModbusRtuFramer, port=where, baudrate=115200,
                                     ignore_missing_slaves=True)


threading.Thread(target=listen, daemon=True).start()
asyncio.run(main())
