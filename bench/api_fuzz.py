"""Fuzz the five protocols by their own OpenAPI documents, with schemathesis.

    python bench/api_fuzz.py [--cases 2000] [--protocol NAME] [--seed 1] [--quick]

Starts `retouch serve` with the toy weights on a folder of its own, makes a key, and sends every
address generated requests, those its document allows and those it forbids, until each protocol
had that many. A failure is a 5xx, a status, type or body the document does not promise, a request
it allows refused, one it forbids accepted, a door left open. Prints a table and, last, one JSON
object; ends with 1 where anything failed.
"""

import argparse
import base64
import json
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import schemathesis
from PIL import Image
from schemathesis import Case, GenerationMode, HookContext
from schemathesis.config import (
    CacheConfig,
    CoveragePhaseConfig,
    GenerationConfig,
    PhasesConfig,
    ProjectConfig,
    ProjectsConfig,
    SchemathesisConfig,
    StatefulPhaseConfig,
)
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response
from schemathesis.engine import events, from_schema
from schemathesis.schemas import BaseSchema
from shared.aims import Aim, tell

from retouch.running import running_server

PROTOCOLS = ("replicate", "fal", "wavespeed", "bfl", "openai")
QUICK_CASES = 30
AIMS = (Aim("protocols.*.failures", "<=", 0),)
EXAMPLES = 8  # generated requests of each kind, for each address and round

# -- what schemathesis cannot know ---------------------------------------------------------------

ARITHMETIC = (
    "must be between 21:9 and 9:21",
    "must be multiples of 16",
    "must be between 1:3 and 3:1",
    "pixels in all",
    "more than 4194304 pixels",
    "expected at most 8 pictures",
    "Must be the same as webhook",
    "days after start_time",
)
"""What answers say of rules about several numbers or fields at once, which no schema can say."""

LENIENT = "/fal-ai/"
"""Where numbers and flags may come as text; no schema can bound a number in a text."""


def is_ours(failure: Failure, case: Case[Any], response: Response) -> bool:
    """Whether a failure is one: false for what a document has no words for."""
    said = response.content.decode("utf-8", "replace")
    if failure.title == "Schema-valid request rejected":
        # What the proxy's header names is another address; without one there is nothing to do.
        is_proxy = case.path == "/api/fal/proxy"
        return not (is_proxy or any(words in said for words in ARITHMETIC))
    if failure.title == "Schema-violating request accepted":
        # Addresses are taken in more scripts and spellings than the pattern promises.
        is_address = re.search(r'became "(https?:|data:)', failure.message, re.IGNORECASE)
        return not (response.status_code == 413 or is_address or _spells_a_number(case))
    # OpenAPI 3.1 has no word for the method QUERY; the document tells of it as `x-query`.
    return "QUERY" not in failure.message


def _spells_a_number(case: Case[Any]) -> bool:
    """Whether a text may stand for a number or a flag: in a form, and in a body for fal."""
    is_form = case.media_type == "multipart/form-data"
    if not (is_form or case.path.startswith(LENIENT)) or not isinstance(case.body, dict):
        return False
    texts = [value for value in case.body.values() if isinstance(value, str)]
    return any(_is_number(text) or text.lower() in ("true", "false") for text in texts)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _png(picture: Image.Image) -> bytes:
    held = BytesIO()
    picture.save(held, "PNG")
    return held.getvalue()


def _mask() -> Image.Image:
    """Marks the middle, so that some of it is left whatever shape is cut around the centre."""
    whole = Image.new("RGBA", SIDES, "black")
    whole.paste((0, 0, 0, 0), (24, 24, 40, 40))
    return whole


SIDES = 64, 64
PICTURE, MASK = _png(Image.new("RGB", SIDES, (200, 30, 30))), _png(_mask())
REAL = {**dict.fromkeys(("image", "images", "url", "urls"), PICTURE), "mask": MASK}
"""The fields of an edit that is waited for, and what takes the place of what was made up."""


def with_pictures(case: Case[Any]) -> Case[Any]:
    """The case with real pictures for made-up ones where the answer waits for the edit.

    That an address leads nowhere, or that a mask marks nothing, is told when the edit fails,
    which no schema can foresee.
    """
    meta, body = case.meta, cast("Any", case.body)
    if meta is None or not meta.generation.mode.is_positive or not isinstance(body, dict):
        return case
    said, is_form = dict(meta.components), case.media_type == "multipart/form-data"
    if "/images/" in case.path:
        for name, data in REAL.items():
            if body.get(name) is not None:
                body[name] = data if is_form else _uri(data)
    # Whoever edits a body has it judged anew, and bytes are forbidden there whatever they hold.
    if case.meta is not None:
        case.meta.components.update(said)
        case.meta.generation.mode = GenerationMode.POSITIVE
    return case


