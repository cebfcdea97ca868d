# needs: initdb postgres pg_ctl psql pgbench
# user: postgres
# says: pgbench -C ended with 0
# says: 140
# sees: tcp epoll file process mapping
# PostgreSQL: a cluster is made and started; pgbench, also with a connection for each transaction.
. "$(dirname "$0")/lib.sh"
export PGHOST=127.0.0.1 PGPORT=$PORT PGUSER=bench PGDATABASE=postgres
initdb -D data -U bench -A trust --no-sync -E UTF8 --no-locale > log 2>&1
echo "initdb ended with $?"
postgres -D data -c listen_addresses=127.0.0.1 -c port="$PORT" -c unix_socket_directories='' \
    -c fsync=off -c shared_buffers=8MB -c max_connections=20 -c autovacuum_naptime=1 > server.log 2>&1 &
server=$!
for i in $(seq 200); do psql -Atc 'select 1' > ready 2> not-ready && break; sleep 0.05; done
pgbench -i -s 1 -q > log 2>&1; echo "initialised: $?"
pgbench -n -c 4 -j 2 -t 25 > log 2>&1; echo "pgbench ended with $?"
pgbench -n -C -c 4 -t 10 > log 2>&1; echo "pgbench -C ended with $?"
psql -Atc 'select count(*) from pgbench_history'
psql -Atc 'select 1/0' 2>&1; echo "psql ended with $?"
stop "$server" INT
