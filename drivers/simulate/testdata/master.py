"""A Modbus master that nobody of us wrote (pymodbus): reads, writes and identifies
unit 5, and prints what it was told.

master.py rtu|ascii PATH | master.py tcp|rtu-over-tcp|ascii-over-tcp PORT
"""

import sys

from pymodbus.client import ModbusSerialClient, ModbusTcpClient
from pymodbus.mei_message import ReadDeviceInformationRequest
from pymodbus.register_read_message import ReadWriteMultipleRegistersRequest
from pymodbus.register_write_message import MaskWriteRegisterRequest
from pymodbus.transaction import ModbusAsciiFramer, ModbusRtuFramer, ModbusSocketFramer

FRAMERS = {
    "rtu": ModbusRtuFramer, "ascii": ModbusAsciiFramer,
    "tcp": ModbusSocketFramer, "rtu-over-tcp": ModbusRtuFramer, "ascii-over-tcp": ModbusAsciiFramer,
}


def show(what, reply):
    if reply.isError():
        print(what, "exception", getattr(reply, "exception_code", reply))
    elif hasattr(reply, "registers"):
        print(what, *reply.registers)
    elif hasattr(reply, "bits"):
        print(what, *(int(b) for b in reply.bits))
    elif hasattr(reply, "information"):
        print(what, *(t.decode() for t in reply.information.values()))
    else:
        print(what, "done")


kind, where = sys.argv[1:]
if kind in ("rtu", "ascii"):
    client = ModbusSerialClient(where, framer=FRAMERS[kind], baudrate=19200, timeout=2)
else:
    client = ModbusTcpClient("127.0.0.1", int(where), framer=FRAMERS[kind], timeout=2)
assert client.connect()
unit = {"slave": 5}
show("read", client.read_holding_registers(100, 3, **unit))
show("none", client.read_holding_registers(300, 1, **unit))
show("coil", client.write_coil(20, True, **unit))
show("coils", client.write_coils(21, [True, False, True, True, False, False, True, False, True, True], **unit))
show("read", client.read_coils(20, 16, **unit))
show("register", client.write_register(1000, 0x1234, **unit))
show("registers", client.write_registers(1001, list(range(1, 124)), **unit))
show("read", client.read_holding_registers(1000, 4, **unit))
show("mask", client.execute(MaskWriteRegisterRequest(1000, 0xF2, 0x25, unit=5)))
show("both", client.execute(ReadWriteMultipleRegistersRequest(read_address=1000, read_count=3, write_address=1001, write_registers=[7, 8], unit=5)))
show("forbidden", client.write_register(100, 1, **unit))
show("partly", client.write_registers(1122, [1, 2, 3], **unit))
show("read", client.read_holding_registers(1122, 2, **unit))
show("identity", client.execute(ReadDeviceInformationRequest(2, 0, unit=5)))
client.close()