def _uri(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


# -- running it ----------------------------------------------------------------------------------


@dataclass
class Tally:
    """What came of one protocol's requests."""

    cases: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)  # allowed and forbidden
    failures: dict[str, str] = field(default_factory=dict)  # what failed, and how to see it

    def add(self, event: events.ScenarioFinished) -> None:
        """Count one address's requests."""
        recorder = event.recorder
        self.cases += len(recorder.interactions)
        for id, interaction in recorder.interactions.items():
            answer = interaction.response
            self.statuses[str(answer.status_code) if answer else "none"] += 1
            meta = recorder.cases[id].value.meta
            self.kinds[meta.generation.mode.value if meta else "other"] += 1
        for id, checks in recorder.checks.items():
            answer = recorder.interactions[id].response if id in recorder.interactions else None
            said = answer.content[:300].decode("utf-8", "replace") if answer else "no answer"
            for check in checks:
                if check.failure_info is not None:
                    failure = check.failure_info.failure
                    told = f"{failure.message}\n{check.failure_info.code_sample}\n{said}"
                    self.failures.setdefault(f"{recorder.label}: {failure.title}", told)


def fuzz(schema: BaseSchema, tally: Tally) -> None:
    """One round of schemathesis over every address of a document."""
    schema.hook("filter_failure")(_kept)
    schema.hook("map_case")(_mapped)
    schema.hook("before_add_examples")(_mapped_all)
    for event in from_schema(schema).execute():
        match event:
            case events.ScenarioFinished():
                tally.add(event)
            case events.NonFatalError():
                tally.failures.setdefault(f"{event.label}: error", str(event.value))
            case events.FatalError():
                tally.failures.setdefault("the run: error", str(event.exception))


def _kept(_context: HookContext, failure: Failure, case: Case[Any], response: Response) -> bool:
    return is_ours(failure, case, response)


def _mapped(_context: HookContext, case: Case[Any]) -> Case[Any]:
    return with_pictures(case)


def _mapped_all(_context: HookContext, examples: list[Case[Any]]) -> None:
    """What a document gives as examples does not pass through `map_case`."""
    examples[:] = [with_pictures(case) for case in examples]


def config(
    key: str, *, seed: int, examples: int = EXAMPLES, is_thorough: bool = True
) -> SchemathesisConfig:
    """Every check, requests of both kinds, and no chains of calls.

    When thorough, the edges of each field are tried too, one after another.
    """
    project = ProjectConfig(
        headers={"Authorization": f"Bearer {key}"},
        generation=GenerationConfig(max_examples=examples, database="none", no_shrink=True),
        phases=PhasesConfig(
            coverage=CoveragePhaseConfig(enabled=is_thorough),
            stateful=StatefulPhaseConfig(enabled=False),
        ),
        continue_on_failure=True,
    )
    return SchemathesisConfig(
        projects=ProjectsConfig(default=project), seed=seed, cache=CacheConfig(enabled=False)
    )


def key_of(data: Path) -> str:
    """A new key of a running server."""
    command = [sys.executable, "-m", "retouch.cli", "keys", "create", "fuzz", "--json"]
    made = subprocess.run(  # noqa: S603  our own command
        [*command, "--data", str(data)], capture_output=True, text=True, check=True
    )
    return str(json.loads(made.stdout)["key"])


def against(
    url: str, key: str, name: str, *, cases: int, seed: int, is_thorough: bool = True
) -> Tally:
    """Rounds of another seed each, until a protocol had so many requests."""
    tally = Tally()
    examples = EXAMPLES if is_thorough else 1
    while tally.cases < cases:
        chosen = config(key, seed=seed, examples=examples, is_thorough=is_thorough)
        address = f"{url}/{name}/openapi.json"
        fuzz(schemathesis.openapi.from_url(address, config=chosen), tally)
        seed += 1
    return tally


def show(name: str, tally: Tally, took_s: float) -> dict[str, Any]:
    """Print a protocol's line and its failures; its figures."""
    allowed, forbidden = tally.kinds["positive"], tally.kinds["negative"]
    failures, statuses = len(tally.failures), dict(sorted(tally.statuses.items()))
    print(f"{name:<11}{tally.cases:>7}{allowed:>9}{forbidden:>11}{failures:>10}{took_s:>6.0f}")
    print("           ", statuses, flush=True)
    for title, told in tally.failures.items():
        print(f"  {title}\n    " + told.replace("\n", "\n    "))
    return {
        "cases": tally.cases,
        "statuses": statuses,
        "failures": failures,
        "seconds": round(took_s, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--protocol", action="append", choices=PROTOCOLS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    figures, cases = {}, QUICK_CASES if given.quick else given.cases

    print(f"{'protocol':<11}{'cases':>7}{'allowed':>9}{'forbidden':>11}{'failures':>10}{'s':>6}")
    with (
        tempfile.TemporaryDirectory() as folder,
        running_server(Path(folder), "--weights", "toy") as server,
    ):
        key = key_of(server.data)
        for name in given.protocol or PROTOCOLS:
            started = time.monotonic()
            tally = against(
                *(server.url, key, name),
                cases=cases,
                seed=given.seed,
                is_thorough=not given.quick,
            )
            figures[name] = show(name, tally, time.monotonic() - started)
    sys.exit(not tell({"seed": given.seed, "protocols": figures}, AIMS))


if __name__ == "__main__":
    main()
