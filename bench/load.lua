-- One request of one kind after the other, for wrk. Arguments: kind, a file with lines of "token account", whether the
-- load is spread over all of these accounts or the first is hot ("spread" or "hot"), whether each movement carries an
-- Idempotency-Key ("keyed" or "plain"), and a name of the run that makes its keys unique.
--
-- kinds: refused (amount 0: the ceiling), deposit, withdraw, transfer, balance, history, login

local accounts, kind, hot, keyed, run, sent = {}, nil, false, false, "", 0
local thread_count = 0

function setup(thread)
    thread_count = thread_count + 1
    thread:set("thread_id", thread_count)
end

function init(args)
    kind = args[1]
    for line in io.lines(args[2]) do
        local token, account = line:match("^(.+) (%S+)$")
        accounts[#accounts + 1] = { token = token, number = account }
    end
    hot, keyed, run = args[3] == "hot", args[4] == "keyed", args[5]
    math.randomseed(os.time() * 1000 + thread_id)
end

local function movement(fields, amount)
    return '{' .. fields .. ',"amount":"' .. amount .. '"}'
end

function request()
    local account = hot and accounts[1] or accounts[math.random(#accounts)]
    local headers = { ["Authorization"] = "Bearer " .. account.token }
    if kind == "balance" then
        return wrk.format("GET", "/balance?account_number=" .. account.number, headers)
    elseif kind == "history" then
        return wrk.format("GET", "/transactions?account_number=" .. account.number, headers)
    end
    headers["Content-Type"] = "application/json"
    if kind == "login" then
        local body = '{"email":"' .. account.number .. '","password":"' .. account.token .. '"}'
        return wrk.format("POST", "/login", { ["Content-Type"] = "application/json" }, body)
    end
    if keyed then
        sent = sent + 1
        headers["Idempotency-Key"] = run .. "-" .. thread_id .. "-" .. sent
    end
    if kind == "transfer" then
        local other
        repeat other = accounts[math.random(#accounts)] until other ~= account
        local fields = '"from_account":"' .. account.number .. '","to_account":"' .. other.number .. '"'
        return wrk.format("POST", "/transfer", headers, movement(fields, "0.01"))
    end
    local fields = '"account_number":"' .. account.number .. '"'
    if kind == "refused" then return wrk.format("POST", "/deposit", headers, movement(fields, "0")) end
    if kind == "withdraw" then return wrk.format("POST", "/withdraw", headers, movement(fields, "0.01")) end
    return wrk.format("POST", "/deposit", headers, movement(fields, "1.00"))
end

function done(summary, latency, requests)
    local failed = summary.errors
    io.write(string.format(
        '\nRESULT {"requests":%d,"seconds":%.6f,"p50_us":%d,"p99_us":%d,"bad_status":%d,"socket_errors":%d}\n',
        summary.requests, summary.duration / 1e6, latency:percentile(50), latency:percentile(99), failed.status,
        failed.connect + failed.read + failed.write + failed.timeout))
end
