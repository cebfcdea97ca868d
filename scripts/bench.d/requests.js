// So many requests of an HTTP service over one connection, server and client in one process: parses,
// routes, makes JSON, opens and closes a file. For counting instructions: nothing in it depends on time.
const fs = require("fs");
const http = require("http");

const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });

const server = http.createServer((request, response) => {
  const { pathname, searchParams } = new URL(request.url, "http://localhost");
  fs.closeSync(fs.openSync("/etc/passwd", "r"));
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ pathname, name: searchParams.get("name"), list: [1, 2, 3].map((x) => x * x) }));
});

server.listen(0, "127.0.0.1", () => {
  let left = Number(process.argv[2]);
  const next = () => http.get({ port: server.address().port, agent, path: "/?name=x" }, (response) => {
    response.resume().on("end", () => {
      if (--left > 0) return next();
      agent.destroy();
      server.close();
    });
  });
  next();
});
