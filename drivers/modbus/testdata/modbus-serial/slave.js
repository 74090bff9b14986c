// A Modbus slave that nobody of us wrote (modbus-serial).
//
// slave.js MAP rtu PORT | slave.js MAP tcp | slave.js MAP enron
//
// enron is over TCP, with registers of 32 bits from 5001 to 7999.
//
// MAP has one line for each register and bit: table, address, value. Prints
// "ready" and, over TCP, the port. Ends when standard input does.
const fs = require("fs");
const { ServerTCP, ServerSerial } = require("modbus-serial");

const held = { holding: new Map(), input: new Map(), coil: new Map(), discrete: new Map() };
for (const line of fs.readFileSync(process.argv[2], "utf8").split("\n")) {
  const [table, at, value] = line.split(" ");
  if (held[table]) held[table].set(Number(at), Number(value));
}

const illegalAddress = 2;
function get(table, at) {
  if (!held[table].has(at)) throw { modbusErrorCode: illegalAddress, msg: "no " + table + " " + at };
  return held[table].get(at);
}
function set(table, at, value) {
  get(table, at);
  held[table].set(at, value);
}

const vector = {
  getHoldingRegister: (at) => get("holding", at),
  getInputRegister: (at) => get("input", at),
  getCoil: (at) => get("coil", at) !== 0,
  getDiscreteInput: (at) => get("discrete", at) !== 0,
  setRegister: (at, value) => set("holding", at, value),
  setCoil: (at, on) => set("coil", at, on ? 1 : 0),
  readDeviceIdentification: () => ({ 0: "Nobody of us", 1: "slave.js", 2: "8.0" }),
};

if (process.argv[3] === "rtu") {
  const server = new ServerSerial(vector, { path: process.argv[4], baudRate: 19200, unitID: 255, interval: 5 });
  server.on("initialized", () => console.log("ready"));
  server.on("error", (e) => console.error(e));
  server.on("socketError", (e) => console.error(e));
} else {
  const enronTables = { booleanRange: [1001, 1999], shortRange: [3001, 4999], longRange: [5001, 5999], floatRange: [7001, 7999] };
  const options = { host: "127.0.0.1", port: 0, unitID: 0, enron: process.argv[3] === "enron", enronTables };
  const server = new ServerTCP(vector, options);
  server.on("initialized", () => console.log("ready", server._server.address().port));
  server.on("serverError", (e) => console.error(e));
}
process.stdin.on("end", () => process.exit(0)).resume();
