from pathlib import Path

import pytest

from retouch.domain.grant import Rate
from retouch.settings import Settings, SettingsError, describe, load


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_flag_beats_environment_beats_file_beats_default() -> None:
    Path("retouch.toml").write_text("port = 1\nhost = 'a'\nweights = 'b'\n")

    settings = load({"port": 3, "host": None}, {"RETOUCH_PORT": "2", "RETOUCH_HOST": "c"})

    assert (settings.port, settings.host, settings.weights) == (3, "c", "b")
    assert settings.lease_s == Settings().lease_s


def test_an_unknown_setting_names_its_source_and_the_nearest_known_one() -> None:
    with pytest.raises(SettingsError, match=r"'prot' in the environment; did you mean 'port'\?"):
        load({}, {"RETOUCH_PROT": "1"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "many"),
        ("TRUST_FORWARDED", "maybe"),
        ("ALLOW_FETCH", "10.0.0.0/99"),
        ("RATE", "fast"),
        ("PORT", "99999"),
        ("PORT", "80.5"),
        ("WEB_PROCESSES", "0"),
        ("LOG_LEVEL", "loud"),
        ("DTYPE", "fp8"),
        ("OFFLOAD", "disk"),
        ("COMPILE_BLOCKS", "maybe"),
        ("QUANTISATION", "int4"),
        ("PUBLIC_URL", "edit.example"),
        ("DATABASE", "retouch.db"),
        ("BLOBS", "/var/pictures"),
        ("BLOBS", "file://pictures"),
        ("LEASE_S", "-1"),
        ("KEEP_OUTPUTS_S", "nan"),
        ("BEAT_S", "10"),
    ],
)
def test_a_value_that_cannot_be_stops_the_start_and_names_its_key(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"setting '{name.lower()}'"):
        load({}, {f"RETOUCH_{name}": value})


def test_a_value_that_cannot_be_is_told_with_what_it_must_be() -> None:
    with pytest.raises(SettingsError, match=r"'port' in the environment is '99999': it must be 0"):
        load({}, {"RETOUCH_PORT": "99999"})
    with pytest.raises(SettingsError, match="expected a whole number"):
        load({}, {"RETOUCH_MAX_JOBS": "many"})


def test_every_default_keeps_its_own_rule() -> None:
    assert load({}, {f"RETOUCH_{name.upper()}": it for name, it, _ in describe()}) == Settings()


def test_lists_and_rates_are_read_from_text() -> None:
    settings = load({}, {"RETOUCH_ALLOWED_HOSTS": "a.example, b", "RETOUCH_RATE": "600/min"})

    assert settings.allowed_hosts == ("a.example", "b")
    assert settings.rate == Rate(600, 60.0)
    assert load({}, {"RETOUCH_RATE": ""}).rate is None


def test_secrets_never_print() -> None:
    settings = load(
        {}, {"RETOUCH_SECRET": "hunter2", "RETOUCH_DATABASE": "postgresql://u:hunter2@h/d"}
    )

    assert "hunter2" not in repr(settings)


def test_every_setting_has_a_sentence() -> None:
    assert all(meaning.endswith(".") for _, _, meaning in describe())
