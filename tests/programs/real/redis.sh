# needs: redis-server redis-cli redis-benchmark
# says: benchmark ended with 0
# says: server ended with 0
# sees: tcp epoll thread file process
# redis-server with a fork for its snapshot, an append-only file, and redis-benchmark.
. "$(dirname "$0")/lib.sh"
redis-server --port "$PORT" --bind 127.0.0.1 --save '' --appendonly yes --dir . > log 2>&1 &
server=$!
wait_for_port "$PORT"
redis-benchmark -h 127.0.0.1 -p "$PORT" -q -n 3000 -c 20 -t set,get,lpush > benchmark 2>&1
echo "benchmark ended with $?"
for i in $(seq 5); do redis-cli -p "$PORT" set "key$i" "$i"; done
redis-cli -p "$PORT" save
redis-cli -p "$PORT" bgrewriteaof > answer
for i in $(seq 100); do
    redis-cli -p "$PORT" info persistence | grep -q 'aof_rewrite_in_progress:0' && break
    sleep 0.05
done
redis-cli -p "$PORT" get key3
redis-cli -p "$PORT" shutdown nosave
wait "$server"; echo "server ended with $?"
