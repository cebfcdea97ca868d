# needs: sqlite3
# says: ok
# says: 5000|name 999
# says: 2504
# sees: file process
# SQLite: tables, an index, a journal, a write-ahead log, a vacuum, an error.
sqlite3 a.db <<'SQL'
create table t(id integer primary key, name text);
with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000)
    insert into t select i, 'name ' || i from n;
create index by_name on t(name);
select count(*), max(name) from t;
pragma journal_mode = wal;
delete from t where id % 2 = 0;
pragma wal_checkpoint;
vacuum;
pragma integrity_check;
attach 'b.db' as b; create table b.u as select * from t where id < 100;
select count(*) from b.u;
SQL
for i in 1 2 3 4; do sqlite3 -cmd '.timeout 10000' a.db "insert into t values ($((i * 100000)), 'x')" & done
wait
sqlite3 a.db 'select count(*) from t; select * from absent' 2>&1
echo "ended with $?"
