// What a service does: timers, sockets and an HTTP server, promises, a worker, children. In each place one
// descriptor is forgotten, by a function that says where.
const fs = require("fs");
const http = require("http");
const net = require("net");
const cluster = require("cluster");
const { fork, execFileSync } = require("child_process");
const { Worker, isMainThread } = require("worker_threads");

const open = () => fs.openSync("/etc/hostname", "r");
const healthy = () => fs.closeSync(open());

function inMain() { healthy(); return open(); }
function inTimer() { healthy(); return open(); }
async function inAsync() { await null; healthy(); return open(); }
function inPromise() { healthy(); return open(); }
function inRequest() { healthy(); return open(); }
function inWorker() { healthy(); return open(); }
function inChild() { healthy(); return open(); }
function inCluster() { healthy(); return open(); }
class Pool { take() { healthy(); return open(); } }

function request(port) {
  return new Promise((done) => http.get({ port, agent: false }, (r) => r.resume().on("end", done)));
}

async function main() {
  inMain();
  new Pool().take();
  await new Promise((done) => setTimeout(() => { inTimer(); done(); }, 1));
  await inAsync();
  await Promise.resolve().then(inPromise);
  const server = http.createServer((_, response) => { inRequest(); response.end("x"); });
  await new Promise((done) => server.listen(0, done));
  await request(server.address().port);
  // A socket that is given back as it should be.
  const socket = net.connect(server.address().port);
  await new Promise((done) => socket.on("connect", () => socket.end()).on("close", done));
  server.close();
  await new Promise((done) => new Worker(__filename, { trackUnmanagedFds: false }).on("exit", done));
  execFileSync("/bin/true");
  await new Promise((done) => fork(__filename, ["child"]).on("exit", done));
  cluster.setupPrimary({ args: ["cluster"] });
  await new Promise((done) => cluster.fork().on("exit", done));
  console.log("done");
}

if (!isMainThread) {
  inWorker();
} else if (process.argv[2] === "child") {
  inChild();
  process.disconnect();
} else if (process.argv[2] === "cluster") {
  inCluster();
  process.disconnect();
} else {
  main();
}
