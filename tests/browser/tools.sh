# Sourced by the scripts of this folder: what they need of npm, and a Node.js that is recent enough.

. ../tools.sh

install_packages() {
    command -v npm >/dev/null || install nodejs npm
    [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent --no-fund --no-audit
    # The runner of the tests is Node's own.
    use_recent_node
}
