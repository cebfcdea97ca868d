// As service.c: descriptors that are forgotten, and descriptors that are closed.
const fs = require("fs");

function readConfig() {
  return fs.openSync("/etc/hostname");
}

function leaky(isClean) {
  const fd = readConfig(); // leaks here
  if (isClean) fs.closeSync(fd);
}

function healthy() {
  fs.closeSync(readConfig());
}

const isClean = process.argv[2] === "clean";
for (let i = 0; i < 40; i++) {
  leaky(isClean);
  healthy();
}
