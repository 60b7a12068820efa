"""The documents name only what there is: links, files, commands, options, targets and settings."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from retouch.cli import COMMANDS, main
from retouch.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
PAGES = (
    *sorted(ROOT.glob("*.md")),
    *sorted(ROOT.glob("docs/**/*.md")),
    ROOT / "src/retouch/protocols/README.md",
    ROOT / "src/retouch/weights/nano/README.md",
    ROOT / "examples/photos/CREDITS.md",
)
IDS = [str(page.relative_to(ROOT)) for page in PAGES]

LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"```\w*\n(.*?)```|`([^`\n]+)`", re.DOTALL)
FILE = re.compile(
    r"(?<![\w/.])(?:bench|docs|deploy|examples|src|tests|training)/[\w./-]+\.(?:py|md|txt|sh|yaml)\b"
)
COMMAND = re.compile(r"(?:^|[\s/(])retouch ((?:[a-z]+ ?)+)((?:[^\n`|]|\\\n)*)")
MODULE = re.compile(r"python -m ((?:training|retouch)[\w.]*)((?: [^\n`|]+)?)")
SCRIPT = re.compile(r"python3? ((?:bench|examples)/\w+\.py)((?: [^\n`|]+)?)")
TO_BE_WRITTEN = {"docs/NAME.md", "src/retouch/protocols/darkroom.py"}
"""Files that a recipe has its reader make."""

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def code_of(page: Path) -> str:
    """What a page says in code, a line for each piece of it."""
    return "\n".join(block or inline for block, inline in CODE.findall(page.read_text()))


def slugs(page: Path) -> Iterator[str]:
    """The anchors of a page's headings, as its readers' sites make them."""
    for heading in re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE):
        yield re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(page.read_text()):
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if "://" in link or link.startswith("mailto:"):
            continue
        if not target.exists() or (anchor and anchor not in slugs(target)):
            broken.append(link)

    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_file_is_there(page: Path) -> None:
    named = {*FILE.findall(code_of(page))} - TO_BE_WRITTEN

    assert [it for it in sorted(named) if not (ROOT / it).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=IDS)
def test_every_script_takes_the_options_it_is_given(page: Path) -> None:
    unknown = []
    code = code_of(page)
    modules = [(it.replace(".", "/") + ".py", rest) for it, rest in MODULE.findall(code)]
    for name, rest in (*SCRIPT.findall(code), *modules):
        path = ROOT / name if (ROOT / name).exists() else ROOT / "src" / name
        if path.exists():
            text = path.read_text()
            unknown += [f"{name} {it}" for it in OPTION.findall(rest) if f'"{it}"' not in text]

    assert [it for it in unknown if "retouch/cli" not in it] == []


def test_every_target_of_make_is_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (page.name, target)
        for page in PAGES
        for line in re.findall(r"(?:^|\$ |`)make ([a-z -]+)", code_of(page), re.MULTILINE)
        for target in line.split()
    }

    assert [it for it in sorted(named) if it[1] not in targets] == []


def test_every_variable_is_a_settings() -> None:
    known = {f"{PREFIX}{field.name.upper()}" for field in fields(Settings)} | {f"{PREFIX}NAME"}
    named = {it for page in PAGES for it in re.findall(rf"\b{PREFIX}[A-Z_]+\b", page.read_text())}

    assert named <= known


def helps(capsys: pytest.CaptureFixture[str], *words: str) -> str | None:
    """What a command says of itself; None when there is no such command."""
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    said = capsys.readouterr().out
    return said if ended.value.code == 0 else None


def test_every_command_takes_the_options_it_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    unknown = set()
    known = {name for name, _ in COMMANDS}
    for page in PAGES:
        for words, rest in COMMAND.findall(code_of(page)):
            command, *verbs = words.split()
            if command not in known:
                continue
            said = helps(capsys, command, *verbs[:1]) or helps(capsys, command) or ""
            unknown |= {
                f"{page.name}: retouch {command} {it}"
                for it in OPTION.findall(rest)
                if it not in said
            }

    assert unknown == set()
