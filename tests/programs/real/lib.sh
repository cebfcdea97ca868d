# part: what the scripts of this directory share. Sourced by bash.
set -u
# A free port is given by whoever runs the script; it is never printed.
PORT=${PORT:-18080}
# Where Debian keeps servers.
PATH=$PATH:/usr/sbin:/sbin$(printf ":%s" /usr/lib/postgresql/*/bin)

# Waits until something listens on a port of the loopback interface.
wait_for_port() {
    local i
    for i in $(seq 300); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then
            return 0
        fi
        sleep 0.05
    done
    echo "nothing listens" && return 1
}

# Stops a server of ours and tells how it ended.
stop() {
    kill "-${2:-TERM}" "$1"
    wait "$1"
    echo "server ended with $?"
}
