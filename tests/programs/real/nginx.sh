# needs: nginx curl
# says: 719041385 13899
# says:     300 hello
# says: server ended with 0
# sees: tcp epoll file unix process
# nginx with two workers (as www-data where it is started by root), reloaded under load.
. "$(dirname "$0")/lib.sh"
here=$PWD
chmod 755 "$here"
mkdir -p site temp && seq 3000 > site/numbers && chmod -R a+rX site && chmod 777 temp
user=
[ "$(id -u)" = 0 ] && user='user www-data;'
cat > nginx.conf <<CONF
$user
worker_processes 2;
daemon off;
pid $here/nginx.pid;
error_log $here/error.log;
events { worker_connections 128; }
http {
    access_log $here/access.log;
    client_body_temp_path $here/temp/body; proxy_temp_path $here/temp/proxy;
    fastcgi_temp_path $here/temp/fastcgi; uwsgi_temp_path $here/temp/uwsgi; scgi_temp_path $here/temp/scgi;
    server {
        listen 127.0.0.1:$PORT;
        location / { return 200 "hello\n"; }
        location /numbers { alias $here/site/numbers; }
    }
}
CONF
nginx -e error.log -p "$here" -c nginx.conf &
server=$!
wait_for_port "$PORT"
curl -s "http://127.0.0.1:$PORT/" "http://127.0.0.1:$PORT/numbers" | cksum
curl -sS --no-progress-meter -Z --parallel-max 8 "http://127.0.0.1:$PORT/[1-300]" | sort | uniq -c
kill -HUP "$server"; sleep 0.3
curl -s "http://127.0.0.1:$PORT/"
grep -c . access.log
stop "$server" QUIT
grep -e emerg -e alert error.log
exit 0
