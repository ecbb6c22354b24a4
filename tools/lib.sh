# SPDX-License-Identifier: BSD-2-Clause
# What the shell tools share: messages, the cache folder, root rights. Sourced, never run.
# shellcheck shell=bash

TOOL=$(basename "$0")

say() {
    echo "$TOOL: $*"
}

die() {
    echo "$TOOL: $*" >&2
    exit 1
}

# Runs a command as root.
as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this step needs root and there is no sudo: run it as root: $*"
    fi
}

# Runs a command that has to believe it is root, such as one that unpacks a root file system.
as_if_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    else
        fakeroot -- "$@"
    fi
}

# Sets CACHE and LOG (the output of the last long step), and sees to it that they can be written.
cache_open() {
    CACHE=${PAGEFOLD_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or PAGEFOLD_CACHE}/.cache}/pagefold}
    mkdir -p "$CACHE" 2>/dev/null && [ -w "$CACHE" ] ||
        die "cannot write to $CACHE; set PAGEFOLD_CACHE to a folder of yours"
    CACHE=$(cd "$CACHE" && pwd)
    LOG=$CACHE/last-step.log
}

# The last line of the log that says something, for a one-line message.
last_line() {
    { grep -E '^(E:|error|.*[Ee]rror)' "$LOG" || grep . "$LOG"; } 2>/dev/null | tail -n 1 | cut -c 1-160
}
