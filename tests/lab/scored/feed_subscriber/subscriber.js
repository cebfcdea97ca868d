'use strict';
const cluster = require('node:cluster');
const fs = require('node:fs');
const net = require('node:net');
const os = require('node:os');
const { once } = require('node:events');

const FEEDS = 2300;

/** Numbers of a seed; sfc32. */
function sfc(seed) {
  let [a, b, c, d] = [seed | 0, 0x9e3779b9, 0x243f6a88, 1];
  const next = () => {
    const t = (a + b | 0) + d | 0;
    d = d + 1 | 0;
    a = b ^ b >>> 9;
    b = c + (c << 3) | 0;
    c = (c << 21 | c >>> 11) + t | 0;
    return (t >>> 0) / 4294967296;
  };
  for (let n = 0; n < 12; n++) next();
  return next;
}

const stock = new Map();
function move(site, { took = 0, gave = 0, lost = 0 }) {
  const row = stock.get(site) ?? { site, acquired: 0, live: 0, leaked: 0 };
  row.acquired += took;
  row.live += took - gave;
  row.leaked += lost;
  stock.set(site, row);
}

class Spool {
  constructor(next) {
    this.next = next;
    this.messages = 0;
    this.segments = [];
    fs.mkdirSync('spool');
  }

  lock() {
    const fd = fs.openSync('spool/lock', 'a'); // LAB:lock
    move('lock', { took: 1 });
    return fd;
  }

  unlock(fd) {
    fs.closeSync(fd);
    move('lock', { gave: 1 });
  }

  segment() {
    const fd = fs.openSync(`spool/segment.${this.messages / 40}`, 'w'); // LAB:segment
    move('segment', { took: 1 });
    this.segments.push(fd);
    if (this.segments.length > 5) {
      fs.closeSync(this.segments.shift());
      move('segment', { gave: 1 });
    }
  }

  sync() {
    const fd = fs.openSync('spool', fs.constants.O_RDONLY | fs.constants.O_DIRECTORY); // LAB:ledger
    move('ledger', { took: 1 });
    try {
      fs.fsyncSync(fd);
    } finally {
      fs.closeSync(fd);
      move('ledger', { gave: 1 });
    }
  }

  write(message) {
    let held = this.lock();
    if (this.messages % 40 === 0) this.segment();
    this.messages++;
    if (this.next() < 1 / 45) {
      // somebody else was quicker: once more, with a lock of its own
      move('lock', { lost: 1 });
      held = this.lock();
    }
    fs.writeSync(this.segments.at(-1), message);
    if (this.messages % 20 === 0) this.sync();
    this.unlock(held);
  }
}

class Subscriber {
  constructor(port, spool) {
    this.port = port;
    this.spool = spool;
    this.ended = new Set();
  }

  subscribe(feed) {
    const peer = net.connect({ port: this.port, host: '127.0.0.1', allowHalfOpen: true }); // LAB:subscription
    move('subscription', { took: 1 });
    peer.setEncoding('utf8');
    peer.write(feed);
    return peer;
  }

  async read(feed) {
    const peer = this.subscribe(feed);
    const outcome = await new Promise((resolve, reject) => {
      let text = '';
      peer.on('error', reject);
      peer.on('end', () => resolve('ended'));
      peer.on('data', (part) => {
        text += part;
        if (!text.endsWith('.')) return;
        this.spool.write(text);
        resolve('read');
      });
    });
    if (outcome === 'ended') {
      // nothing more will come; it is asked for again with the next feed
      this.ended.add(peer);
      move('subscription', { lost: 1 });
      return;
    }
    peer.destroy();
    await once(peer, 'close');
    move('subscription', { gave: 1 });
  }
}

/** Sends a message and waits for the reader to go, or ends what has ended. */
function publish() {
  const server = net.createServer((peer) => {
    peer.on('error', () => {});
    peer.once('data', (feed) => {
      if (String(feed).startsWith('gone')) peer.end();
      else peer.write(`what ${feed} says.`);
    });
  });
  server.listen({ port: 0, host: '127.0.0.1', exclusive: true }, () => process.send(server.address().port));
}

async function main(seed) {
  cluster.setupPrimary({ serialization: 'json', silent: false });
  const publisher = cluster.fork();
  publisher.process.unref();
  const [port] = await once(publisher, 'message');
  const spool = new Spool(sfc(seed + 100000));
  const subscriber = new Subscriber(port, spool);
  await fs.promises.readdir(os.tmpdir());
  const words = process.stdin[Symbol.asyncIterator]();
  console.log('START');
  await words.next();
  const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  // three at a time, each on its own
  const reader = async (mine) => {
    const next = sfc(seed * 3 + mine);
    for (let n = mine; n < FEEDS; n += 3) {
      await subscriber.read(next() < 1 / 30 ? `gone ${n}` : `feed ${n}`);
      await pause(9 + 18 * next());
    }
  };
  await Promise.all([reader(0), reader(1), reader(2)]);
  await pause(200);
  console.log('DONE');
  stock.forEach((row) => console.log(JSON.stringify(row)));
  await words.next();
  publisher.process.kill('SIGKILL');
  process.exit(0);
}

if (cluster.isPrimary) main(Number(process.argv[2]));
else publish();
