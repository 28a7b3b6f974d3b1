# shellcheck shell=bash
# Finds a free TCP port on loopback. For sourcing.

# Whether nobody listens on a port, on either loopback address: port_is_free PORT
port_is_free() {
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null && ! (exec 3<>"/dev/tcp/::1/$1") 2>/dev/null
}

# Prints a free port and keeps it in a file; the one already there is kept as long as it is free: free_port FILE
free_port() {
    local port
    port=$(cat "$1" 2>/dev/null) || port=
    # Below 32768, where Linux and macOS do not begin to take the ports of outgoing connections.
    until [[ "$port" =~ ^[0-9]+$ ]] && port_is_free "$port"; do
        port=$((20000 + RANDOM % 10000))
    done
    echo "$port" >"$1"
    echo "$port"
}

# Prints who listens on a port, as far as this user may know: listener_of PORT
listener_of() {
    local found=
    if command -v lsof >/dev/null; then
        found=$(lsof -nP -iTCP:"$1" -sTCP:LISTEN 2>/dev/null | awk 'NR == 2 { print $1 ", pid " $2 }') || found=
    elif command -v ss >/dev/null; then
        found=$(ss -Hltnp "sport = :$1" 2>/dev/null | sed -n '1s/.*(("\([^"]*\)",pid=\([0-9]*\).*/\1, pid \2/p') || found=
    fi
    echo "${found:-another program}"
}
