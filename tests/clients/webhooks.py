"""Checks messages that webhooks.mjs has printed with the library of the Standard Webhooks specification (PyPI)."""

import json
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

messages = [json.loads(line) for line in sys.stdin]
for message in messages:
    webhook = Webhook(message["secret"])
    event = webhook.verify(message["body"], message["headers"])
    assert event["type"] == "account.opened", event
    try:
        webhook.verify(message["body"] + " ", message["headers"])
    except WebhookVerificationError:
        continue
    raise AssertionError("a changed message was taken")
assert messages, "no message was printed"
print(f"{len(messages)} messages are signed as the specification says")
