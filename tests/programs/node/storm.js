// Everything that makes V8's stacks odd, while stacks are taken: recursion to the limit, generators, async
// functions, regular expressions, WebAssembly, callbacks out of sort, exceptions, eval, workers on small stacks.
const { Worker, isMainThread, parentPort, workerData } = require("worker_threads");
const crypto = require("crypto");
const fs = require("fs");
const zlib = require("zlib");

const touch = () => fs.closeSync(fs.openSync("/etc/hostname"));
// (import "e" "f" (func)) (export "g" (func (param i32) (result i32) call 0, local.get 0, i32.const 1, i32.add))
const wasm = new Uint8Array([
  0, 97, 115, 109, 1, 0, 0, 0, 1, 9, 2, 96, 0, 0, 96, 1, 127, 1, 127, 2, 7, 1, 1, 101, 1, 102, 0, 0, 3, 2, 1, 1,
  7, 5, 1, 1, 103, 0, 1, 10, 11, 1, 9, 0, 16, 0, 32, 0, 65, 1, 106, 11,
]);

function deep(n) { return n === 0 ? (touch(), 0) : 1 + deep(n - 1); }
function overflow() {
  try { (function again() { again(); })(); } catch (error) { return error instanceof RangeError; }
}
function* generated(n) { for (let i = 0; i < n; i++) { touch(); yield i; } }
async function awaited(n) { for (let i = 0; i < n; i++) { await null; touch(); } }
function replaced(n) {
  let length = 0;
  for (let i = 0; i < n; i++) length += "aabbccd".replace(/(a+)(b+)/, (_, a) => { touch(); return a; }).length;
  return length;
}
async function called(n) {
  const module = await WebAssembly.instantiate(wasm, { e: { f: touch } });
  let sum = 0;
  for (let i = 0; i < n; i++) sum = module.instance.exports.g(sum);
  return sum;
}
function sorted(n) { return [...Array(n).keys()].sort((a, b) => { if (a % 9 === 0) touch(); return b - a; })[0]; }
function thrown(n) {
  let stacks = 0;
  for (let i = 0; i < n; i++) try { JSON.parse("{"); } catch (error) { stacks += error.stack.length > 0; }
  return stacks;
}

async function main() {
  const told = [deep(2000), overflow(), [...generated(300)].length, replaced(300), await called(300), sorted(500)];
  await awaited(300);
  told.push(thrown(300), eval("(function () { return deep(100); })()"));
  told.push(zlib.gunzipSync(zlib.gzipSync("x".repeat(1e5))).length, crypto.createHash("md5").update("x").digest("hex"));
  if (!isMainThread) return parentPort.postMessage(told.join());
  console.log(told.join());
  const workers = [0, 1, 2, 3].map((number) => new Promise((done) => {
    const resourceLimits = number % 2 ? { stackSizeMb: 1 } : {};
    new Worker(__filename, { workerData: number, resourceLimits }).on("message", done);
  }));
  for (const worker of await Promise.all(workers)) console.log(worker);
}

main();
