"""A Modbus slave that nobody of us wrote (pymodbus), with a value of every type
in every byte order. The registers are worked out here, with struct alone.

slave.py rtu PORT | slave.py tcp

Prints one line of JSON with what it holds, then "ready" and, over TCP, the port.
Ends when standard input does.
"""

import asyncio
import itertools
import json
import struct
import sys
import threading
import os

from pymodbus.datastore import ModbusSequentialDataBlock, ModbusServerContext, ModbusSlaveContext, ModbusSparseDataBlock
from pymodbus.server.async_io import ModbusSerialServer, ModbusTcpServer
from pymodbus.transaction import ModbusRtuFramer, ModbusSocketFramer

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
    slave = ModbusSlaveContext(
        hr=ModbusSparseDataBlock(words["holding"]),
        ir=ModbusSparseDataBlock(words["input"]),
        co=ModbusSequentialDataBlock(7, pattern),
        di=ModbusSequentialDataBlock(7, pattern),
        zero_mode=True,
    )
    return tags, ModbusServerContext(slaves={1: slave, 17: slave}, single=False)


async def main():
    tags, context = build()
    print(json.dumps(tags), flush=True)
    if sys.argv[1] == "rtu":
        server = ModbusSerialServer(context, framer=ModbusRtuFramer, port=sys.argv[2], baudrate=19200, timeout=1, ignore_missing_slaves=True)
        await server.start()
        print("ready", flush=True)
        await server.serve_forever()
    else:
        server = ModbusTcpServer(context, framer=ModbusSocketFramer, address=("127.0.0.1", 0), ignore_missing_slaves=True)
        task = asyncio.ensure_future(server.serve_forever())
        await server.serving
        print("ready", server.server.sockets[0].getsockname()[1], flush=True)
        await task


def end_with_parent():
    sys.stdin.read()
    os._exit(0)


threading.Thread(target=end_with_parent, daemon=True).start()
asyncio.run(main())
