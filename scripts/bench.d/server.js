// A small HTTP service: parses, routes, makes JSON, opens and closes a file. It prints its port, and when
// it is told to end the microseconds of CPU that a request took, once it was warm.
const fs = require("fs");
const http = require("http");

const WARM = 4000;
let requests = 0;
let begin = process.cpuUsage();

const routes = new Map([
  ["/", (query) => ({ hello: query.get("name") ?? "world", list: [1, 2, 3].map((x) => x * x) })],
  ["/file", () => ({ bytes: readSome("/etc/passwd") })],
]);

function readSome(path) {
  const fd = fs.openSync(path, "r");
  const bytes = fs.readSync(fd, Buffer.alloc(512));
  fs.closeSync(fd);
  return bytes;
}

const server = http.createServer((request, response) => {
  if (++requests === WARM) begin = process.cpuUsage();
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  const route = routes.get(requests % 4 === 0 ? "/file" : pathname);
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify(route ? route(searchParams) : { error: "none" }));
});

server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.on("SIGTERM", () => {
  const { user, system } = process.cpuUsage(begin);
  console.log((user + system) / Math.max(requests - WARM, 1), requests);
  process.exit(0);
});
