# What the API's description and the Postman collection do not have in common, one line each; nothing if they agree.
#   jq -nr -f routes.jq --slurpfile document openapi.json --slurpfile collection coffer.postman_collection.json

# A parameter is {user_id} in the document and any variable, such as {{bob_user_id}}, in the collection: {} in both.
def routes:
    .paths | to_entries[] | .key as $path | .value | keys[]
    | select(IN("get", "put", "post", "delete", "patch", "head", "options", "trace"))
    | {method: ascii_upcase, $path, shape: ($path | gsub("{[^}]*}"; "{}"))};
def requests:
    .. | objects | select(has("request"))
    | {name, method: .request.method, path: ("/" + (.request.url.path | join("/"))), tests: [.event[]?.script.exec[]]}
    | .shape = (.path | gsub("{{[^}]*}}"; "{}"));

# Two kinds of requests name no route of the document: the one for the document itself, which does not list itself, and
# those whose tests expect the server to say that there is no such route.
def no_route_on_purpose:
    .path == "/openapi.json" or any(.tests[]; test("\"(path_not_found|method_not_allowed)\""));

[$document[0] | routes] as $routes
| [$collection[0] | requests] as $requests
| ($routes[] | . as $route
    | select(all($requests[]; .method != $route.method or .shape != $route.shape))
    | "no request for \(.method) \(.path)"),
  ($requests[] | select(no_route_on_purpose | not) | . as $request
    | select(all($routes[]; .method != $request.method or .shape != $request.shape))
    | "no such route: \(.method) \(.path), request \"\(.name)\"")
