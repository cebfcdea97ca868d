'use strict';
// A caching proxy between viewers and an origin; both are children of this file with another role.
const { spawn } = require('child_process');
const { once } = require('events');
const fs = require('fs');
const http = require('http');
const { setTimeout: sleep } = require('timers/promises');

const REQUESTS = 2000;

function mulberry(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), seed | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Meter {
  static all = [];

  constructor(site) {
    Object.assign(this, { site, acquired: 0, live: 0, leaked: 0 });
    Meter.all.push(this);
  }

  up() { this.acquired++; this.live++; }

  down() { this.live--; }
}

const origins = new Meter('origin');
const entries = new Meter('entry');
const stores = new Meter('store');
const logs = new Meter('access_log');

class Cache {
  constructor() {
    this.known = new Set();
  }

  open(name) {
    const fd = fs.openSync(`cache.${name}`, 'r'); // LAB:entry
    entries.up();
    return fd;
  }

  read(name, stale) {
    const fd = this.open(name);
    if (stale) {
      entries.leaked++;
      this.known.delete(name);
      return null;
    }
    const body = Buffer.alloc(64);
    const length = fs.readSync(fd, body);
    fs.closeSync(fd);
    entries.down();
    return body.subarray(0, length);
  }

  store(name, body) {
    const fd = fs.openSync(`cache.${name}`, 'w'); // LAB:store
    stores.up();
    fs.writeSync(fd, body);
    fs.closeSync(fd);
    stores.down();
    this.known.add(name);
  }
}

class AccessLog {
  constructor() {
    this.open = [];
    this.lines = 0;
  }

  roll() {
    if (this.open.length === 2) {
      fs.closeSync(this.open.shift());
      logs.down();
    }
    this.open.push(fs.openSync(`access.${this.lines / 100}`, 'w')); // LAB:access_log
    logs.up();
  }

  line(text) {
    if (this.lines++ % 100 === 0) {
      this.lines--;
      this.roll();
      this.lines++;
    }
    fs.writeSync(this.open.at(-1), text + '\n');
  }
}

const paused = new Map();

async function fetchOrigin(port, path) {
  const request = http.get({ port, path, host: '127.0.0.1', agent: false }); // LAB:origin
  origins.up();
  const [answer] = await once(request, 'response');
  return answer;
}

async function finish(answer) {
  const parts = await answer.toArray();
  if (!answer.socket.destroyed) await once(answer.socket, 'close');
  origins.down();
  return Buffer.concat(parts);
}

class Proxy {
  constructor(port, random) {
    Object.assign(this, { port, random, cache: new Cache(), log: new AccessLog(), served: 0 });
    this.all = new Promise((resolve) => { this.last = resolve; });
  }

  async handle(request, response) {
    const number = ++this.served;
    const name = request.url.slice(1);
    const gone = request.headers['x-patience'] === '0';
    this.log.line(request.url);
    if (this.cache.known.has(name)) {
      const body = this.cache.read(name, this.random() < 1 / 25);
      if (body) response.setHeader('x-cache', 'hit');
    }
    const answer = await fetchOrigin(this.port, request.url);
    if (gone) {
      // the viewer hangs up: nobody reads this answer on
      answer.pause();
      paused.set(number, answer);
      origins.leaked++;
      response.destroy();
    } else {
      const body = await finish(answer);
      this.cache.store(name, body);
      response.end(body);
    }
    if (number === REQUESTS) this.last();
  }
}

function origin() {
  const body = Buffer.alloc(200000, 'x');
  http.createServer((request, response) => {
    response.setHeader('connection', 'close');
    response.end(body);
  }).listen(0, '127.0.0.1', function ready() { process.stdout.write(`${this.address().port}\n`); });
}

async function viewers(port, seed) {
  const random = mulberry(seed);
  await once(process.stdin, 'data');
  for (let number = 0; number < REQUESTS; number++) {
    const patience = random() < 1 / 28 ? 0 : 1;
    const path = `/${Math.floor(random() ** 2 * 80)}`;
    const ask = http.get({ port, path, host: '127.0.0.1', agent: false, headers: { 'x-patience': patience, connection: 'close' } });
    await new Promise((resolve) => {
      ask.on('response', (answer) => answer.resume().on('end', resolve));
      ask.on('error', resolve);
    });
    await sleep(random() * 6);
  }
}

function role(...words) {
  const child = spawn(process.execPath, [__filename, ...words], { stdio: ['pipe', 'pipe', 'inherit'] });
  child.unref();
  return child;
}

async function serve(seed) {
  const upstream = role('origin');
  const [port] = await once(upstream.stdout, 'data');
  const proxy = new Proxy(Number(port), mulberry(seed * 31 + 7));
  const server = http.createServer((request, response) => { proxy.handle(request, response); });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  await finish(await fetchOrigin(proxy.port, '/warm'));
  origins.acquired = 0;
  await fs.promises.stat('.');
  const audience = role('viewers', server.address().port, seed);
  console.log('START');
  await once(process.stdin, 'data');
  audience.stdin.write('go');
  await proxy.all;
  await sleep(400);
  console.log('DONE');
  for (const meter of Meter.all) console.log(JSON.stringify(meter));
  await once(process.stdin, 'data');
  process.exit(0);
}

const [, , first, ...rest] = process.argv;
if (first === 'origin') origin();
else if (first === 'viewers') viewers(...rest.map(Number));
else serve(Number(first));
