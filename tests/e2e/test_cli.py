"""Every verb of the command line: for people, for programs, on broken pipes and in notebooks."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from time import sleep

import pytest
from kfp import components
from small_search import (
    FINALISTS,
    PLANNED,
    RUN,
    SETTINGS,
    Finished,
    arguments,
    command,
    evoptim,
    here,
    lines,
    objects,
)

import evoptim as library
from evoptim.cli import main
from evoptim.config.reading import parse_setting
from evoptim.records import Archive

VERBS = ("search", "results", "report", "show", "check", "export", "compile", "step")
FORMULA = "Nest ~ bessel_i1e(arctan([(a13)*(a2)][g]))"


def output(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("words", [[], ["--help"], *([verb, "--help"] for verb in VERBS)])
def test_help_teaches(words: list[str], tmp_path: Path) -> None:
    text = output(here(*words, cwd=tmp_path))
    assert text.startswith("Usage: evoptim")
    # click's mark of text that keeps its lines is not to be seen.
    assert "\b" not in text
    assert "\\b" not in text
    examples = {"search", "results", "show", "check", "export", "compile"} & set(words)
    for verb in examples:
        assert re.search(rf"^ +evoptim {verb}\b", text, re.MULTILINE)
    if not words or words == ["--help"]:
        for verb in VERBS:
            (line,) = re.findall(rf"^  {verb}  +(.*)$", text, re.MULTILINE)
            assert line.endswith("."), "the list of verbs cuts nothing off"


@pytest.mark.parametrize("verb", main.commands["step"].commands)  # type: ignore[attr-defined]
def test_every_step_has_help(verb: str, tmp_path: Path) -> None:
    text = output(here("step", verb, "--help", cwd=tmp_path))
    assert "--run" in text
    assert "--store" in text


def test_help_waits_for_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from evoptim.cli import main\n"
        "try: main(['search', '--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'kfp', 'boto3', 'numpy', 'matplotlib'}\n"
        "print(*heavy & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == ""


def test_an_unknown_verb_is_refused_in_one_line(tmp_path: Path) -> None:
    done = here("serach", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "error: No such command 'serach'; see evoptim --help\n" or (
        "Did you mean" in done.stderr and len(lines(done.stderr)) == 1
    )


def test_results_rank_and_are_the_archive_for_programs(finished: Finished) -> None:
    text = output(here("results", "--run", RUN, cwd=finished.folder))
    # Once there are finals, these are what counts; the search's own ranking is still there.
    assert f"Run {RUN}: finals" in text
    assert re.search(r"\d +│ +Evolved \d .* trained", text)
    assert re.search(r"\d +│ +Adam .* trained", text)
    printed = json.loads(output(here("results", "--run", RUN, "--json", cwd=finished.folder)))
    assert printed == json.loads((finished.run / "report/archive.json").read_bytes())
    few = output(here("results", "--run", RUN, "--search", "--top", "2", cwd=finished.folder))
    assert f"Run {RUN}: search" in few
    assert f"{PLANNED - FINALISTS - 2 - 2} more" in few
    assert "Adam" not in few


@pytest.mark.parametrize(
    "words",
    [
        ["evoptim-store/runs/{run}"],
        ["evoptim-store/runs/{run}/", "--run", "{run}"],
        ["evoptim-store", "--run", "{run}"],
    ],
)
def test_a_run_is_named_by_its_place_too(finished: Finished, words: list[str]) -> None:
    given = [word.format(run=RUN) for word in words]
    named = output(here("results", "--run", RUN, "--json", cwd=finished.folder))
    assert output(here("results", *given, "--json", cwd=finished.folder)) == named


def test_results_and_report_of_an_unfinished_run_show_what_there_is(
    finished: Finished, tmp_path: Path
) -> None:
    store = tmp_path / "evoptim-store"
    shutil.copytree(finished.store, store)
    run = store / "runs" / RUN
    for name in ("report", "finals", "generations/002", "generations/001/evaluations"):
        shutil.rmtree(run / name)
    (run / "generations/001/population.json").unlink()
    text = output(here("results", "--run", RUN, "--json", cwd=tmp_path))
    archive = Archive.model_validate_json(text)
    assert sum(entry.fitness is not None for entry in archive.entries) == 6
    assert archive.finals == ()
    assert here("report", "--run", RUN, cwd=tmp_path).returncode == 0
    assert "</html>" in (tmp_path / f"{RUN}.html").read_text(encoding="utf-8")
    assert not (run / "report").exists()


def test_report_writes_the_page_of_the_store(finished: Finished, tmp_path: Path) -> None:
    words = ["report", "--run", RUN, "--store", str(finished.store)]
    done = here(*words, "-o", "a page.html", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    page = (finished.run / "report/index.html").read_bytes()
    assert (tmp_path / "a page.html").read_bytes() == page
    refused = here(*words, "-o", "nowhere/page.html", cwd=tmp_path)
    assert refused.returncode == 2
    assert "'nowhere/page.html' cannot be written: No such file" in refused.stderr


def test_show_describes_an_optimizer(finished: Finished, tmp_path: Path) -> None:
    text = output(here("show", FORMULA, cwd=tmp_path))
    for word in (FORMULA, "nesterov", "LaTeX", "d_1(t)", "momentum"):
        assert word in text
    as_json = json.loads(output(here("show", FORMULA, "--json", cwd=tmp_path)))
    assert as_json["formula"] == FORMULA
    (tmp_path / "genome.json").write_text(json.dumps(as_json["genome"]))
    again = json.loads(output(here("show", "genome.json", "--json", cwd=tmp_path)))
    assert again == as_json
    best = json.loads(output(here("show", f"{RUN}:1", "--json", cwd=finished.folder)))
    archive = json.loads((finished.run / "report/archive.json").read_bytes())
    assert best["id"] == archive["entries"][0]["candidate"]["id"]


def test_check_tells_by_its_exit_code(finished: Finished, tmp_path: Path) -> None:
    assert "passes with sign +1" in output(here("check", "None ~ id(g)", cwd=tmp_path))
    constant = here("check", "None ~ id(2)", cwd=tmp_path)
    assert constant.returncode == 1
    assert "does not pass" in constant.stdout
    for formula in ("None ~ id(g)", "None ~ id(2)"):
        verdict = json.loads(here("check", formula, "--json", cwd=tmp_path).stdout)
        assert verdict["passes"] == (formula == "None ~ id(g)")
        assert len(verdict["losses"]) == 12
    assert here("check", f"{RUN}:1", cwd=finished.folder).returncode == 0


def test_compile_writes_ir_that_kfp_loads(tmp_path: Path) -> None:
    text = output(here("compile", "--set", "search.generations=1", cwd=tmp_path))
    loaded = components.load_component_from_text(text)
    assert set(loaded.component_spec.inputs) == {"store", "run", "config", "candidates_per_task"}
    words = ["compile", "--set", "search.generations=1", "--image", "here/evoptim:1"]
    assert here(*words, "-o", "search.yaml", cwd=tmp_path).stdout == ""
    written = (tmp_path / "search.yaml").read_text()
    assert "here/evoptim:1" in written
    assert "here/evoptim:1" not in text
    assert here(*words, "-o", "nowhere/search.yaml", cwd=tmp_path).returncode == 2


def test_search_prints_its_summary_for_programs(finished: Finished) -> None:
    text = output(here(*arguments(), "--json", cwd=finished.folder))
    assert json.loads(text) == json.loads((finished.run / "report/summary.json").read_bytes())


REFUSED = {
    "an operator that is none": (["show", "None ~ tanhh(g)"], "position 7", "'tanhh'"),
    "half a formula": (["check", "None ~ id(("], "position 11", "end of text"),
    "no formula": (["show", ""], "position 0"),
    "a huge formula": (["show", "None ~ " + "id(" * 50_000], "65536"),
    "a missing file": (["show", "absent.json"], "'absent.json'", "No such file"),
    "a file that is no JSON": (["show", "text.json"], "JSON"),
    "a file that is no genome": (["check", "other.json"], "format"),
    "ten megabytes": (["show", "huge.json"], "65536"),
    "deep JSON": (["show", "deep.json"], "JSON"),
    "binary": (["check", "binary.json"], "JSON"),
    "a rank too high": (["show", f"{RUN}:999"], "ranks 1 to 14", "999"),
    "rank zero": (["show", f"{RUN}:0"], "ranks 1 to 14"),
    "a negative rank": (["show", f"{RUN}:-1"], f"'{RUN}:-1'"),
    "an unknown run": (["show", "other:1"], "'other'", "evoptim search"),
    "results of an unknown run": (["results", "--run", "other"], "'other'", "evoptim search"),
    "a report of an unknown run": (["report", "--run", "other"], "'other'", "evoptim search"),
    "a run that is a path": (["results", "--run", "../../etc"], "../../etc", "run name"),
    "no run": (["results"], "--run", "results --help"),
    "two runs": (["results", f"evoptim-store/runs/{RUN}", "--run", "other"], "'other'", "give one"),
    "no rows": (["results", "--run", RUN, "--top", "0"], "--top", "results --help"),
    "a generation that is not there": (
        ["step", "select", "--run", RUN, "--generation", "7"],
        "007",
    ),
    "a chunk that is not there": (
        ["step", "evaluate", "--run", RUN, "--generation", "0", "--chunk", "9"],
        "got 9",
    ),
    "a negative generation": (
        ["step", "propose", "--run", RUN, "--generation", "-1"],
        "--generation",
    ),
    "a generation past all": (["step", "propose", "--run", RUN, "--generation", "99999"], "99999"),
    "a configuration that is none": (["step", "initialise", "--run", "x", "--config", "{"], "JSON"),
    "a configuration that is not there": (
        ["step", "initialise", "--run", "x", "--config", "@absent"],
        "'absent'",
    ),
    "no step": (["step"], "step --help"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_other_verbs_refuse_in_one_line_too(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    monkeypatch.setenv("EVOPTIM_STORE", str(finished.store))
    words, *says = REFUSED[case]
    (tmp_path / "text.json").write_text("None ~ id(g)")
    (tmp_path / "other.json").write_text('{"format": "something else"}')
    (tmp_path / "huge.json").write_bytes(b"[" * 10_000_000)
    (tmp_path / "deep.json").write_bytes(b"[" * 60_000)
    (tmp_path / "binary.json").write_bytes(bytes(range(256)))
    before = dict(objects(finished.store))
    done = here(*words, cwd=tmp_path)
    assert done.returncode == 2, (done.stdout, done.stderr)
    (line,) = lines(done.stderr)
    for text in says:
        assert text in line
    assert len(line) < 1000
    assert dict(objects(finished.store)) == before


def test_a_reader_who_leaves_is_not_told_so(finished: Finished) -> None:
    with subprocess.Popen(
        command("results", "--run", RUN, "--json"),
        cwd=finished.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Unbuffered, so that it is still writing when nobody reads any more.
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""


def test_a_terminal_without_greek_letters_gets_a_question_mark(finished: Finished) -> None:
    done = evoptim("results", "--run", RUN, cwd=finished.folder, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "?" in done.stdout


NOTEBOOK = """
import json, sys, threading
import evoptim
config = evoptim.read_config(settings=json.loads(sys.argv[1]))
seen, found = [], []
def work():
    for _ in range(2):
        found.append(evoptim.search(config, "small", sys.argv[2], on_status=seen.append))
