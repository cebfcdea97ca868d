'use strict';
// A gateway in front of an upstream that runs in a child process; everything is counted apart from what it counts.
const fs = require('fs');
const net = require('net');
const { fork } = require('child_process');
const readline = require('readline');

if (process.argv[2] === 'upstream') {
  const server = net.createServer((peer) => {
    peer.on('data', () => peer.write('ok'));
    peer.on('error', () => {});
  });
  server.listen(0, '127.0.0.1', () => process.send(server.address().port));
  process.on('disconnect', () => process.exit(0));
} else {
  gateway(Number(process.argv[2]));
}

function generator(seed) {
  let a = (seed * 2654435761) >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const counts = {};
for (const site of ['upstream', 'audit', 'template', 'keep_alive']) counts[site] = { acquired: 0, live: 0, leaked: 0 };
const took = (site) => { counts[site].acquired++; counts[site].live++; };
const gave = (site) => { counts[site].live--; };

let port;
const pending = new Map();

function openUpstream() {
  const socket = net.connect(port, '127.0.0.1'); // LAB:upstream
  took('upstream');
  return socket;
}

function ask(socket) {
  return new Promise((resolve) => {
    socket.once('data', resolve);
    socket.write('question');
  });
}

function audit(number, fails) {
  const log = fs.openSync('audit.log', 'a'); // LAB:audit
  took('audit');
  if (fails) {
    counts.audit.leaked++;
    throw new Error('not to be audited');
  }
  fs.writeSync(log, `request ${number}\n`);
  fs.closeSync(log);
  gave('audit');
}

function template() {
  const file = fs.openSync('page.html', 'r'); // LAB:template
  took('template');
  const text = fs.readFileSync(file, 'utf8');
  fs.closeSync(file);
  gave('template');
  return text;
}

class Pool {
  constructor(most) {
    this.most = most;
    this.idle = [];
    this.size = 0;
  }

  lend(grows) {
    if (this.idle.length && !(grows && this.size < this.most)) return this.idle.shift();
    this.size++;
    took('keep_alive');
    return net.connect(port, '127.0.0.1'); // LAB:keep_alive
  }

  back(socket) {
    this.idle.push(socket);
  }
}

async function request(number, random, pool) {
  template();
  const aborted = random() < 1 / 25;
  const upstream = openUpstream();
  await ask(upstream);
  if (aborted) {
    counts.upstream.leaked++;
    pending.set(number, upstream);
  } else {
    await new Promise((resolve) => { upstream.once('close', resolve); upstream.destroy(); });
    gave('upstream');
  }
  const kept = pool.lend(random() < 1 / 30);
  await ask(kept);
  pool.back(kept);
  try {
    audit(number, random() < 1 / 40);
  } catch {
    // the answer goes out without an entry
  }
}

async function gateway(seed) {
  const child = fork(__filename, ['upstream']);
  port = await new Promise((resolve) => child.once('message', resolve));
  const random = generator(seed);
  const pool = new Pool(10);
  fs.writeFileSync('page.html', '<p>hello</p>');
  const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  const warm = net.connect(port, '127.0.0.1');
  await ask(warm);
  await new Promise((resolve) => { warm.once('close', resolve); warm.destroy(); });
  await new Promise((resolve) => fs.stat('.', resolve));
  console.log('START');
  await lines.next();
  for (let number = 0; number < 2000; number++) {
    await request(number, random, pool);
    await new Promise((resolve) => setTimeout(resolve, 2 + random() * 3));
  }
  await new Promise((resolve) => setTimeout(resolve, 100));
  console.log('DONE');
  for (const [site, row] of Object.entries(counts)) console.log(JSON.stringify({ site, ...row }));
  await lines.next();
  child.disconnect();
  process.exit(0);
}
