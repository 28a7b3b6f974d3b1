# shellcheck shell=bash
# Tells what a process is, since a pid that was written down may belong to somebody else by now. For sourcing.

# Prints the command line of a living process, or nothing: command_of PID. A bare Debian has no ps, a Mac no /proc.
command_of() {
    if [ -d /proc/self ]; then
        { tr '\0' ' ' <"/proc/$1/cmdline" | sed 's/ $//'; } 2>/dev/null || true
    else
        ps -p "$1" -o stat=,args= 2>/dev/null | sed -n '/^Z/!s/^[^ ]* *//p' || true
    fi
}
