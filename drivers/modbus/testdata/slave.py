"""A Modbus slave that nobody of us wrote (pymodbus), with a value of every type
in every byte order. The registers are worked out here, with struct alone.

slave.py rtu|ascii PORT | slave.py tcp|rtu-over-tcp|ascii-over-tcp | slave.py map

Prints one line of JSON with what it holds, then "ready" and, over TCP, the port.
Ends when standard input does. map prints that line, and then one line for each
register and bit: table, address, value; and "end".
"""

import asyncio
import itertools
import json
import struct
import sys
import threading
import os

from pymodbus.datastore import ModbusServerContext, ModbusSlaveContext, ModbusSparseDataBlock
from pymodbus.device import ModbusDeviceIdentification
from pymodbus.server.async_io import ModbusSerialServer, ModbusTcpServer
from pymodbus.transaction import ModbusAsciiFramer, ModbusRtuFramer, ModbusSocketFramer

FRAMERS = {
    "rtu": ModbusRtuFramer, "ascii": ModbusAsciiFramer,
    "tcp": ModbusSocketFramer, "rtu-over-tcp": ModbusRtuFramer, "ascii-over-tcp": ModbusAsciiFramer,
}

# What a master may write to: zeros.
FREE_REGISTERS = range(1000, 1130)
FREE_COILS = range(2000, 4000)

IDENTITY = {0: "Nobody of us", 1: "slave.py", 2: "3.0", 3: "https://example.org/" + "x" * 100, 4: "a slave " + "y" * 120, 5: "model"}

ORDERS = {
    2: ["AB", "BA"],
    4: ["ABCD", "CDAB", "BADC", "DCBA"],
    8: ["ABCDEFGH", "BADCFEHG", "CDABGHEF", "DCBAHGFE", "EFGHABCD", "FEHGBADC", "GHEFCDAB", "HGFEDCBA"],
}

VALUES = [
    ("int16", ">h", [-12345, 32767, -32768]),
    ("uint16", ">H", [0, 65535, 4660]),
    ("int32", ">i", [-2147483648, 305419896, -2]),
    ("uint32", ">I", [4294967295, 305419896]),
    ("int64", ">q", [-9223372036854775808, 81985529216486895]),
    ("uint64", ">Q", [18446744073709551615, 9007199254740993]),
    ("float32", ">f", [100.25, -0.125, 1.5e20]),
    ("float64", ">d", [1.2345678901234567, -273.15]),
    ("bcd16", "bcd", [1234, 9999]),
    ("bcd32", "bcd", [12345678, 99999999]),
]


def big_endian(typ, form, value):
    if form == "bcd":
        return bytes.fromhex(str(value).zfill(int(typ[3:]) // 4))
    return struct.pack(form, value)


def build():
    tags, words = [], {"holding": {}, "input": {}}
    address = {"holding": 0, "input": 5}
    tables = itertools.cycle(["holding", "holding", "input"])
    for typ, form, values in VALUES:
        for value in values:
            raw = big_endian(typ, form, value)
            for order in ORDERS[len(raw)]:
                table = next(tables)
                at = address[table]
                wire = bytes(raw[ord(c) - ord("A")] for c in order)
                for i in range(0, len(wire), 2):
                    words[table][at + i // 2] = wire[i] << 8 | wire[i + 1]
                address[table] = at + len(wire) // 2
                tags.append({"register": table, "address": at, "type": typ, "order": order, "value": repr(value) if isinstance(value, float) else str(value)})
    at = address["holding"]
    for i, word in enumerate(struct.unpack(">4H", b"PT-100\0\0")):
        words["holding"][at + i] = word
    tags.append({"register": "holding", "address": at, "type": "string", "length": 4, "order": "AB", "value": "PT-100"})
    words["holding"][at + 4] = 0x8001
    for bit in range(16):
        tags.append({"register": "holding", "address": at + 4, "type": "bool", "bit": bit, "order": "AB", "value": "true" if bit in (0, 15) else "false"})
    pattern = [i % 3 == 0 for i in range(21)]
    for table in "coil", "discrete":
        for i, on in enumerate(pattern):
            tags.append({"register": table, "address": 7 + i, "type": "bool", "order": "AB", "value": "true" if on else "false"})
    bits = {7 + i: on for i, on in enumerate(pattern)}
    words["holding"].update((at, 0) for at in FREE_REGISTERS)
    words["coil"] = bits | {at: False for at in FREE_COILS}
    words["discrete"] = bits
    return tags, words


def context(words):
    slave = ModbusSlaveContext(
        hr=ModbusSparseDataBlock(words["holding"]),
        ir=ModbusSparseDataBlock(words["input"]),
        co=ModbusSparseDataBlock(words["coil"]),
        di=ModbusSparseDataBlock(words["discrete"]),
        zero_mode=True,
    )
    return ModbusServerContext(slaves={1: slave, 17: slave}, single=False)


async def main():
    tags, words = build()
    print(json.dumps(tags), flush=True)
    kind = sys.argv[1]
    if kind == "map":
        for table, held in words.items():
            for at, word in sorted(held.items()):
                print(table, at, int(word))
        print("end", flush=True)
        return
    options = {"framer": FRAMERS[kind], "identity": ModbusDeviceIdentification(info=IDENTITY), "ignore_missing_slaves": True}
    if kind in ("rtu", "ascii"):
        server = ModbusSerialServer(context(words), port=sys.argv[2], baudrate=19200, timeout=1, **options)
        await server.start()
        print("ready", flush=True)
        await server.serve_forever()
    else:
        server = ModbusTcpServer(context(words), address=("127.0.0.1", 0), **options)
        task = asyncio.ensure_future(server.serve_forever())
        await server.serving
        print("ready", server.server.sockets[0].getsockname()[1], flush=True)
        await task


def end_with_parent():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_parent, daemon=True).start()
asyncio.run(main())
