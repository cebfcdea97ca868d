# needs: python3
# says: 1225
# ends: 5
# sees: pipe thread process file
# multiprocessing (fork and spawn), subprocess, threads, signals.
cat > work.py <<'CODE'
import multiprocessing, os, signal, subprocess, sys, tempfile, threading

def square(n):
    return n * n

def fill(queue, n):
    queue.put(n)

def main():
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        with context.Pool(3) as pool:
            print(method, sum(pool.map(square, range(200))))
            pool.close()
            pool.join()
        queue = context.Queue()
        workers = [context.Process(target=fill, args=(queue, n)) for n in range(4)]
        for worker in workers:
            worker.start()
        print(sorted(queue.get() for _ in workers))
        for worker in workers:
            worker.join()
        print([worker.exitcode for worker in workers])
    for n in range(10):
        done = subprocess.run(["sh", "-c", f"echo {n}; exit {n}"], capture_output=True)
        print(done.returncode, done.stdout)
    sleeper = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    sleeper.stdin.write(b"awake\n")
    sleeper.stdin.flush()
    print(sleeper.stdout.readline())
    sleeper.send_signal(signal.SIGTERM)
    print(sleeper.wait())
    total = []
    threads = [threading.Thread(target=lambda n=n: total.append(n)) for n in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(sum(total))
    with tempfile.TemporaryFile() as file, os.popen("echo popen") as stream:
        file.write(b"x" * 10000)
        print(file.tell(), stream.read())
    sys.exit(5)

if __name__ == "__main__":
    main()
CODE
exec python3 work.py
