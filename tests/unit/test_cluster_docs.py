"""The guide and the runbook of clusters are true: commands parse, what is quoted is printed."""

from __future__ import annotations

import ast
import re
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner
from examined_cluster import NS, sound
from kubernetes_api.scripted_engines import FakeCluster, fake_cluster
from manifest_checks.rendering import command as renderer
from manifest_checks.rendering import copy_with_credentials, objects, render
from s3_server import serve_s3

from evoptim.cli import main
from evoptim.verbs.cluster import cancelling
from pipelines.profile_reading import read_profile

ROOT = Path(__file__).resolve().parents[2]
PAGES = {name: (ROOT / "docs" / name).read_text() for name in ("cluster.md", "runbook.md")}
GUIDE, RUNBOOK = PAGES.values()
SOURCES = [path for name in ("evoptim", "pipelines") for path in (ROOT / name).rglob("*.py")]
BUCKET = "experiments"


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


def command_lines(page: str) -> list[str]:
    """Every ``evoptim …`` that a reader may type."""
    shell = "\n".join(blocks(page, "sh")).replace("\\\n", " ")
    lines = re.split(r"\n|&&|\|", shell)
    return [line.strip() for line in lines if line.strip().startswith("evoptim ")]


def resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that these words name, and the rest of them."""
    found: click.Command = main
    while isinstance(found, click.Group) and words and not words[0].startswith("-"):
        assert words[0] in found.commands, f"there is no command {words[0]}"
        found, words = found.commands[words[0]], words[1:]
    return found, words


COMMANDS = [(page, line) for page, text in PAGES.items() for line in command_lines(text)]


def test_the_pages_have_commands() -> None:
    assert len(COMMANDS) > 50


@pytest.mark.parametrize(("page", "line"), dict.fromkeys(COMMANDS))
def test_every_command_line_parses(page: str, line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVOPTIM_STORE", "s3://experiments/evoptim")
    found, words = resolve(shlex.split(line, comments=True)[1:])
    # --version and the like end right there.
    with suppress(click.exceptions.Exit):
        found.make_context(page, words)


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_in_the_text_exist(page: str) -> None:
    text = re.sub(r"^```.*?^```", "", PAGES[page], flags=re.DOTALL | re.MULTILINE)
    for code in re.findall(r"`(evoptim [^`]+)`", text):
        found, words = resolve(code.split()[1:])
        known = {name for each in found.params for name in each.opts}
        assert {word for word in words if word.startswith("--")} <= known, code


HOLE = "…"


@cache
def told() -> tuple[str, ...]:
    """Every text in the source, with a hole where a value is filled in; no documentation."""
    found = []
    for path in SOURCES:
        tree = ast.parse(path.read_text())
        documentation = {id(each.value) for each in ast.walk(tree) if isinstance(each, ast.Expr)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    str(each.value) if isinstance(each, ast.Constant) else HOLE
                    for each in node.values
                ]
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and id(node) not in documentation:
                found.append(str(node.value))
    return tuple(found)


def is_ours(message: str) -> bool:
    """Whether all that stands between the holes is in the source, or one text there makes it."""
    fragments = [part.strip(" ;:,()") for part in message.split(HOLE)]
    if all(any(part in text for text in told()) for part in fragments if len(part) > 1):
        return True
    for text in told():
        fixed = text.split(HOLE)
        if sum(map(len, fixed)) >= 12 and re.fullmatch(".+?".join(map(re.escape, fixed)), message):
            return True
    return False


MESSAGES = re.findall(r"^> (.+)$", RUNBOOK, re.MULTILINE)


def test_a_made_up_message_is_noticed() -> None:
    assert len(MESSAGES) > 50
    assert not is_ours("the cluster has eaten the run …")


@pytest.mark.parametrize("message", MESSAGES)
def test_every_quoted_message_is_in_the_source(message: str) -> None:
    assert is_ours(message)


def test_what_the_guide_says_of_trial_pods_is_in_the_source() -> None:
    lines = re.findall(r"^ok    pods         (.+?): store .+ answers$", GUIDE, re.MULTILINE)
    assert len(lines) == 2
    assert all(map(is_ours, lines))


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_pages_and_headings(page: str) -> None:
    for file, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", PAGES[page]):
        target = ROOT / "docs" / (file or page)
        assert target.is_file(), file
        assert not anchor or anchor in anchors(target), anchor


def test_every_symptom_is_listed_and_has_a_command() -> None:
    sections = re.split(r"^## ", RUNBOOK, flags=re.MULTILINE)
    listed = set(re.findall(r"\]\(#([^)]+)\)", sections[0]))
    assert len(listed) >= 24
    assert listed == anchors(ROOT / "docs/runbook.md") - {"runbook"}
    assert [each.split("\n")[0] for each in sections[1:] if not blocks(each, "sh")] == []


def profiles() -> list[str]:
    return [text for text in blocks(GUIDE, "yaml") if "kind:" not in text or "mounts" in text]


@pytest.mark.parametrize("text", profiles())
def test_profiles_of_the_guide_are_profiles(text: str) -> None:
    assert read_profile(text).parallelism == 8


def test_the_overlay_of_the_guide_renders_to_what_the_guide_lists(tmp_path: Path) -> None:
    if renderer() is None:
        pytest.skip("neither kubectl nor kustomize is installed")
    manifests = copy_with_credentials(tmp_path)
    mine = manifests / "overlays/mine"
    mine.mkdir()
    (text,) = [each for each in blocks(GUIDE, "yaml") if "Kustomization" in each]
    (mine / "kustomization.yaml").write_text(text)
    answer = render(mine)
    assert answer.returncode == 0, answer.stderr
    kinds = [each["kind"] for each in objects(answer.stdout)]
    listing = "".join(f"{kinds.count(kind):7} kind: {kind}\n" for kind in sorted(set(kinds)))
    assert listing in blocks(GUIDE, "text")
    (values,) = [each["data"] for each in objects(answer.stdout) if each["kind"] == "ConfigMap"]
    assert values["EVOPTIM_STORE"] == yaml.safe_load(text)["configMapGenerator"][0]["literals"][
        0
    ].removeprefix("EVOPTIM_STORE=")


# What the guide says that commands print


def evoptim(*arguments: str) -> str:
    """What a command prints, errors too."""
    # The command takes SIGTERM for itself.
    before = signal.getsignal(signal.SIGTERM)
    try:
        return CliRunner().invoke(main, arguments).output
    finally:
        signal.signal(signal.SIGTERM, before)


_NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def alike(one: str, other: str) -> bool:
    """Whether two lines say the same: sizes may differ by a tenth, and columns move with them."""
    words = [_NUMBER.sub("#", " ".join(each.split())) for each in (one, other)]
    numbers = [[float(n.replace(",", "")) for n in _NUMBER.findall(each)] for each in (one, other)]
    if words[0] != words[1]:
        return False
    return all(a == pytest.approx(b, rel=0.1) for a, b in zip(*numbers, strict=True))


def is_in_the_guide(output: str) -> bool:
    """Whether some block of the guide says this, line by line."""
    lines = output.strip("\n").split("\n")
    return any(
        len(block) == len(lines) and all(map(alike, block, lines))
        for block in (text.strip("\n").split("\n") for text in blocks(GUIDE, "text"))
    )


@pytest.fixture
def profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The guide's short profile, in the folder where commands run."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "profile.yaml"
    path.write_text(profiles()[0])
    return path


def test_the_guide_begins_with_the_profile_that_is_printed() -> None:
    beginning = blocks(GUIDE, "text")
    printed = evoptim("compile", "--print-profile")
    assert any(len(text) > 200 and printed.startswith(text) for text in beginning)


def test_the_guide_prints_the_plans_that_compiling_prints(profile: Path) -> None:
    end = ["--profile", str(profile), "-o", "search.yaml"]
    assert is_in_the_guide(evoptim("compile", "--target", "argo", *end))
    large = ["compile", "--target", "kfp", "--set", "search.initial=10000", *end]
    assert is_in_the_guide(evoptim(*large))
    profile.write_text(f"{profile.read_text()}fan_out: loop\n")
    assert is_in_the_guide(evoptim(*large))


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeCluster]:
    """The cluster and the bucket of the guide."""
    for name in ("KUBERNETES_SERVICE_HOST", "KFP_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cancelling, "_POLL_SECONDS", 0.01)
    monkeypatch.setenv("EVOPTIM_STORE", f"s3://{BUCKET}/evoptim")
    with serve_s3() as s3, fake_cluster() as fake:
        s3.create_bucket(BUCKET)
        for name, value in s3.environment().items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("KUBECONFIG", str(fake.kubeconfig(tmp_path)))
        sound(fake)
        yield fake


def test_the_guide_prints_what_examining_prints(cluster: FakeCluster, profile: Path) -> None:
    def examined() -> str:
        found = evoptim("doctor", "--profile", str(profile), "--target", "argo")
        return found.replace(cluster.url, "https://k8s.example.com:6443")

    assert is_in_the_guide(examined())
    del cluster.found[f"{NS}/secrets/evoptim-s3"]
    bad = [line for line in examined().splitlines() if line.startswith("FAIL")]
    assert is_in_the_guide("\n".join(bad))


def test_the_guide_prints_what_submitting_and_following_print(
    cluster: FakeCluster, profile: Path
) -> None:
    at = ["--run", "first"]

    def submitted(*arguments: str) -> str:
        """Without the table of the preflight."""
        lines = evoptim(*arguments, *at).splitlines()
        return "\n".join(lines[next(i for i, line in enumerate(lines) if " the run " in line) :])

    def undated(text: str) -> str:
        return re.sub(r"\d{4}-\d\d-\d\dT[\d:+]+", "2026-01-01T00:00:00+00:00", text)

    start = ["submit", "--target", "argo", "--profile", str(profile)]
    assert is_in_the_guide(submitted(*start))
    # The second time it is at work already.
    assert is_in_the_guide(submitted(*start))
    cluster.end_workflow("Running")
    assert is_in_the_guide(undated(evoptim("status", *at)))
    (name,) = cluster.workflows
    labels = {"workflows.argoproj.io/workflow": name}
    cluster.put_pod(f"{name}-evaluate-1", "Failed", labels, reason="Evicted")
    assert is_in_the_guide(evoptim("logs", *at))

    def controller() -> None:
        while not cluster.workflows[name]["spec"].get("shutdown"):
            time.sleep(0.01)
        cluster.end_workflow("Failed", message="Stopped with strategy 'Terminate'")

    thread = threading.Thread(target=controller, daemon=True)
    thread.start()
    assert is_in_the_guide(evoptim("cancel", *at))
    thread.join()
    assert is_in_the_guide(submitted("resume"))


def test_lines_that_differ_are_noticed() -> None:
    assert alike("pods at a time   16", "pods at a time 17")
    assert not alike("pods at a time 16", "pods at a time 32")
    assert not is_in_the_guide("20 checks, 3 failed")


def test_shell_blocks_are_shell() -> None:
    shell = "\n".join(blocks(GUIDE, "sh") + blocks(RUNBOOK, "sh"))
    check = subprocess.run(["bash", "-n"], input=shell, capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stderr
