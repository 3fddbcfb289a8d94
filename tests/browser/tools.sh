# Sourced by the scripts of this folder: what they need of npm, and a Node.js that is recent enough.

. ../tools.sh

install_packages() {
    command -v npm >/dev/null || install nodejs npm
    [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent --no-fund --no-audit
    # The runner of the tests is Node's own, of 20.19 or later; where the system's is older, npm has one.
    local is_recent='const [major, minor] = process.versions.node.split("."); process.exit(major > 20 || (major == 20 && minor >= 19) ? 0 : 1)'
    if ! node -e "$is_recent"; then
        [ -x node_modules/node/bin/node ] || npm install --silent --no-save --no-fund --no-audit node@22
        PATH=$PWD/node_modules/node/bin:$PATH
    fi
}
