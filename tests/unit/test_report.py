"""The report: one file that needs nothing else, escapes what it quotes and survives any run."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from sample_run import (
    baseline_candidate,
    evaluation,
    genome_candidate,
    sample_config,
    sample_run,
    stage_of,
)

from evoptim.analysis import champion_lineage
from evoptim.genome import Genome
from evoptim.records import Candidates, Epoch, Outcome, Training
from evoptim.report import ReportInputs, page, render
from evoptim.report.candidates import MAX_ROWS
from evoptim.report.page import MAX_LATER

SECTIONS = (
    "finals",
    "best",
    "generations",
    "lineage",
    "learning",
    "decays",
    "outcomes",
    "ledger",
    "use",
)
VOID = {"meta", "br", "hr", "img", "input", "link", "col"}


class Page(HTMLParser):
    """Collects what a page is made of, and refuses unbalanced tags."""

    def __init__(self, html):
        super().__init__()
        self.open, self.elements, self.text = [], [], []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.text.append(data)

    def tags(self, name):
        return [attrs for tag, attrs in self.elements if tag == name]

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


@pytest.fixture(scope="module")
def run():
    return sample_run()


@pytest.fixture(scope="module")
def html(run):
    return render(run)


def one_stage(config, *records, finals=()):
    """A run whose only generation, and whose finals, hold these (candidate, evaluation) pairs."""
    if finals:
        search = one_stage(config, *records)
        held = one_stage(config.model_copy(update={"protocol": config.finals_protocol()}), *finals)
        return replace(
            search, stages=search.stages + held.stages, drawn={**search.drawn, **held.drawn}
        )
    found = tuple(c.model_copy(update={"index": i}) for i, (c, _) in enumerate(records))
    candidates = Candidates(protocol=config.protocol.content_id(), candidates=found)
    kept = {(e.subject, e.protocol): e for _, e in records if e is not None}
    stage = stage_of(0, candidates, (e for _, e in records))
    return ReportInputs("r", config, (stage,), drawn=kept)


def test_the_same_inputs_give_the_same_bytes(html):
    assert render(sample_run()) == html


def test_it_has_every_section_and_balanced_tags(html):
    page = Page(html)
    assert tuple(a["id"] for a in page.tags("section")) == SECTIONS
    assert len(page.tags("h1")) == 1


def test_it_needs_nothing_else(html):
    page = Page(html)
    assert not {tag for tag, _ in page.elements} & {"script", "link", "img", "iframe", "base"}
    for _, attrs in page.elements:
        for name in ("src", "href", "xlink:href", "data", "action", "poster"):
            assert attrs.get(name, "#").startswith("#")
        assert not [name for name in attrs if name.startswith("on")]
        assert re.search(r"url\((?!#)", attrs.get("style") or "") is None
    assert "@import" not in html
    assert "@font-face" not in html
    assert re.search(r"url\((?!#)", html) is None
    assert len(html) < 2_000_000


def test_ids_are_unique_and_every_reference_has_a_target(html):
    page = Page(html)
    ids = [attrs["id"] for _, attrs in page.elements if "id" in attrs]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="|url\()#([^")]+)', html)) <= set(ids)


def test_figures_and_tables_can_be_read_without_seeing_them(html):
    page = Page(html)
    charts = [a for a in page.tags("svg") if a.get("class") == "chart"]
    assert len(charts) >= 6
    assert all(a["role"] == "img" and len(a["aria-label"]) > 20 for a in charts)
    assert all(a.get("scope") in ("col", "row") for a in page.tags("th"))


def test_it_says_what_was_found_and_how_far_to_trust_it(run, html):
    words, summary = Page(html).words, run.summary
    for result in summary.finals.finalists:
        assert result.name in words
        for accuracy in (result.validation_accuracy, result.test_accuracy):
            assert f" {100 * accuracy:.2f} " in words
        for interval in (result.validation_interval, result.test_interval):
            assert f" ± {100 * interval.half:.2f} " in words
        assert f"{result.rate:g}" in words
    for comparison in summary.finals.comparisons:
        assert f"{100 * comparison.difference.mean:+.2f}".replace("-", "−") in words
    assert summary.verdict.text in words
    assert all(claim in words for claim in (*summary.verdict.can, *summary.verdict.cannot))
    assert len(summary.verdict.cannot) >= 3
    assert all(caveat in words for caveat in summary.caveats)
    assert all(one.remedy in words for one in summary.outcomes)
    assert summary.champion.formula in words
    assert summary.config in words


def test_formulas_are_typeset(run, html):
    assert len(Page(html).tags("math")) >= 2 * len(run.best)


@pytest.mark.parametrize("sign", [1, -1])
def test_the_snippet_builds_the_champion(sign):
    config = sample_config()
    candidate = genome_candidate("Nest ~ tanh([id(a3)][arctan(g)])", sign=sign)
    html = render(
        one_stage(config, (candidate, evaluation(candidate.id, config.protocol.content_id(), 0.9)))
    )
    snippet = next(text for text in Page(html).text if text.startswith("from evoptim"))
    built = re.search(r"Genome\.parse\(\s*'([^']*)'\s*\)(\.with_sign\(-1\))?", snippet)
    assert Genome.parse(built[1]).with_sign(-1 if built[2] else 1).id == candidate.id
    assert "lr=0.01" in snippet
    # 30 of 300 steps of the sample warm up.
    assert "warmup_steps=round(0.1 * steps)" in snippet


def test_text_from_a_run_is_escaped():
    attack = "<script>alert(1)</script><img src=x onerror=y>\"'"
    config = sample_config()
    own = config.protocol.content_id()
    good, bad = genome_candidate("None ~ tanh(arctan(g))"), genome_candidate("None ~ erf(exp(g))")
    good = good.model_copy(update={"change": attack})
    bad = bad.model_copy(update={"formula": attack})
    errored = evaluation(bad.id, own, None, outcome=Outcome.ERRORED, message=attack)
    record = evaluation(good.id, own, 0.9).model_copy(
        update={
            "versions": {attack: attack},
            "cost": errored.cost.model_copy(update={"device": attack}),
        }
    )
    strange = baseline_candidate(attack)
    final = config.finals_protocol().content_id()
    finals = (
        (good.model_copy(update={"role": "finalist"}), evaluation(good.id, final, 0.9)),
        (strange, evaluation(attack, final, 0.8)),
    )
    inputs = one_stage(config, (good, record), (bad, errored), finals=finals)
    page = Page(html := render(replace(inputs, run=attack, command=attack)))
    assert "<script" not in html
    assert "<img" not in html
    assert not [attrs for _, attrs in page.elements if "onerror" in attrs]
    # As text: name of the run, command, device, version, formula, message, change, baseline.
    assert page.words.count("alert(1)") >= 8


def test_an_initial_protocol_of_its_own_is_pointed_out():
    words = Page(render(sample_run(sample_config(initial_protocol=True)))).words
    assert "scored under the initial protocol, which is not comparable" in words


@pytest.mark.parametrize(
    ("inputs", "text"),
    [
        (
            sample_run(failures=(Outcome.DIVERGED, Outcome.MISSING), failure_share=1.0),
            "No candidate trained",
        ),
        (sample_run(sample_config(generations=0)), "24 random optimizers: 24 candidate"),
        (sample_run(sample_config(generations=1)), "1 generation of"),
        (sample_run(sample_config(generations=0, initial_protocol=True)), "not comparable"),
        (sample_run(finals=False), "The finals are not held yet"),
        (sample_run(baselines=False), "No baseline was trained"),
        (sample_run(sample_config(finals=(7,))), "one seed: no interval and no test exist"),
        (sample_run(sample_config(finals=(7, 8, 9))), "mean of 3 seeds"),
        (ReportInputs("r", sample_config(), ()), "No candidate was evaluated"),
    ],
    ids=[
        *("all-failed", "no-generation", "one", "initial-only", "unfinished", "no-baseline"),
        *("one-seed", "seeds", "empty"),
    ],
)
def test_runs_at_the_edge_have_a_report(inputs, text):
    page = Page(render(inputs))
    assert text in page.words
    wanted = SECTIONS if inputs.summary.finals else SECTIONS[1:]
    assert tuple(a["id"] for a in page.tags("section")) == wanted


def test_a_failing_baseline_says_why():
    config = sample_config()
    final = config.finals_protocol().content_id()
    failed = evaluation("adam", final, None, outcome=Outcome.DIVERGED)
    page = Page(render(one_stage(config, finals=((baseline_candidate("adam"), failed),))))
    assert f"diverged: {Outcome.DIVERGED.cause}" in page.words


def test_curves_with_leaps_and_zeros_are_drawn_without_nan():
    config = sample_config()
    candidate = genome_candidate("None ~ tanh([(a12) / (a5)][exp(g)])")
    losses = (1e30, 0.5, 0.0, 1e-3)
    curve = tuple(
        Epoch(
            step=25 * (i + 1),
            train_loss=loss,
            train_accuracy=0.5,
            validation_loss=None,
            validation_accuracy=0.1 * (i + 1),
        )
        for i, loss in enumerate(losses)
    )
    training = Training(
        seed=0,
        curve=curve,
        steps=100,
        stopped="non-finite",
        best_epoch=3,
        test_loss=None,
        test_accuracy=None,
    )
    record = evaluation(
        candidate.id, config.protocol.content_id(), 0.4, outcome=Outcome.COLLAPSED
    ).model_copy(update={"trainings": (training,), "test_accuracy": None})
    html = render(one_stage(config, (candidate, record)))
    page = Page(html)
    assert all("nan" not in attrs.get("d", "").lower() for attrs in page.tags("path"))


def test_a_very_long_formula_stays_in_its_own_box():
    text = "g"
    for _ in range(6):
        text = "(X)*([max(a6, deriv_tanh(a10))][X])".replace("X", text)
    candidate = genome_candidate(f"Nest ~ {text}")
    assert len(str(candidate.formula)) > 2_000
    config = sample_config()
    html = render(
        one_stage(config, (candidate, evaluation(candidate.id, config.protocol.content_id(), 0.9)))
    )
    style = html.partition("</style>")[0]
    assert re.search(r"\.formula\{[^}]*overflow-x:auto", style)
    assert re.search(r"\.text\{[^}]*overflow-wrap:anywhere", style)
    # Every typeset formula lies in such a box.
    assert len(Page(html).tags("math")) == html.count("<math")
    assert candidate.formula in Page(html).words


def test_ten_thousand_candidates_stay_below_four_megabytes():
    inputs = sample_run()
    config, own = inputs.config, inputs.config.protocol.content_id()
    base = genome_candidate("None ~ tanh([(a13)*(a2)][arctan(((1-0.7)*g+0.7*v hat))])")
    record = evaluation(base.id, own, 0.5)
    count = 10_000
    found = tuple(base.model_copy(update={"index": i, "id": f"{i:016x}"}) for i in range(count))
    records = tuple(
        record.model_copy(update={"subject": c.id, "fitness": 0.5 + 0.4 * math.sin(c.index) ** 2})
        for c in found
    )
    stage = stage_of(0, Candidates(protocol=own, candidates=found), records)
    html = render(ReportInputs("r", config, (stage,)))
    assert len(html) < 4_000_000
    page = Page(html)
    assert "The other 9 000 are in" in page.words
    assert html.count('scope="row" class="grow"') == MAX_ROWS


def test_of_a_long_line_of_descent_the_ends_are_shown_and_the_rest_is_counted(monkeypatch):
    monkeypatch.setattr(page, "MAX_ANCESTORS", 2)
    config = sample_config(initial=4, generations=26, particles=1, children=1)
    inputs = sample_run(config, seed=3)
    line = champion_lineage(inputs.archive, inputs.populations)
    assert [step.kind for step in line[:3]] == ["origin", "ancestor", "champion"]
    assert len(line) > 3 + MAX_LATER
    html = render(inputs)
    section = html.partition('<section id="lineage">')[2].partition("</section>")[0]
    kinds = re.findall('<li class="(.*?)">', section)
    assert kinds == ["origin", "champion", *["later"] * MAX_LATER]
    left_out = len(line) - len(kinds)
    assert (
        f"{left_out} steps between the first and those near {inputs.summary.champion.name}"
        in section
    )
