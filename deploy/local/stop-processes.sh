# shellcheck shell=bash
# Stops what `up` started, by the pids that it wrote to .local/run. For sourcing, in the folder of the repository.

# shellcheck source=command-of-process.sh
. deploy/local/command-of-process.sh

# Whether the process of that name runs. After a crash of the machine its pid may belong to somebody else.
is_running() {
    local pid
    pid=$(cat ".local/run/$1.pid" 2>/dev/null) && [ -n "$pid" ] || return 1
    case "$(command_of "$pid")" in
    *"/$1 serve" | *"/${1%-service} serve") ;; # the second is the script that becomes the first
    *"/up" | *"/up "-* | *" up" | *" up "-*) [ "$1" = up ] ;;
    *) return 1 ;;
    esac
}

# Asks a process to end, and ends it after some seconds: stop_process NAME SECONDS
stop_process() {
    local pid waited=0
    if is_running "$1"; then
        echo "Stopping $1 ..."
        pid=$(cat ".local/run/$1.pid")
        kill "$pid" 2>/dev/null || true
        while is_running "$1" && [ "$waited" -lt $(($2 * 10)) ]; do
            sleep 0.1
            waited=$((waited + 1))
        done
        if is_running "$1"; then
            echo "$1 did not end within $2 s, killing it"
            kill -9 "$pid" 2>/dev/null || true
        fi
    fi
    rm -f ".local/run/$1.pid"
}

# Stops the processes in the order in which they need each other, each a little after its own deadline.
stop_everything() {
    stop_process gateway 25
    stop_process identity-service 15
    if deploy/local/postgres status .local/postgres >/dev/null 2>&1; then
        echo "Stopping Postgres ..."
        deploy/local/postgres stop .local/postgres
    fi
}
