# Sourced by the scripts of this folder: installing what is missing, a PostgreSQL for the length of a run, waiting for a
# bank to open, a recent Node.js, and promtool.

die() { printf '%s: %s\n' "$0" "$*" >&2; exit 1; }

# install PACKAGE...: with apt-get, as root or by sudo; not if COFFER_TESTS_INSTALL is "no".
install() {
    [ "${COFFER_TESTS_INSTALL:-yes}" != no ] || die "$* missing: install that, or leave out --no-install"
    command -v apt-get >/dev/null || die "please install $* and run this again"
    local as_root=()
    [ "$(id -u)" -eq 0 ] || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "$@"
}

# PostgreSQL refuses to run as root, so root hands it to the user `postgres`.
as_owner() { if [ "$(id -u)" -eq 0 ]; then runuser -u postgres -- "$@"; else "$@"; fi; }

has_postgres() { command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; }

# start_postgres DIRECTORY: a cluster in DIRECTORY/postgres, whose path is then in `postgres`; it listens there alone.
postgres=''
start_postgres() {
    local programs directory=$1/postgres
    programs=$(dirname "$(command -v initdb || ls /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)")
    mkdir "$directory"
    chmod 755 "$1"
    [ "$(id -u)" -ne 0 ] || chown postgres "$directory"
    (
        cd "$directory"
        as_owner "$programs/initdb" -D "$directory/data" -U postgres -A trust -N -E UTF8 >/dev/null
        as_owner "$programs/pg_ctl" -D "$directory/data" -o "-k $directory -c listen_addresses= -c fsync=off" \
            -l "$directory/log" -w start >/dev/null
    )
    postgres=$directory postgres_programs=$programs
}

# Stops it, if there is one.
stop_postgres() {
    [ -n "$postgres" ] || return 0
    (cd "$postgres" && as_owner "$postgres_programs/pg_ctl" -D "$postgres/data" -m immediate stop >/dev/null)
    postgres=''
}

# address_of_bank DIRECTORY PID: waits until the bank with this process id, which writes DIRECTORY/banner and
# DIRECTORY/log, is open, and prints where.
address_of_bank() {
    local address
    for _ in $(seq 300); do
        address=$(sed -n 's/^ *API *//p' "$1/banner")
        [ -z "$address" ] || { echo "$address"; return 0; }
        kill -0 "$2" 2>/dev/null || { cat "$1/log" >&2; return 1; }
        sleep 0.1
    done
    echo "the bank did not open" >&2
    return 1
}

# use_promtool: puts promtool on the path. Its package would start a server: where it is not installed, the program alone is
# taken out of it, into target/promtool.
use_promtool() {
    command -v promtool >/dev/null && return 0
    local place=$PWD/target/promtool as_root=()
    [ -x "$place/usr/bin/promtool" ] || {
        [ "${COFFER_TESTS_INSTALL:-yes}" != no ] || die "promtool missing: install prometheus, or leave out --no-install"
        command -v apt-get >/dev/null || die "please install promtool and run this again"
        [ "$(id -u)" -eq 0 ] || as_root=(sudo)
        "${as_root[@]}" apt-get update -qq
        mkdir -p "$place"
        (cd "$place" && apt-get download -qq prometheus && dpkg-deb --extract prometheus_*.deb . && rm prometheus_*.deb)
    }
    PATH=$place/usr/bin:$PATH
}

# use_recent_node: where the system's Node.js is older than 20.19, gets a newer one from npm, into ./node_modules.
use_recent_node() {
    local is_recent='const [major, minor] = process.versions.node.split("."); process.exit(major > 20 || (major == 20 && minor >= 19) ? 0 : 1)'
    node -e "$is_recent" || {
        [ -x node_modules/node/bin/node ] || npm install --silent --no-save --no-fund --no-audit node@22
        PATH=$PWD/node_modules/node/bin:$PATH
    }
}
