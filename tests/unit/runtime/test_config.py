"""Settings: read once, documented as data, and never printed with a secret."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from watchbill.kernel.errors import SetupError
from watchbill.runtime import config
from watchbill.runtime.config import Settings


def test_every_setting_is_documented() -> None:
    documented = {setting.name: setting for setting in config.documented()}
    assert set(documented) == set(Settings.__struct_fields__)
    for name, setting in documented.items():
        assert setting.variable == f"WATCHBILL_{name.upper()}"
        assert len(setting.description) > 10, name
        assert setting.description.rstrip().endswith((".", ")")), name


def test_a_variable_sets_its_field_and_the_command_line_wins() -> None:
    read = config.load({"WATCHBILL_PORT": "9000", "WATCHBILL_HOST": "0.0.0.0"}, port=9001)
    assert (read.port, read.host) == (9001, "0.0.0.0")


def test_an_empty_variable_counts_as_not_set() -> None:
    assert config.load({"WATCHBILL_PORT": " "}).port == 8080


def test_all_wrong_variables_are_named_at_once() -> None:
    with pytest.raises(SetupError) as raised:
        config.load({"WATCHBILL_PORT": "eighty", "WATCHBILL_LOCAL_RUNNER": "perhaps", "WATCHBILL_OTLP_PORT": "70000"})
    places = {problem.place for problem in raised.value.problems}
    assert places == {"WATCHBILL_PORT", "WATCHBILL_LOCAL_RUNNER", "WATCHBILL_OTLP_PORT"}
    assert "'eighty' is not a whole number" in str(raised.value)


def test_a_typing_error_in_a_name_is_found() -> None:
    assert config.unknown_variables({"WATCHBILL_PROT": "1", "WATCHBILL_PORT": "1", "HOME": "/"}) == ["WATCHBILL_PROT"]


def test_printing_settings_shows_no_secret() -> None:
    shown = repr(
        config.load(
            {
                "WATCHBILL_DATABASE_URL": "postgresql://app:hunter2@db:5432/watchbill",
                "WATCHBILL_SECRET_KEY": "k" * 40,
                "WATCHBILL_SMTP_URL": "smtp://bell:hunter2@mail:587",
            }
        )
    )
    assert "hunter2" not in shown
    assert "kkkk" not in shown
    assert "db:5432" in shown


def test_settings_survive_the_way_to_a_child_process(tmp_path: Path) -> None:
    read = config.load({"WATCHBILL_HOME": str(tmp_path), "WATCHBILL_LOCAL_RUNNER": "yes", "WATCHBILL_HEALTH_PORT": "0"})
    assert config.load(read.environment()) == read


def test_the_secret_key_is_made_once_and_only_for_its_owner(tmp_path: Path) -> None:
    home = tmp_path / "home"
    first = config.load({}, home=home).secret_keys
    assert config.load({}, home=home).secret_keys == first
    assert stat.S_IMODE((home / "secret.key").stat().st_mode) == 0o600


def test_several_keys_rotate_and_a_short_one_is_refused() -> None:
    old, new = "o" * 32, "n" * 32
    assert config.load({"WATCHBILL_SECRET_KEY": f"{new}, {old}"}).secret_keys == (new, old)
    with pytest.raises(SetupError, match="shorter than 32"):
        _ = config.load({"WATCHBILL_SECRET_KEY": "short"}).secret_keys


def test_links_begin_with_the_public_url_else_with_host_and_port() -> None:
    assert config.load({"WATCHBILL_PUBLIC_URL": "https://bill.example.org/"}).base_url == "https://bill.example.org"
    assert config.load({"WATCHBILL_HOST": "0.0.0.0", "WATCHBILL_PORT": "81"}).base_url == "http://127.0.0.1:81"
