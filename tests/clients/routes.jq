# What the API's description and the Postman collection do not have in common, one line each; nothing if they agree.
#   jq -nr -f routes.jq --slurpfile document openapi.json --slurpfile collection coffer.postman_collection.json

# A parameter is {user_id} in the document and {{bob_user_id}} or :user_id in the collection: {} in all.
def routes:
    .paths | to_entries[] | .key as $path | .value | to_entries[]
    | select(.key | IN("get", "put", "post", "delete", "patch", "head", "options", "trace"))
    | {method: (.key | ascii_upcase), $path, shape: ($path | gsub("{[^}]*}"; "{}")), place: "\(.value.tags[0]) / \(.value.summary)"};
def request:
    {name, method: .request.method, path: ("/" + (.request.url.path | join("/"))), tests: [.event[]?.script.exec[]]}
    | .shape = (.path | gsub("{{[^}]*}}|(?<=/):[^/]+"; "{}"));
def requests:
    .. | objects | select(has("request")) | request;
# Those of the folder Reference: each operation once, in the folder of its tag, with answers to look at.
def reference:
    .item[] | select(.name == "Reference") | .item[] | .name as $folder | .item[]
    | request + {place: "\($folder) / \(.name)", codes: [.response[].code], parameters: [.request | .header, .url.query, .url.variable | values[]]};

# Two kinds of requests name no route of the document: the one for the document itself, which does not list itself, and
# those whose tests expect the server to say that there is no such route.
def no_route_on_purpose:
    .path == "/openapi.json" or any(.tests[]; test("\"(path_not_found|method_not_allowed)\""));

[$document[0] | routes] as $routes
| [$collection[0] | requests] as $requests
| [$collection[0] | reference] as $reference
| ($routes[] | . as $route
    | select(all($requests[]; .method != $route.method or .shape != $route.shape))
    | "no request for \(.method) \(.path)"),
  ($requests[] | select(no_route_on_purpose | not) | . as $request
    | select(all($routes[]; .method != $request.method or .shape != $request.shape))
    | "no such route: \(.method) \(.path), request \"\(.name)\""),
  ($routes[] | . as $route
    | [$reference[] | select(.method == $route.method and .shape == $route.shape and .place == $route.place)]
    | select(length != 1)
    | "Reference has \(length) requests \($route.method) \($route.path) as \"\($route.place)\" instead of one"),
  ($reference[] | . as $request
    | select(all($routes[]; .method != $request.method or .shape != $request.shape))
    | "Reference has a request that is no operation: \"\(.place)\""),
  ($reference[] | select(any(.codes[]; . < 400) and any(.codes[]; . >= 400) | not)
    | "Reference lacks a saved answer or a saved refusal of \"\(.place)\""),
  ($reference[] | .place as $place | .parameters[] | select(.key != "Content-Type" and (.description // "") == "")
    | "the parameter \(.key) of \"\($place)\" has no description"),
  ($collection[0].variable[] | select((.description // "") == "") | "the variable \(.key) has no description")
