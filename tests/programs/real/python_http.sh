# needs: python3 curl
# says: 1163661111 23893
# says: 404
# sees: tcp thread file process
# `python3 -m http.server` under load, and curl against it.
. "$(dirname "$0")/lib.sh"
mkdir site && seq 5000 > site/numbers
python3 -m http.server --bind 127.0.0.1 --directory site "$PORT" > log 2>&1 &
server=$!
wait_for_port "$PORT"
curl -s "http://127.0.0.1:$PORT/numbers" | cksum
curl -s -o /dev/null -w '%{http_code}\n' "http://127.0.0.1:$PORT/absent"
# A connection for each request, eight at a time.
curl -sS --no-progress-meter -Z --parallel-max 8 -H 'Connection: close' "http://127.0.0.1:$PORT/numbers?[1-300]" | cksum
curl -s --max-time 5 "http://127.0.0.1:1/" ; echo "curl ended with $?"
stop "$server"
