# Short names for what docs/HACKING.md describes: https://just.systems

default:
    @just --list

# The bank on http://127.0.0.1:8080, with its books in ./data
run:
    cargo run

# One test, or all whose name contains NAME
test NAME='':
    cargo test --locked --test bank {{NAME}}

# Formatting and lints, as a change has to pass them
lint:
    cargo fmt --check
    cargo clippy --locked --all-targets -- -D warnings

# Every test but those that tests/thorough runs because they take minutes
all:
    tests/run

# What a release consists of, in target/packages/: archive, Debian package, SBOM, checksums
dist:
    packaging/dist

# Files that are generated from the code; the Postman collection needs what tests/run installs
generate:
    cargo build --locked
    target/debug/coffer openapi > openapi/openapi.json
    tests/clients/run target/debug/coffer save
    cd migrations && sha384sum */*.sql | sort -k2 > checksums
