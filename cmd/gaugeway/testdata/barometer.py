"""A Honeywell PPT barometer for the tests, from its manual alone: barometer.py PTY.

It answers *01P1 with the pressure and *01T1 with the temperature. A line on
standard input is the next pressure; "silent" makes it answer nothing.
"""
import os
import sys
import threading
import tty

pressure = "14.45"


def listen():
    global pressure
    for line in sys.stdin:
        pressure = line.strip()


port = os.open(sys.argv[1], os.O_RDWR | os.O_NOCTTY)
tty.setraw(port)
threading.Thread(target=listen, daemon=True).start()
print("ready", flush=True)
got = b""
while True:
    got += os.read(port, 64)
    while b"\r" in got:
        command, got = got.split(b"\r", 1)
        if pressure == "silent":
            continue
        if command.endswith(b"*01P1"):
            os.write(port, b"?01CP=" + pressure.encode() + b"\r")
        elif command.endswith(b"*01T1"):
            os.write(port, b"?01CT=24.5\r")
        else:
            os.write(port, command + b"\r")
