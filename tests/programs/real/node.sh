# needs: node
# says: bytes 1600
# says: worker 42
# ends: 4
# sees: tcp epoll eventfd thread process
# A node HTTP server and its clients, with files, children, a worker and a timer.
exec node - <<'CODE'
const http = require('http'), fs = require('fs'), { execFile } = require('child_process')
const { Worker } = require('worker_threads')
const server = http.createServer((request, response) => {
  if (request.url === '/file') return fs.createReadStream('/etc/passwd').pipe(response)
  response.end('hello ' + request.url)
})
const get = (port, path, agent) => new Promise((resolve, reject) => {
  http.get({ port, host: '127.0.0.1', path, agent }, response => {
    let text = ''
    response.on('data', part => text += part).on('end', () => resolve(text))
  }).on('error', reject)
})
server.listen(0, '127.0.0.1', async () => {
  const port = server.address().port, agent = new http.Agent({ keepAlive: true, maxSockets: 4 })
  let bytes = 0
  for (let i = 0; i < 20; i++) {
    const batch = Array.from({ length: 10 }, (_, n) => get(port, '/' + n, n % 2 ? agent : false))
    for (const text of await Promise.all(batch)) bytes += text.length
  }
  console.log('bytes', bytes)
  const file = await get(port, '/file', false)
  console.log('file', file === fs.readFileSync('/etc/passwd', 'utf8'))
  await new Promise(done => execFile('echo', ['child'], (_, out) => { console.log(out.trim()); done() }))
  await new Promise(done => new Worker('require("worker_threads").parentPort.postMessage(42)', { eval: true })
    .on('message', value => console.log('worker', value)).on('exit', done))
  agent.destroy()
  server.close(() => { console.log('closed'); process.exitCode = 4 })
})
CODE
