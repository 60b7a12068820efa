"""`retouch settings`: every setting, as a table or as the page in docs/."""

import argparse

from retouch.cli.table import print_json, print_table
from retouch.settings import PREFIX, Settings, describe

PAGE = """# Settings

Flag over environment over `retouch.toml` over default.
A flag is `--name-with-dashes`, an environment variable `{prefix}NAME`, a TOML key `name`.
An unknown name or a value that cannot be stops the start and says which.

| setting | default | meaning |
|---|---|---|
{rows}"""


def arguments(parser: argparse.ArgumentParser) -> None:
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--markdown", action="store_true", help="print the page docs/settings.md")


def run(arguments: argparse.Namespace, _settings: Settings) -> int:
    rows = describe()
    if arguments.markdown:
        print(page(), end="")
    elif arguments.json:
        print_json([dict(zip(("name", "default", "meaning"), row, strict=True)) for row in rows])
    else:
        print_table(("setting", "default", "meaning"), rows)
    return 0


def page() -> str:
    """The text of docs/settings.md."""
    rows = "".join(
        f"| `{name}` | {f'`{default}`' if default else ''} | {meaning} |\n"
        for name, default, meaning in describe()
    )
    return PAGE.format(prefix=PREFIX, rows=rows)
