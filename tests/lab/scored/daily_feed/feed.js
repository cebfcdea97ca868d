'use strict';
const fs = require('fs');
const net = require('net');
const { EventEmitter } = require('events');

const DAY = 86400 / 20000 * 1000; // milliseconds
const HOUR = DAY / 24;
const DAYS = 3.9;

const sites = Object.fromEntries(['reader', 'edition', 'archive', 'article'].map((site) => [site, { site, acquired: 0, live: 0, leaked: 0 }]));

// A small permuted generator; the whole day is drawn from it.
let seed = (Number(process.argv[2]) * 747796405 + 2891336453) >>> 0;
function random() {
  seed = (Math.imul(seed, 747796405) + 2891336453) >>> 0;
  const word = Math.imul((seed >>> ((seed >>> 28) + 4)) ^ seed, 277803737) >>> 0;
  return (((word >>> 22) ^ word) >>> 0) / 4294967296;
}

class Press extends EventEmitter {
  constructor() {
    super();
    this.editions = [];
    this.hour = 0;
    fs.mkdirSync('articles');
    for (let n = 0; n < 30; n++) fs.writeFileSync(`articles/${n}`, `article ${n}\n`);
  }

  print() {
    const fd = fs.openSync(`edition.${this.hour++}`, 'w+'); // LAB:edition
    sites.edition.acquired++;
    sites.edition.live++;
    this.editions.push(fd);
    if (this.editions.length > 48) {
      fs.closeSync(this.editions.shift());
      sites.edition.live--;
    }
    for (const name of this.look()) fs.writeSync(fd, this.article(name));
    this.emit('edition', this.hour);
  }

  look() {
    const dir = fs.opendirSync('articles'); // LAB:archive
    sites.archive.acquired++;
    sites.archive.live++;
    const names = [];
    let entry;
    while ((entry = dir.readSync()) !== null) if (random() < 0.4) names.push(entry.name);
    dir.closeSync();
    sites.archive.live--;
    return names;
  }

  article(name) {
    const fd = fs.openSync(`articles/${name}`, 'r'); // LAB:article
    sites.article.acquired++;
    sites.article.live++;
    try {
      return fs.readFileSync(fd, 'utf8');
    } finally {
      fs.closeSync(fd);
      sites.article.live--;
    }
  }
}

class Feed {
  constructor(press) {
    this.listening = new Set();
    this.server = net.createServer({ allowHalfOpen: false }, (peer) => {
      this.listening.add(peer);
      peer.on('error', () => {});
      peer.resume().on('close', () => {
        this.listening.delete(peer);
        sites.reader.live--;
      });
    });
    press.on('edition', (hour) => {
      for (const peer of this.listening) if (peer.writable) peer.write(`edition ${hour}\n`);
    });
  }
}

class Reader {
  static join(port, stay) {
    const socket = net.connect(port, '127.0.0.1'); // LAB:reader
    sites.reader.acquired += 2;
    sites.reader.live += 2;
    socket.resume();
    socket.on('close', () => { sites.reader.live--; });
    socket.on('connect', () => setTimeout(() => socket.end(), stay));
  }
}

/** How busy the hour is: a tenth at night, ten times that at noon. */
function busy(at) {
  return 0.55 - 0.45 * Math.cos(2 * Math.PI * at / DAY);
}

function live(port, press, over) {
  const begun = performance.now();
  let hours = 0;
  const step = () => {
    const at = performance.now() - begun;
    if (at >= DAY * DAYS) {
      over();
      return;
    }
    while (at >= hours * HOUR) {
      press.print();
      hours++;
    }
    if (random() < busy(at)) Reader.join(port, HOUR * (0.5 + 2 * random()));
    setTimeout(step, 3 + 3 * random());
  };
  step();
}

function told(over) {
  const waiting = [over.begin, over.end];
  process.stdin.on('data', () => waiting.shift()());
  console.log('START');
}

const press = new Press();
const feed = new Feed(press);
feed.server.listen(0, '127.0.0.1', 256, () => told({
  begin: () => live(feed.server.address().port, press, () => setTimeout(() => {
    console.log('DONE');
    for (const row of Object.values(sites)) console.log(JSON.stringify(row));
  }, HOUR * 3 + 300)),
  end: () => process.exit(0),
}));
