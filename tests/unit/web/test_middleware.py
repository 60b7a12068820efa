"""What a request leaves in the log, and what it does not."""

from typing import Any

import structlog

CREATE = "/v1/models/black-forest-labs/flux-kontext-pro/predictions"


async def test_the_log_names_addresses_and_never_values(front: Any) -> None:
    headers = await front.key()
    body = {"input": {"prompt": "my private prompt", "auth": "r8_secret"}}

    with structlog.testing.capture_logs() as lines:
        created = (await front.client.post(CREATE, json=body, headers=headers)).json()
        await front.finish_one()
        shown = (await front.client.get(created["urls"]["get"], headers=headers)).json()
        await front.client.get(shown["output"])
        await front.client.get(created["urls"]["stream"])
        await front.client.post(CREATE, json={"input": {"seed": "r8_secret"}}, headers=headers)

    text = repr(lines)
    assert [line["event"] for line in lines].count("http.request") == 5
    assert "/v1/predictions/{id}" in text
    for secret in (
        "my private prompt",
        "r8_secret",
        "signature=",
        "bcwr-",
        headers["authorization"],
    ):
        assert secret not in text.replace("bcwr-{ticket}", "")
