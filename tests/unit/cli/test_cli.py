"""The command line without its servers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from retouch import __version__
from retouch.cli import COMMANDS, main
from retouch.cli.settings import page

ROOT = Path(__file__).parents[3]


def test_the_settings_page_is_what_the_code_says() -> None:
    """Regenerate it with `make docs`."""
    assert (ROOT / "docs" / "settings.md").read_text() == page()


@pytest.mark.parametrize("command", [name for name, _ in COMMANDS])
def test_every_command_explains_itself(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main([command, "--help"])

    assert capsys.readouterr().out.startswith(f"usage: retouch {command}")


def test_no_command_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "serve" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])

    assert capsys.readouterr().out == f"retouch {__version__}\n"


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys, retouch.cli; print(sorted({'torch', 'PIL', 'sqlalchemy'} & set(sys.modules)))"
    )

    loaded = subprocess.run(  # noqa: S603  ours
        [sys.executable, "-c", script], check=False, capture_output=True, text=True
    )

    assert loaded.stdout == "[]\n"


def test_a_mistake_is_one_sentence_and_not_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--port", "many"]) == 1

    error = capsys.readouterr().err
    assert error.startswith("retouch: setting 'port' in the command line is 'many':")
    assert "Traceback" not in error


def test_a_data_folder_that_cannot_be_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()

    assert main(["keys", "create", "anna", "--data", str(tmp_path / "file" / "data")]) == 1

    assert capsys.readouterr().err == f"retouch: {tmp_path}/file/data: Not a directory\n"


def test_a_backup_onto_a_full_disk_says_so_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_folder: Path, _key: str, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    data, to = tmp_path / "data", tmp_path / "copies" / "monday"
    to.parent.mkdir()
    assert main(["keys", "create", "anna", "--data", str(data)]) == 0
    (data / "blobs").mkdir()
    (data / "blobs" / "a.png").touch()
    capsys.readouterr()
    monkeypatch.setattr("retouch.blobs.store._write", full)

    assert main(["backup", str(to), "--data", str(data)]) == 1

    said = "the file store cannot be used now (OSError: [Errno 28] No space left on device)"
    assert capsys.readouterr().err == f"retouch: {said}\n"
    assert list(to.parent.iterdir()) == []


def test_keys_of_no_server_are_not_listed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(tmp_path / "mistyped")]

    assert main(["keys", "list", *data]) == 1
    assert main(["keys", "revoke", "anna", *data]) == 1

    assert capsys.readouterr().err.count("mistyped' not found") == 2
    assert not (tmp_path / "mistyped").exists()


def test_a_key_for_a_new_data_folder_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(tmp_path / "new")]

    assert main(["keys", "create", "anna", *data]) == 0
    assert f"the data folder {tmp_path}/new, new." in capsys.readouterr().err
    assert main(["keys", "create", "ben", *data]) == 0
    assert capsys.readouterr().err == ""


def test_models_lists_what_serves_each_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json", "--weights", "mine"]) == 0

    rows = json.loads(capsys.readouterr().out)
    assert {
        "model": "black-forest-labs/flux-kontext-pro",
        "protocol": "replicate",
        "weights": "mine",
    } in rows


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-o", "out.bmp"], "--out: must end in .png, .jpg, .jpeg, .webp, not '.bmp'"),
        (["-o", "no/such/out.png"], "--out: there is no folder no/such"),
        (["--aspect-ratio", "wide"], "--aspect-ratio: must look like 16:9, not 'wide'"),
        (["-i", "missing.jpg", "--weights", "toy"], "missing.jpg cannot be read: No such file"),
        (["--mask", "hole.png"], "--mask: it needs an --image that it is of"),
        (["--weights", "missing"], "there are no weights at missing"),
    ],
)
def test_edit_refuses_with_the_reason(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["edit", "go", *arguments]) == 1

    assert sentence in capsys.readouterr().err


def test_edit_writes_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.webp"

    code = main(["edit", "go", "-o", str(out), "--weights", "toy", "--seed", "7"])

    said = capsys.readouterr()
    assert code == 0
    assert out.read_bytes()[8:12] == b"WEBP"
    assert "Using seed: 7" in said.err


def test_edit_changes_what_is_transparent_in_the_mask(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture, mask, out = (tmp_path / name for name in ("in.png", "mask.png", "out.png"))
    Image.new("RGB", (64, 64), "red").save(picture)
    hole = Image.new("RGBA", (64, 64), "black")
    hole.paste((0, 0, 0, 0), (0, 0, 32, 64))
    hole.save(mask)
    given = ["-i", str(picture), "--weights", "toy", "--seed", "7"]

    assert main(["edit", "go", *given, "--mask", str(mask), "-o", str(out)]) == 0

    with Image.open(out) as made:
        left, right = (made.crop(box).getcolors() for box in ((0, 0, 32, 64), (32, 0, 64, 64)))
    all_red = [(32 * 64, (255, 0, 0))]
    assert left != all_red == right

    assert main(["edit", "go", *given, "--mask", str(picture), "-o", str(out)]) == 1
    assert "The mask has no alpha channel" in capsys.readouterr().err


def test_listing_predictions_does_not_make_a_data_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "missing"

    assert main(["predictions", "list", "--data", str(missing)]) == 1
    assert "not found" in capsys.readouterr().err
    assert not missing.exists()


def test_a_key_is_made_listed_without_its_secret_and_revoked_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ["--data", str(tmp_path / "data")]

    assert main(["keys", "create", "anna", "--json", *data]) == 0
    made = json.loads(capsys.readouterr().out)
    assert main(["keys", "list", "--json", *data]) == 0
    listed = capsys.readouterr().out
    revoked = [main(["keys", "revoke", "anna", "--json", *data]) for _ in range(2)]

    assert made["key"].startswith("rt_")
    assert json.loads(listed)[0]["name"] == "anna"
    assert made["key"] not in listed
    assert revoked == [0, 1]
    assert json.loads(capsys.readouterr().out) == {"revoked": made["id"]}


def test_the_doctor_edits_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json", "--data", str(tmp_path), "--weights", "toy"]) == 0

    found = {check["check"]: check["found"] for check in json.loads(capsys.readouterr().out)}
    assert "edited 64x64" in found["edit"]
    assert found["pictures"] == f"file://{tmp_path}/blobs takes them"
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []
    assert found["safety"] == "Safety checks: prompt by built-in words"


def test_the_doctor_says_what_is_not_screened(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--data", str(tmp_path), "--weights", "toy", "--safety-words", "none"]
    assert main(["doctor", *flags]) == 0

    assert "nothing is screened" in capsys.readouterr().out


def test_a_list_of_words_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "list").write_text("nonsense")
    flags = ["--data", str(tmp_path), "--weights", "toy", "--safety-words", str(tmp_path / "list")]
    assert main(["doctor", *flags]) == 1

    assert "setting 'safety_words' is" in capsys.readouterr().out


def test_the_doctor_says_why_pictures_cannot_be_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    flags = ["--data", str(tmp_path), "--weights", "toy", "--blobs", f"file://{tmp_path}/file"]
    assert main(["doctor", *flags]) == 1

    assert "FAIL  pictures  " in capsys.readouterr().out


def test_the_doctor_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--data", str(tmp_path), "--weights", "missing"]) == 1

    assert "FAIL  edit      there are no weights at missing" in capsys.readouterr().out


def test_the_doctor_says_how_weights_cannot_be_loaded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch", reason="torch is not installed: pip install '.[engine]'")
    flags = ["--data", str(tmp_path), "--weights", "nano", "--device", "cpu"]
    assert main(["doctor", *flags, "--offload", "model"]) == 1

    said = "FAIL  edit      the offload 'model' frees the memory of a CUDA device"
    assert said in capsys.readouterr().out


def test_a_key_tells_what_it_permits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(tmp_path)]
    options = [*("--scope", "read"), *("--model", "a/*"), *("--expires-in", "30d")]
    limits = ["--max-in-flight", "8", "--rate", "60/min"]
    limits += ["--keep-inputs", "90min", "--keep-outputs", "7d", "--keep-record", "0"]

    assert main(["keys", "create", "anna", "--json", *options, *limits, *data]) == 0
    made = json.loads(capsys.readouterr().out)
    assert main(["keys", "list", "--json", *data]) == 0
    (listed,) = json.loads(capsys.readouterr().out)

    assert (listed["scopes"], listed["models"]) == ("read", "a/*")
    assert listed["limits"] == "8 in flight, 60/min"
    assert listed["keeps"] == "inputs 90min, outputs 7d, record for ever"
    assert listed["expires"] == made["expires"] != "-"
    assert "key" not in listed


@pytest.mark.parametrize(
    ("command", "option", "value", "sentence"),
    [
        (["edit", "go"], "--quality", "101", "must be a whole number from 1 to 100, not '101'"),
        (["edit", "go"], "--seed", "-1", f"from 0 to {2**63 - 1}, not '-1'"),
        (["predictions", "list"], "--limit", "0", "must be a whole number from 1, not '0'"),
        (["webhooks", "list"], "--limit", "many", "must be a whole number from 1, not 'many'"),
    ],
)
def test_a_number_out_of_its_limits_is_refused_with_them(
    command: list[str], option: str, value: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main([*command, f"{option}={value}"])

    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "value", "sentence"),
    [
        ("--rate", "fast", "'fast' is no rate: write 10/s, 600/min, 5/h or 100/d"),
        ("--max-in-flight", "0", "must be a whole number from 1, not '0'"),
        ("--expires-in", "soon", "must be a number of s, min, h or d, not 'soon'"),
        ("--keep-inputs", "a day", "must be a number of s, min, h or d, or 0, not 'a day'"),
        ("--scope", "root", "must be one of read, write, operate, not 'root'"),
    ],
)
def test_a_permission_that_does_not_parse_says_why(
    option: str, value: str, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["keys", "create", "anna", option, value])

    assert sentence in capsys.readouterr().err
