"""``evoptim compile --target argo``."""

from __future__ import annotations

from pathlib import Path

import yaml
from argo_search import every_fan_out, pods_of
from click.testing import CliRunner

from evoptim.cli.main import main
from evoptim.config.reading import read_config
from pipelines.argo import search_template
from pipelines.profile_reading import read_profile


@every_fan_out
def test_the_command_writes_the_template(tmp_path: Path, fan_out: str) -> None:
    profile, output = tmp_path / "profile.yaml", tmp_path / "search.yaml"
    profile.write_text(f"fan_out: {fan_out}\nnamespace: research\n")
    told = CliRunner().invoke(
        main,
        [
            *("compile", "--target", "argo", "--profile", str(profile), "-o", str(output)),
            *("--set", "search.generations=3"),
        ],
    )
    assert told.exit_code == 0, told.output
    written = yaml.safe_load(output.read_text(encoding="utf-8"))
    config = read_config(settings={"search.generations": 3})
    wanted = read_profile(f"fan_out: {fan_out}\nnamespace: research\n")
    assert written == search_template(wanted, fan_out, config)  # type: ignore[arg-type]
    assert "Workflow object at its end" in told.output


def test_the_command_needs_no_profile() -> None:
    told = CliRunner().invoke(main, ["compile", "--target", "argo", "--image", "registry/e:1"])
    assert told.exit_code == 0, told.output
    written = yaml.safe_load(told.stdout)
    assert {each["container"]["image"] for each in pods_of(written)} == {"registry/e:1"}


def test_the_command_chooses_jobs_where_a_loop_does_not_fit(tmp_path: Path) -> None:
    profile = tmp_path / "profile.yaml"
    profile.write_text("fan_out: auto\n")
    arguments = ["compile", "--target", "argo", "--profile", str(profile)]
    told = CliRunner().invoke(main, [*arguments, "--set", "search.initial=20000"])
    assert "evaluate-finals-fanout" in told.stdout
    assert "evaluate-finals-fanout" not in CliRunner().invoke(main, arguments).stdout


def test_the_command_refuses_a_loop_that_does_not_fit(tmp_path: Path) -> None:
    profile = tmp_path / "profile.yaml"
    profile.write_text("fan_out: loop\n")
    told = CliRunner().invoke(
        main,
        [
            *("compile", "--target", "argo", "--profile", str(profile)),
            *("--set", "search.initial=20000"),
        ],
    )
    assert told.exit_code == 2
    assert "exceeds the limit of 1,048,576" in told.stderr
