#!/bin/sh
# Installs what tests need from the system, chromium and PostgreSQL, where this is Debian and we may; else says so.
missing=""
command -v chromium >/dev/null || missing="$missing chromium"
command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
[ -z "$missing" ] && exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    echo "Installing for the tests:$missing ..."
    export DEBIAN_FRONTEND=noninteractive
    # The server that Debian would start is not wanted: the tests start their own.
    (apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing) >/dev/null 2>&1 && exit 0
fi
echo "Tests that need$missing are skipped; on Debian: apt-get install$missing"
