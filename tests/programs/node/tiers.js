// A leak and its healthy twin, called so often that V8 compiles both again and again.
const fs = require("fs");

function leaky(kept) {
  kept.push(fs.openSync("/etc/hostname", "r"));
}

function healthy() {
  fs.closeSync(fs.openSync("/etc/hostname", "r"));
}

const kept = [];
let rounds = 0;
const timer = setInterval(() => {
  for (let i = 0; i < 20; i++) {
    // Every other call of `leaky` is given back, so that the work can go on for long.
    if (i % 20 === 0) leaky(kept);
    for (let j = 0; j < 20; j++) healthy();
  }
  if (++rounds === 400) clearInterval(timer);
}, 5);
