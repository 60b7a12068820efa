"""What is told of models, versions and the account, as the official clients read it."""

from typing import Any

from replicate.account import Account
from replicate.file import _json_to_file
from replicate.hardware import Hardware
from replicate.model import Model
from replicate.prediction import Prediction
from replicate.version import Version

PRO = "black-forest-labs/flux-kontext-pro"
CREATE = f"/v1/models/{PRO}/predictions"


async def test_the_strict_client_accepts_every_object(front: Any) -> None:
    get = front.client.get
    created = (await front.client.post(CREATE, json={"input": {"prompt": "x"}})).json()
    files = {"content": ("a.png", b"abc", "image/png")}

    Prediction(**created)
    Prediction(**(await get(created["urls"]["get"])).json())
    _json_to_file((await front.client.post("/v1/files", files=files)).json())
    model = Model(**(await get(f"/v1/models/{PRO}")).json())
    assert model.latest_version is not None
    Version(**(await get(f"/v1/models/{PRO}/versions/{model.latest_version.id}")).json())
    Account(**(await get("/v1/account")).json())
    assert [Hardware(**it) for it in (await get("/v1/hardware")).json()]


async def test_a_model_says_which_weights_serve_it(front: Any) -> None:
    model = (await front.client.get(f"/v1/models/{PRO}")).json()

    assert "nano" in model["description"]
    assert model["url"].startswith("http://127.0.0.1:8787/")


async def test_a_model_has_a_readme_and_no_examples(front: Any) -> None:
    readme = await front.client.get(f"/v1/models/{PRO}/readme")
    examples = await front.client.get(f"/v1/models/{PRO}/examples")
    unknown = [await front.client.get(f"/v1/models/a/b/{it}") for it in ("readme", "examples")]

    assert readme.headers["content-type"] == "text/markdown; charset=utf-8"
    assert readme.text.startswith(f"# {PRO}\n")
    assert "- `prompt`: " in readme.text
    assert examples.json() == {"next": None, "previous": None, "results": []}
    assert [it.status_code for it in unknown] == [404, 404]


async def test_an_official_model_has_versions_by_id_but_no_list(front: Any) -> None:
    model = (await front.client.get(f"/v1/models/{PRO}")).json()
    version = model["latest_version"]["id"]

    listed = await front.client.get(f"/v1/models/{PRO}/versions")
    one = await front.client.get(f"/v1/models/{PRO}/versions/{version}")
    unknown = await front.client.get(f"/v1/models/{PRO}/versions/{'0' * 64}")

    assert listed.status_code == 404
    assert one.json() == model["latest_version"]
    assert unknown.status_code == 404


async def test_the_served_schema_is_the_one_that_judges(front: Any) -> None:
    model = (await front.client.get("/v1/models/black-forest-labs/flux-kontext-dev")).json()
    rules = model["latest_version"]["openapi_schema"]["components"]["schemas"]["Input"]

    ordered = sorted(rules["properties"], key=lambda name: rules["properties"][name]["x-order"])

    assert rules["required"] == ["prompt", "input_image"]
    assert ordered == [
        "prompt", "input_image", "aspect_ratio", "num_inference_steps", "guidance", "seed",
        "output_format", "output_quality", "disable_safety_checker", "go_fast",
    ]  # fmt: skip
    assert rules["properties"]["num_inference_steps"]["default"] == 28


async def test_every_model_and_every_pinned_version_makes_predictions(front: Any) -> None:
    entries = front.services.catalogue.entries
    for entry in [it for it in entries if it.protocol == "replicate"]:
        fields = {"prompt": "x"}
        for name in entry.model.schema["required"][1:]:
            url = "https://pictures.example/a.png"
            fields[name] = [url] if name == "input_images" else url
        answer = await front.client.post(
            f"/v1/models/{entry.model.name}/predictions", json={"input": fields}
        )
        assert answer.status_code == 201, answer.text
        for version in entry.model.versions:
            body = {"version": version, "input": fields}
            answer = await front.client.post("/v1/predictions", json=body)
            assert answer.json()["model"] == entry.model.name


async def test_searching_takes_the_text_bare_or_quoted(front: Any) -> None:
    for text in ("multi list", '"multi list"'):
        found = (await front.client.request("QUERY", "/v1/models", content=text)).json()
        assert [it["name"] for it in found["results"]] == ["multi-image-list"]
    found = (await front.client.get("/v1/search", params={"query": "dev", "limit": 1})).json()
    assert [it["model"]["name"] for it in found["models"]] == ["flux-kontext-dev"]
    assert (await front.client.get("/v1/search")).status_code == 422


async def test_lists_of_what_is_not_here_are_empty_pages(front: Any) -> None:
    for name in ("collections", "trainings", "deployments"):
        answer = await front.client.get(f"/v1/{name}")
        assert answer.json() == {"next": None, "previous": None, "results": []}
    assert (await front.client.post("/v1/deployments", json={})).status_code == 405
