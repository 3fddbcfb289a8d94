#!/usr/bin/env node
// Keeps the collection's folder Reference true: names and descriptions come from openapi/openapi.json, saved answers from
// a bank.
//
//     node postman/reference.mjs NEWMAN check|save NAME=VALUE...
//
// NEWMAN is the folder of the package, NAME=VALUE a variable for the run, such as base_url. `check` changes nothing, and
// fails if `save` would. The bank must be a fresh one: `tests/clients/run BINARY save` starts one and runs this.
//
// A refusal is a saved answer of 400 or above, made by hand: it needs only `code` and `originalRequest`, which is sent right
// after the request that it belongs to. An answer that this bank does not give stays, because one bank does not give all of
// them: some exist only with COFFER_APPROVAL_ABOVE, others only without.

import { readFileSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { fileURLToPath } from "node:url";

const [newmanFolder, mode, ...assignments] = process.argv.slice(2);
const newman = createRequire(import.meta.url)(resolve(newmanFolder));
const path = (name) => fileURLToPath(new URL(name, import.meta.url));
const stored = readFileSync(path("coffer.postman_collection.json"), "utf8");
const api = JSON.parse(readFileSync(path("../openapi/openapi.json"), "utf8"));
const collection = JSON.parse(stored);
const reference = collection.item.find((folder) => folder.name === "Reference");
/** Stands for the id of any request. */
const REQUEST_ID = "019a8f3e-7c4b-7d21-9b1e-2f6a5c0d4e88";
/** What begins or ends with a day or a month: how far that is from now depends on when the bank is asked. */
const OF_THE_CALENDAR = {
    per_day: { resets_at: "2026-01-06T00:00:00.000000Z" },
    movements_per_day: { resets_at: "2026-01-06T00:00:00.000000Z" },
    per_month: { resets_at: "2026-02-01T00:00:00.000000Z" },
    today: { since: "2026-01-05T00:00:00.000000Z" },
};
/** What became of a message depends on when it is asked, and on whether there is a network. */
const OF_A_DELIVERY = { status: "delivered", attempts: 1, next_attempt_at: null, last_status: 204, last_error: null };
const OF_A_TEST = { delivered: true, status: 204, error: null, took_ms: 87 };
const items = reference.item.flatMap((folder) => folder.item);

describe();
saveAnswers(await answersOf(plan()));
finish();

/** Takes names and descriptions of requests and their parameters from the API's description. */
function describe() {
    for (const item of items) {
        const { method, url, header } = item.request;
        const template = `/${url.path.join("/").replace(/:([a-z_]+)/g, "{$1}")}`;
        const operation = api.paths[template]?.[method.toLowerCase()];
        if (!operation) throw new Error(`no such operation: ${method} ${template}`);
        item.name = operation.summary;
        item.request.description = operation.description;
        item.operation = operation;
        for (const { name, description, schema, in: place } of operation.parameters ?? []) {
            const list = { header, path: url.variable, query: url.query }[place];
            // `metadata[order_id]` is a pair of the parameter `metadata`.
            const parameter = list?.find(({ key }) => key === name || key.startsWith(`${name}[`));
            if (!parameter) throw new Error(`${item.name} lacks the parameter ${name}`);
            const { description: ofSchema, enum: values } = api.components.schemas[schema.$ref?.split("/").pop()] ?? schema;
            // What the document does not describe is described by hand.
            const said = (description ?? ofSchema ?? parameter.description)?.replace(/\n/g, " ").replace(/ One of `.*$/, "");
            parameter.description = values ? `${said} One of ${values.map((value) => `\`${value}\``).join(", ")}.` : said;
        }
    }
}

/** What the API's description says of this status. */
function responseOf(operation, status) {
    const response = operation.responses[status];
    return response.$ref ? api.components.responses[response.$ref.split("/").pop()] : response;
}

/** The collection with nothing but Reference, in which each refusal is a request of its own. */
function plan() {
    const folders = reference.item.map((folder) => ({
        ...folder,
        item: folder.item.flatMap((item) => [{ ...item, id: id(item), response: [] }, ...refusals(item).map((refusal, index) => ({
            id: id(item, index),
            name: `${item.name}, refused`,
            request: { auth: item.request.auth, ...refusal.originalRequest },
        }))]),
    }));
    return { ...collection, item: [{ ...reference, item: folders }] };
}

/** The answers by the ids of their requests, in the order in which they came. */
function answersOf(run) {
    const envVar = assignments.map((assignment) => {
        const [, key, value] = assignment.match(/^(\w+)=(.*)$/s);
        return { key, value };
    });
    const answers = new Map();
    let last;
    return new Promise((done, failed) => newman.run({ collection: run, envVar, reporters: [] }, (error, summary) => {
        const failures = error ? [{ error }] : summary.run.failures;
        if (failures.length === 0) return done(answers);
        failed(new Error(failures.map((each) => `${each.source?.name}: ${each.error.message}`).join("\n")));
    })
        // Scripts send requests, too. The last answer before the tests of a request is its own.
        .on("request", (error, { response }) => { last = response; })
        .on("beforeTest", (error, { item }) => { answers.set(item.id, last); }));
}

function saveAnswers(answers) {
    const stable = stabilizer();
    for (const item of items) {
        const answer = answers.get(id(item));
        if (answer) {
            let example = item.response.find(({ code }) => code === answer.code);
            if (!example) item.response.push((example = {}));
            const { description, auth, ...request } = item.request;
            fill(example, responseOf(item.operation, answer.code).description, request, answer, stable);
        }
        refusals(item).forEach((refusal, index) => {
            const refused = answers.get(id(item, index));
            if (!refused) return;
            if (refused.code < 400) throw new Error(`${item.name}: what should be refused is answered ${refused.code}`);
            fill(refusal, refused.json().title, refusal.originalRequest, refused, stable);
        });
        item.response.sort((a, b) => a.code - b.code);
        delete item.operation;
    }
}

/** Keeps the order of the members that Postman writes. */
function fill(example, name, originalRequest, answer, stabilized) {
    const isJson = /json/.test(answer.headers.get("Content-Type"));
    const kept = ["Content-Type", "Location", "Link", "WWW-Authenticate", "Allow", "Content-Disposition"];
    const header = kept.filter((key) => answer.headers.has(key)).map((key) => ({ key, value: answer.headers.get(key) }));
    const body = isJson ? JSON.stringify(shortened(answer.json()), null, 4) : someMetrics(answer.text());
    const stable = JSON.parse(stabilized(JSON.stringify({ header, body }), Date.parse(answer.headers.get("Date"))));
    for (const member of Object.keys(example)) delete example[member];
    Object.assign(example, {
        name,
        originalRequest: withoutWords(originalRequest),
        status: answer.status,
        code: answer.code,
        _postman_previewlanguage: isJson ? "json" : "text",
        header: stable.header,
        cookie: [],
        body: stable.body,
    });
}

/** Without descriptions and what is switched off, which would only make the collection long. */
function withoutWords({ header, url, ...request }) {
    const used = (parts) => parts?.filter(({ disabled }) => !disabled).map(({ key, value }) => ({ key, value }));
    const { query, variable, ...address } = url;
    const parameters = Object.entries({ query: used(query), variable: used(variable) }).filter(([, parts]) => parts?.length);
    return { ...request, header: used(header), url: { ...address, ...Object.fromEntries(parameters) } };
}

/** The only text that is not JSON: of the metrics, whose order changes, those that count calls of /livez. */
function someMetrics(text) {
    return text.split("\n").filter((line) => /^# TYPE coffer_http_requests_total|"GET",route="\/livez",status/.test(line)).join("\n");
}

/** Two items of a long list, nothing secret, no end of a day, and of this collection its name alone. */
function shortened(body) {
    if (body.info) return { info: { name: body.info.name, schema: body.info.schema }, item: [] };
    const secret = /^(access_token|refresh_token|secret|otpauth_uri|qr_svg|recovery_codes|hash|previous_hash|next_cursor)$/;
    // Who looked at something is recorded a moment later, before the next record or after it: so numbers differ.
    const records = (body.data ?? []).filter((item) => item.action);
    records.forEach((record, index) => { record.sequence = records.length - index; });
    return JSON.parse(JSON.stringify(body), (key, value) => {
        if (secret.test(key) && value) return Array.isArray(value) ? [`<${key.replace(/s$/, "")}>`] : `<${key}>`;
        if (value?.attempts !== undefined) return { ...value, ...OF_A_DELIVERY, last_attempt_at: value.created_at };
        if (value?.took_ms !== undefined) return OF_A_TEST;
        if (key === "heads" && value) return { entry: "<hash>", audit: "<hash>" };
        if (typeof value === "object" && value !== null && OF_THE_CALENDAR[key]) return { ...value, ...OF_THE_CALENDAR[key] };
        return Array.isArray(value) ? value.slice(0, 2) : value;
    });
}

/** Replaces what differs from run to run, the same thing always by the same. */
function stabilizer() {
    const known = new Map();
    const numbered = (kind, make) => (found) => {
        const seen = known.get(kind) ?? known.set(kind, new Map()).get(kind);
        if (!seen.has(found)) seen.set(found, make(seen.size + 1));
        return seen.get(found);
    };
    const uuid = numbered("uuid", (number) => `019a8f3e-7c4b-7d21-9b1e-${String(number).padStart(12, "0")}`);
    // With check digits (ISO 7064 MOD 97-10), as the bank's own numbers have.
    const account = numbered("account", (number) => {
        const digits = 100_000_000_000 + number;
        return String(digits * 100 + 98 - ((digits * 100) % 97));
    });
    const start = Date.parse("2026-01-05T09:00:00Z");
    let answers = 0;
    const times = new Map(Object.values(OF_THE_CALENDAR).flatMap(Object.values).map((moment) => [moment, moment]));
    // One minute for each answer; a time that lies hours from the answer, such as the end of a session, keeps its distance.
    const time = (now) => (found) => {
        const hours = Math.round((Date.parse(found) - now) / 3_600_000);
        if (!times.has(found)) {
            times.set(found, new Date(start + answers * 60_000 + hours * 3_600_000).toISOString().replace("Z", "000Z"));
        }
        return times.get(found);
    };
    return (text, now) => {
        answers += 1;
        return text
            .replace(/(request_id\\": \\")[0-9a-f-]{36}/g, `$1${REQUEST_ID}`)
            .replace(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, (found) => (found === REQUEST_ID ? found : uuid(found)))
            .replace(/\b[1-9]\d{13}\b/g, (found) => account(found))
            .replace(/(set-password\/|\btoken\\": \\")[\w-]{43}(?=\\")/g, "$1q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA")
            .replace(/http:\/\/127\.0\.0\.1:\d+(?=\/#\/)/g, "https://bank.example")
            .replace(/whpk_[\w+/]{43}=/g, "whpk_vRZ2qi7p9UgsIBZQ9D2O3eU0N8IEpQ3MSEvhT1M0Wvc=")
            .replace(/coffer_[0-9a-f]{64}/g, `coffer_${"0".repeat(60)}9f3c`)
            .replace(/(hint\\": \\")[0-9a-f]{4}/g, (_, before) => `${before}9f3c`)
            .replace(/\b(ada|bob|grace)\.\d+\.\d+@/g, "$1@")
            .replace(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z/g, time(now))
            // The days in the names of files.
            .replace(/\b\d{4}-\d\d-\d\d(?=\.csv|\.zip|-\d{4}-)/g, "2026-01-05")
            .replace(/(PostmanRuntime\/\d+)[\d.]+/g, "$1")
            .replace(/\b(cursor=)[\w-]+/g, "$1<next_cursor>");
    };
}

function refusals(item) {
    return item.response.filter(({ code }) => code >= 400);
}

function id(item, index = "answer") {
    return `${items.indexOf(item)}-${index}`;
}

function finish() {
    const renewed = `${JSON.stringify(collection, null, 2)}\n`;
    if (mode === "save") return writeFileSync(path("coffer.postman_collection.json"), renewed);
    if (renewed === stored) return;
    const before = JSON.parse(stored).item.find((folder) => folder.name === "Reference").item.flatMap((folder) => folder.item);
    const changed = items.filter((item, index) => JSON.stringify(item) !== JSON.stringify(before[index]));
    console.error("Reference in the collection is stale; `tests/clients/run BINARY save` renews it:");
    changed.forEach((item) => console.error(`  ${item.name}`));
    process.exitCode = 1;
}
