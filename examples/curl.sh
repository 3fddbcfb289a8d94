#!/usr/bin/env bash
# A customer's whole journey with nothing but curl and jq: examples/curl.sh [ADDRESS OF THE BANK]
#
# Every movement has an Idempotency-Key, made before it is sent for the first time. So whatever happens on the way (a
# connection that breaks, a server that restarts), it can be sent again: the money moves once.
set -euo pipefail

bank=${1:-http://127.0.0.1:8080}
token=''
# Of a try that failed and is repeated, curl takes back what it wrote to a file, but not what it wrote elsewhere.
answer=$(mktemp)
trap 'rm -f "$answer"' EXIT

say() { printf '\n== %s\n' "$*" >&2; }
new_key() { od -An -N16 -tx1 /dev/urandom | tr -d ' \n'; }

# call METHOD PATH [BODY [KEY]]: prints the answer. Fails with the problem's code and detail when the bank refuses.
# What changes nothing, and what has a key, is tried again after failures that may pass: curl waits as Retry-After says.
call() {
    local method=$1 path=$2 body=${3:-} key=${4:-} status
    local options=(--silent --show-error --request "$method" --max-time 30)
    [ -z "$token" ] || options+=(--header "Authorization: Bearer $token")
    [ -z "$body" ] || options+=(--header 'Content-Type: application/json' --data "$body")
    [ -z "$key" ] || options+=(--header "Idempotency-Key: $key")
    if [ "$method" = GET ] || [ -n "$key" ]; then
        options+=(--retry 5 --retry-connrefused --retry-all-errors)
    fi
    : >"$answer"
    status=$(curl "${options[@]}" --output "$answer" --write-out '%{http_code}' "$bank$path")
    if [ "$status" -ge 400 ]; then
        jq -r '"\(.code): \(.detail)"' "$answer" >&2
        return 1
    fi
    cat "$answer"
}

# expect WHAT ACTUAL EXPECTED
expect() {
    [ "$2" = "$3" ] || { echo "$1 is $2 instead of $3" >&2; exit 1; }
    echo "$1: $2"
}

balance() { call GET "/balance?account_number=$1" | jq -r .balance; }

say 'Become a customer and sign in'
email="ada.$(new_key)@example.com"
password='correct horse battery staple'
account=$(call POST /create_account "$(jq -n --arg email "$email" --arg password "$password" \
    '{name: "Ada Lovelace", $email, $password}')" | jq -r .account.account_number)
tokens=$(call POST /login "$(jq -n --arg email "$email" --arg password "$password" '{$email, $password}')")
token=$(jq -r .access_token <<<"$tokens")

say 'Pay in, and send the same request again: the money moves once'
key=$(new_key)
deposit=$(jq -n --arg account "$account" '{account_number: $account, amount: "100.50", description: "Salary"}')
first=$(call POST /deposit "$deposit" "$key")
again=$(call POST /deposit "$deposit" "$key")
expect 'the movement' "$(jq -r .id <<<"$again")" "$(jq -r .id <<<"$first")"
expect 'the balance' "$(balance "$account")" 100.50

say 'Open a savings account and put some aside'
savings=$(call POST /accounts '{"label": "Savings"}' | jq -r .account_number)
transfer=$(jq -n --arg from "$account" --arg to "$savings" \
    '{from_account: $from, to_account: $to, amount: "26", description: "Put aside"}')
call POST /transfer "$transfer" "$(new_key)" >/dev/null
expect 'the balance' "$(balance "$account")" 74.50
expect 'the savings' "$(balance "$savings")" 26.00

say 'Ask for too much, and read why not'
withdrawal=$(jq -n --arg account "$account" '{account_number: $account, amount: "1000"}')
if refusal=$(call POST /withdraw "$withdrawal" "$(new_key)" 2>&1); then exit 1; fi
refusal=${refusal##*$'\n'}
echo "$refusal"
call GET "/problems/${refusal%%:*}" | jq -r .what_to_do

say 'Move several amounts at once, all or none'
batch=$(jq -n --arg account "$account" '{atomic: true, transactions: [
    {type: "withdrawal", account_number: $account, amount: "4.50", description: "Coffee"},
    {type: "withdrawal", account_number: $account, amount: "20", description: "Groceries"}]}')
expect 'booked' "$(call POST /transactions/batch "$batch" "$(new_key)" | jq -r .booked)" 2

say 'Read the history, two entries at a time'
cursor='' entries=0
while :; do
    page=$(call GET "/transactions?account_number=$account&limit=2$cursor")
    jq -r '.data[] | "\(.created_at[:10])  \(if .direction == "debit" then "-" else "+" end)\(.amount)  \(.description)"' <<<"$page"
    entries=$((entries + $(jq '.data | length' <<<"$page")))
    [ "$(jq .has_more <<<"$page")" = true ] || break
    cursor="&cursor=$(jq -r .next_cursor <<<"$page")"
done
expect 'entries' "$entries" 4

say 'Take a statement for a spreadsheet'
call GET "/accounts/$account/statement.csv" | cut -d, -f1-7

say 'Get new tokens before the old one ends'
tokens=$(call POST /refresh "$(jq '{refresh_token}' <<<"$tokens")")
token=$(jq -r .access_token <<<"$tokens")

say 'Take the savings back and close that account'
transfer=$(jq -n --arg from "$savings" --arg to "$account" '{from_account: $from, to_account: $to, amount: "26"}')
call POST /transfer "$transfer" "$(new_key)" >/dev/null
call DELETE "/accounts/$savings"
expect 'the balance' "$(balance "$account")" 76.00

say 'Hear of the next deposit as soon as it is booked'
etag=$(curl --silent --head --header "Authorization: Bearer $token" "$bank/balance?account_number=$account" \
    | sed -n 's/^etag: \("[^"]*"\).*/\1/Ip')
(
    answer=$(mktemp)
    sleep 1
    call POST /deposit "$(jq '.amount = "1"' <<<"$deposit")" "$(new_key)" >/dev/null
    rm -f "$answer"
) &
another=$(curl --silent --max-time 30 --header "Authorization: Bearer $token" --header "If-None-Match: $etag" \
    --header 'Prefer: wait=25' "$bank/balance?account_number=$account")
expect 'the balance' "$(jq -r .balance <<<"$another")" 77.00
wait

say 'Sign out'
call POST /logout
if call GET /me 2>/dev/null; then exit 1; fi
echo 'It all worked.'
