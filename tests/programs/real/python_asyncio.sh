# needs: python3
# says: 28
# sees: tcp epoll pipe process thread
# A server and its clients on asyncio, with subprocesses and executors.
exec python3 - <<'CODE'
import asyncio, concurrent.futures, hashlib

async def serve(reader, writer):
    while line := await reader.readline():
        writer.write(hashlib.sha256(line).hexdigest().encode() + b"\n")
        await writer.drain()
    writer.close()
    await writer.wait_closed()

async def client(port, number):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    last = b""
    for i in range(10):
        writer.write(b"%d %d\n" % (number, i))
        last = await reader.readline()
    writer.close()
    await writer.wait_closed()
    return last

async def child(n):
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("cat", stdin=pipe, stdout=pipe)
    out, _ = await process.communicate(b"%d" % n)
    return int(out)

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    answers = []
    for batch in range(10):
        answers += await asyncio.gather(*(client(port, batch * 20 + n) for n in range(20)))
    print(len(answers), hashlib.sha256(b"".join(answers)).hexdigest())
    print(sum(await asyncio.gather(*(child(n) for n in range(8)))))
    loop = asyncio.get_running_loop()
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        print(await asyncio.gather(*(loop.run_in_executor(pool, pow, n, n) for n in range(8))))
    server.close()
    await server.wait_closed()

asyncio.run(main())
CODE
