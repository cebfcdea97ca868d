'use strict';
// Works through an inbox of job files with four consumers; the producer writes jobs in waves.
const childProcess = require('child_process');
const dgram = require('dgram');
const fs = require('fs');
const path = require('path');
const { once } = require('events');
const readline = require('readline');

const counts = new Map(['output', 'notify', 'input', 'inbox', 'checker'].map((site) => [site, [0, 0, 0]]));
const changes = (site, acquired, live, leaked = 0) => {
  const row = counts.get(site);
  row[0] += acquired;
  row[1] += live;
  row[2] += leaked;
};
const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

// xorshift, so that two runs with one seed do the same
class Dice {
  constructor(seed) {
    this.state = BigInt(seed) * 0x9e3779b97f4a7c15n + 1n & 0xffffffffffffffffn;
  }

  below(n) {
    this.state ^= this.state << 13n & 0xffffffffffffffffn;
    this.state ^= this.state >> 7n;
    this.state ^= this.state << 17n & 0xffffffffffffffffn;
    return Number(this.state >> 11n) % n;
  }

  once(n) {
    return this.below(n) === 0;
  }
}

class Invalid extends Error {}

class Job {
  static rejected = [];

  /** What will become of it is decided by its number, not by when it is worked on. */
  constructor(name, dice) {
    this.name = name;
    this.bad = dice.once(40);
    this.announced = dice.once(2);
    this.heard = !dice.once(25);
    this.checked = dice.once(12);
    this.rest = 9 + dice.below(8);
  }

  openOutput() {
    this.output = fs.createWriteStream(path.join('done', `${this.name}.out`), { fd: fs.openSync(path.join('done', `${this.name}.out`), 'w') }); // LAB:output
    changes('output', 1, 1);
  }

  async readInput() {
    const input = fs.createReadStream(null, { fd: fs.openSync(path.join('inbox', this.name), 'r'), encoding: 'utf8' }); // LAB:input
    changes('input', 1, 1);
    let rows = 0;
    for await (const part of input) rows += part.split('\n').length - 1;
    if (!input.closed) await once(input, 'close');
    changes('input', 0, -1);
    return rows;
  }

  validate(rows) {
    if (this.bad) throw new Invalid(`${this.name}: ${rows} rows, no total`);
  }

  async run() {
    this.openOutput();
    const rows = await this.readInput();
    this.validate(rows);
    this.output.end(`${rows} rows\n`);
    await once(this.output, 'close');
    changes('output', 0, -1);
  }
}

class Board {
  constructor(port) {
    this.port = port;
    this.unheard = new Set();
  }

  announce(name, heard) {
    const socket = dgram.createSocket('udp4');
    socket.bind(0, '127.0.0.1'); // LAB:notify
    changes('notify', 1, 1);
    return new Promise((resolve) => {
      socket.on('listening', () => socket.send(`done ${name}`, this.port, '127.0.0.1', () => {
        if (!heard) {
          this.unheard.add(socket.unref());
          changes('notify', 0, 0, 1);
          resolve();
          return;
        }
        socket.close(() => {
          changes('notify', 0, -1);
          resolve();
        });
      }));
    });
  }
}

function pending() {
  const found = [];
  const inbox = fs.opendirSync('inbox'); // LAB:inbox
  changes('inbox', 1, 1);
  for (let entry = inbox.readSync(); entry; entry = inbox.readSync()) found.push(entry.name);
  inbox.closeSync();
  changes('inbox', 0, -1);
  return found.sort();
}

async function check(name) {
  const child = childProcess.spawn('/usr/bin/test', ['-s', path.join('done', `${name}.out`)], { stdio: 'ignore' }); // LAB:checker
  changes('checker', 1, 1);
  const [status] = await once(child, 'exit');
  changes('checker', 0, -1);
  return status === 0;
}

async function consume(queue, board) {
  for (let job = queue.shift(); job; job = queue.shift()) {
    try {
      await job.run();
      if (job.announced) await board.announce(job.name, job.heard);
      if (job.checked) await check(job.name);
    } catch (error) {
      if (!(error instanceof Invalid)) throw error;
      changes('output', 0, 0, 1);
      Job.rejected.push(job);
    }
    fs.unlinkSync(path.join('inbox', job.name));
    await pause(job.rest);
  }
}

function produce(wave, dice) {
  for (let n = 10 + dice.below(60); n > 0; n--) {
    fs.writeFileSync(path.join('inbox', `job-${wave}-${n}`), 'item;1;2\n'.repeat(1 + dice.below(400)));
  }
}

async function work(dice) {
  const listener = dgram.createSocket('udp4').bind(0, '127.0.0.1');
  await once(listener, 'listening');
  const board = new Board(listener.address().port);
  fs.mkdirSync('inbox');
  fs.mkdirSync('done');
  await fs.promises.access('inbox');
  const lines = readline.createInterface(process.stdin);
  await check('nothing');
  counts.get('checker').fill(0);
  process.stdout.write('START\n');
  await once(lines, 'line');
  for (let wave = 0; wave < 90; wave++) {
    produce(wave, dice);
    const queue = pending().map((name) => new Job(name, dice));
    await Promise.all([0, 1, 2, 3].map(() => consume(queue, board)));
    await pause(15);
  }
  await pause(200);
  process.stdout.write('DONE\n');
  for (const [site, [acquired, live, leaked]] of counts) process.stdout.write(JSON.stringify({ site, acquired, live, leaked }) + '\n');
  await once(lines, 'line');
  process.exit(0);
}

work(new Dice(process.argv[2]));
