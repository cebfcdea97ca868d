'use strict';
/* Sessions that people begin and leave to expire. Clients of the store live in this process and speak over a Unix socket. */
const dgram = require('node:dgram');
const fs = require('node:fs');
const net = require('node:net');

function* lehmer(seed) {
  let state = BigInt(seed) * 2862933555777941757n + 3037000493n;
  for (;;) {
    state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
    yield Number(state >> 11n) / 2 ** 53;
  }
}

const numbers = lehmer(process.argv[2]);
const chance = () => numbers.next().value;
const below = (n) => Math.floor(chance() * n);
const lognormal = (mu, sigma) => {
  const normal = Math.sqrt(-2 * Math.log(1 - chance())) * Math.cos(2 * Math.PI * chance());
  return Math.exp(mu + sigma * normal);
};

const ledger = { journal: [0, 0], shelf: [0, 0], client: [0, 0], clock: [0, 0] };
function enter(site, count = 1) { ledger[site][0] += count; ledger[site][1] += count; }
function leave(site, count = 1) { ledger[site][1] -= count; }

class Session {
  constructor(key, expires) {
    this.key = key;
    this.expires = expires;
  }

  begin() {
    this.journal = fs.openSync(`journal.${this.key % 700}`, 'w'); // LAB:journal
    enter('journal');
    return this;
  }

  touch(word) {
    fs.writeSync(this.journal, `${word}\n`);
  }

  end() {
    fs.closeSync(this.journal);
    leave('journal');
  }
}

/** Values by shelf; of all shelves the few that are used stay open. */
class Shelf {
  constructor(most) {
    this.most = most;
    this.open = new Map();
  }

  get(number) {
    let fd = this.open.get(number);
    if (fd === undefined) {
      fd = fs.openSync(`shelf.${number}`, 'a+'); // LAB:shelf
      enter('shelf');
    }
    this.open.delete(number);
    this.open.set(number, fd);
    if (this.open.size > this.most) {
      const [oldest, other] = this.open.entries().next().value;
      this.open.delete(oldest);
      fs.closeSync(other);
      leave('shelf');
    }
    return fd;
  }
}

class Store {
  constructor() {
    this.sessions = new Map();
    this.shelf = new Shelf(48);
    this.expired = 0;
  }

  answer(line) {
    const [verb, key] = line.split(' ');
    if (verb === 'begin') {
      this.sessions.set(key, new Session(Number(key), Date.now() + lognormal(6.2, 1.1)).begin());
    } else if (this.sessions.has(key)) {
      this.sessions.get(key).touch(verb);
    }
    fs.writeSync(this.shelf.get(below(20 + Number(key) / 20)), line + '\n');
    return 'ok\n';
  }

  sweep() {
    const now = Date.now();
    for (const [key, session] of this.sessions) {
      if (session.expires > now) continue;
      session.end();
      this.sessions.delete(key);
      this.expired++;
    }
  }

  listen(path) {
    const server = net.createServer((peer) => {
      peer.setEncoding('utf8');
      peer.on('data', (line) => peer.write(this.answer(line.trim())));
      peer.on('close', () => leave('client'));
    });
    return new Promise((resolve) => { server.listen(path, resolve); });
  }
}

class Clients {
  constructor(path, most) {
    this.path = path;
    this.most = most;
    this.idle = [];
    this.size = 0;
  }

  async dial() {
    const peer = net.connect(this.path); // LAB:client
    enter('client', 2);
    peer.setEncoding('utf8');
    peer.on('close', () => leave('client'));
    await new Promise((resolve) => { peer.once('connect', resolve); });
    this.size++;
    return Object.assign(peer, { asked: 0 });
  }

  async ask(line) {
    const grows = this.size < this.most && below(40) === 0;
    const peer = !grows && this.idle.length ? this.idle.shift() : await this.dial();
    const answer = new Promise((resolve) => { peer.once('data', resolve); });
    peer.write(line);
    await answer;
    if (++peer.asked < 60) {
      this.idle.push(peer);
    } else {
      this.size--;
      peer.end();
    }
  }
}

function askClock(port) {
  const socket = dgram.createSocket('udp4');
  socket.bind(0, '127.0.0.1'); // LAB:clock
  enter('clock');
  socket.on('message', () => socket.close(() => leave('clock')));
  socket.on('listening', () => socket.send('time?', port, '127.0.0.1'));
}

async function people(store, clock) {
  const clients = new Clients('store.sock', 16);
  const tick = () => new Promise((resolve) => { setTimeout(resolve, 2 + below(5)); });
  for (let key = 0; key < 3000; key++) {
    await clients.ask(`begin ${key}`);
    for (let again = below(4); again > 0; again--) await clients.ask(`read ${Math.max(0, key - below(40))}`);
    if (key % 9 === 0) askClock(clock.address().port);
    if (key % 5 === 0) store.sweep();
    await tick();
  }
}

const store = new Store();
const clock = dgram.createSocket('udp4', (message, from) => clock.send('late', from.port, from.address));
clock.bind(0, '127.0.0.1', async () => {
  await store.listen('store.sock');
  let begun = false;
  console.log('START');
  process.stdin.on('data', async () => {
    if (begun) process.exit(0);
    begun = true;
    await people(store, clock);
    setTimeout(() => {
      const lines = Object.entries(ledger).map(([site, [acquired, live]]) => JSON.stringify({ site, acquired, live, leaked: 0 }));
      console.log(['DONE', ...lines].join('\n'));
    }, 300);
  });
});