thread = threading.Thread(target=work)
thread.start(); thread.join()
first, second = found
assert not first.reused and second.reused and first.summary == second.summary
assert seen[-1].done == seen[-1].planned == 2 + 2 + 1, seen[-1]
assert [each.done for each in seen] == sorted(each.done for each in seen)
archive = evoptim.results("small", sys.argv[2])
assert len(archive.entries) == 2
assert evoptim.show("small:1", sys.argv[2]).id == archive.entries[0].candidate.id
assert "</html>" in evoptim.make_report("small", sys.argv[2])
assert "pipelineInfo" in evoptim.compile_pipeline(config)
try:
    evoptim.search(config.model_copy(update={"seed": 1}), "small", sys.argv[2])
except ValueError as error:
    assert "another configuration" in str(error)
print("all is well")
"""


@pytest.mark.slow
def test_a_notebook_may_search_in_a_thread_and_twice(tmp_path: Path) -> None:
    small = dict(map(parse_setting, SETTINGS))
    small |= {"search.initial": 2, "search.generations": 0, "baselines": ["adam"]}
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, json.dumps(small), str(tmp_path / "a store")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("all is well\n", "")


@pytest.mark.slow
def test_two_searches_of_one_run_at_a_time_share_the_work(
    finished: Finished, tmp_path: Path
) -> None:
    ends: list[subprocess.CompletedProcess[str]] = []

    def work() -> None:
        ends.append(evoptim(*arguments(), cwd=tmp_path))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
        sleep(1)
    for thread in threads:
        thread.join()
    assert [end.returncode for end in ends] == [0, 0], [end.stderr for end in ends]
    archive = tmp_path / "evoptim-store/runs" / RUN / "report/archive.json"
    assert archive.read_bytes() == (finished.run / "report/archive.json").read_bytes()


def test_the_library_offers_every_verb() -> None:
    assert callable(library.zoo.create)
    for name in set(library.__all__) - {"zoo"}:
        assert callable(getattr(library, name))
