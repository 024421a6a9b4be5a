"""Exported files as source and as citizens of torch; the command that writes them."""

from __future__ import annotations

import ast
import copy
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from exported import EVERYTHING, SCHEDULE, ZOO, first_difference, genomes, load, train

import evoptim
from evoptim import EvolvedOptimizer, Genome, zoo
from evoptim.cli import main
from evoptim.decay import Decay
from evoptim.errors import InputError
from evoptim.exporter import TARGETS, genome_subject, source, zoo_subject
from evoptim.exporter.curves import NUMPY_CURVES, TORCH_CURVES, curve_lines
from evoptim.exporter.names import class_name, function_name
from evoptim.exporter.statements import statements
from evoptim.exporter.text import number_text
from evoptim.exporter.torch_single import TORCH_SINGLE
from evoptim.update import Options, genome_formula

ROOT = Path(__file__).resolve().parents[2]
FORMULA = "None ~ id([sqrt(a6)][v hat/(1+|v hat|)])"


def files(folder: Path, target: str, random_genomes: int) -> None:
    for name, decay in ZOO:
        (folder / f"{name}_{int(decay)}.py").write_text(source(zoo_subject(name, decay), target))
    for number, genome in enumerate(genomes(random_genomes)):
        (folder / f"genome_{number}.py").write_text(source(genome_subject(genome), target))
    # The longest name makes the longest lines.
    named = source(genome_subject(Genome.parse(EVERYTHING)), target, "L" + "o" * 38 + "g")
    (folder / "named.py").write_text(named)


@pytest.mark.parametrize("settings", [["--isolated"], ["--config", str(ROOT / "pyproject.toml")]])
@pytest.mark.parametrize("target", TARGETS)
def test_files_pass_ruff_with_its_own_rules_and_with_ours(
    target: str, settings: list[str], tmp_path: Path
) -> None:
    files(tmp_path, target, 60)
    for command in (["check"], ["format", "--check"]):
        words = [sys.executable, "-m", "ruff", *command, *settings, "--no-cache", "."]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


@pytest.mark.slow
@pytest.mark.parametrize("target", TARGETS)
def test_files_pass_strict_typing_by_themselves(target: str, tmp_path: Path) -> None:
    files(tmp_path, target, 60)
    words = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "."]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize(
    ("target", "packages"), [("torch", {"torch"}), ("optax", {"jax", "numpy", "optax"})]
)
def test_files_import_nothing_else(target: str, packages: set[str]) -> None:
    tree = ast.parse(source(zoo_subject("opt10", True), target))
    imported = {
        name.partition(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert imported - set(sys.stdlib_module_names) == packages


def test_a_formula_is_written_as_people_would() -> None:
    rule = genome_formula(Genome.parse("Nest ~ tanh(((1-0.7)*g+0.7*v hat))")).rule(
        Options(decoupled=True)
    )
    assert statements(rule, TORCH_SINGLE) == [
        "v.mul_(0.9).add_(g, alpha=1 - 0.9)",
        "v_hat = v / (1 - 0.9**n)",
        "q = 0.3 * g + 0.7 * v_hat",
        "update = torch.tanh(q)",
        "if shrink is not None:",
        "    w.mul_(shrink)",
        "m.mul_(mu)",
        "_add_scaled(m, update, rate)",
        "w.add_(m)",
        "_add_scaled(w, update, rate)",
    ]


def test_what_reads_a_tensor_is_computed_before_it_changes() -> None:
    rule = zoo_subject("lion", False).formula.rule(Options(decoupled=True))
    assert statements(rule, TORCH_SINGLE)[:2] == [
        "update = torch.sign(0.9 * m + 0.1 * g)",
        "m.mul_(0.99).add_(g, alpha=1 - 0.99)",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.3, "0.3"),
        (1.0 - 0.9, "1 - 0.9"),
        (1.0 - 0.999, "1 - 0.999"),
        (1e-07, "1e-7"),
        (1e-05, "1e-5"),
        ((0.9 + 0.999) / 3, "(0.9 + 0.999) / 3"),
        (2 * torch.pi, "2 * math.pi"),
        (-2.5, "-2.5"),
        (1e22, "1e22"),
        (1.0 - 0.7, "1 - 0.7"),
        (0.1 + 0.7, "0.7999999999999999"),
    ],
)
def test_numbers_are_exact_and_short(value: float, text: str) -> None:
    import math

    assert number_text(value).text == text
    assert eval(text, {"math": math}) == value  # a table of this test


def test_decays_have_the_same_bits() -> None:
    texts = ("max(a6, a10)", "(a13)*(a2)", "deriv_sig(erfc(a11))", "(a14w) / (sqrt(1+(a7)^2))")
    for text in texts:
        names: dict[str, Any] = {"torch": torch, "math": __import__("math"), "total_steps": 97}
        lines = curve_lines({"d1": Decay.parse(text)}, TORCH_CURVES)
        exec("\n".join(lines), names)  # made from a parsed value
        assert tuple(names["d1"].tolist()) == Decay.parse(text).values(97)
    assert curve_lines({}, NUMPY_CURVES) == []


@pytest.mark.parametrize("total_steps", [1, 2, 35])
def test_a_curve_that_is_held_at_its_end_is_held(total_steps: int) -> None:
    exported = load(zoo_subject("opt4", False))
    table = exported.__init__.__globals__["_table"](total_steps, 0, 0, True, torch.device("cpu"))
    own = zoo.create("opt4", [torch.zeros(1)], lr=1.0, total_steps=total_steps)
    assert tuple(table[:, 1].tolist()) == own.formula.curves[0].values(total_steps)


@pytest.mark.parametrize(
    ("given", "made"), [("opt7", "Opt7"), ("MyRule", "MyRule"), ("my_rule", "MyRule"), ("a", "A")]
)
def test_a_class_is_named_in_cap_words(given: str, made: str) -> None:
    assert class_name(given) == made


@pytest.mark.parametrize(
    ("given", "made"), [("Opt7", "opt7"), ("MyRule", "my_rule"), ("my_rule", "my_rule")]
)
def test_a_function_is_named_in_lower_case(given: str, made: str) -> None:
    assert function_name(given) == made


@pytest.mark.parametrize(
    "name",
    ["", "1st", "a-b", "a b", "a;import os", 'x"""', "ｏpt", "é", "x" * 41, "_x", "a.b", "x\n"],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    for make in (class_name, function_name):
        with pytest.raises(InputError, match="cannot name an optimizer"):
            make(name)


@pytest.mark.parametrize("name", ["optimizer", "tensor", "none", "value_error", "any"])
def test_a_class_does_not_take_a_name_that_the_file_needs(name: str) -> None:
    made = "ValueError" if name == "value_error" else name
    with pytest.raises(InputError, match=r"has a meaning (in Python|in the exported file)"):
        class_name(made)


@pytest.mark.parametrize("name", ["Len", "Class", "match", "jax", "optax"])
def test_a_function_does_not_either(name: str) -> None:
    with pytest.raises(InputError, match=r"has a meaning (in Python|in the exported file)"):
        function_name(name)


def test_a_docstring_tells_formula_origin_state_and_use() -> None:
    text = " ".join((ast.get_docstring(ast.parse(evoptim.export(FORMULA))) or "").split())
    genome = Genome.parse(FORMULA)
    for part in (
        FORMULA,
        genome.id,
        r"u_t = d_{1}(t) \left(\operatorname{softsign}\left(\hat v\right)\right)",
        "d_1(t) = sqrt(a6)",
        r"a6 = \tfrac{1-\cos 2\pi x}{2}",
        "v: Moving average of g, beta 0.9.",
        "arXiv 2404.06679",
        f"evoptim {evoptim.__version__}",
        "total_steps=epochs * len(loader)",
    ):
        assert part in text, part


def test_a_found_optimizer_tells_its_run_and_rate(finished: Path) -> None:
    text = evoptim.export("tiny:1", store=str(finished), name="found")
    assert "rank 1 of the run tiny, genome" in text
    assert "The search trained it at the peak rate" in text
    assert "class Found(Optimizer)" in text


def test_the_rate_range_of_the_zoo_is_told() -> None:
    assert "Rates:" in evoptim.export("opt7")


@pytest.mark.parametrize("target", TARGETS)
def test_the_same_optimizer_gives_the_same_text(target: str) -> None:
    assert evoptim.export("OPT7", target, decay=True) == evoptim.export("opt7", target, decay=True)
    assert evoptim.export(Genome.parse(FORMULA), target) == evoptim.export(FORMULA, target)


@pytest.mark.parametrize("name", ["opt7", "opt9"])
def test_state_moves_between_evoptim_and_the_file(name: str) -> None:
    exported = load(zoo_subject(name, False))
    options = {"lr": 0.05, **SCHEDULE}

    def half(make: Any, other: Any) -> Any:
        """A training that changes hands in the middle."""

        def build(params: Any) -> Any:
            first, second = make(params, **options), other(params, **options)

            class Both(torch.optim.SGD):
                def step(self, closure: Any = None) -> None:  # type: ignore[override]
                    if int(first.param_groups[0]["step"]) < 7:
                        first.step()
                        return
                    if not second.state:
                        second.load_state_dict(first.state_dict())
                    second.step()

            return Both(params)

        return build

    def own(params: Any, **given: Any) -> Any:
        return zoo.create(name, params, **given)

    for dtype in (torch.float32, torch.bfloat16):
        want, _ = train(lambda params: own(params, **options), dtype, steps=15)
        for pair in ((own, exported), (exported, own), (exported, exported)):
            got, _ = train(half(*pair), dtype, steps=15)
            assert first_difference(want, got) is None


def test_state_of_another_formula_is_refused() -> None:
    one, other = load(zoo_subject("opt7", False)), load(zoo_subject("opt8", False))
    params = [torch.zeros(2, requires_grad=True)]
    with pytest.raises(ValueError, match="the state_dict is that of"):
        one(params, lr=1.0).load_state_dict(other(params, lr=1.0).state_dict())
    with pytest.raises(ValueError, match="the state_dict is that of None"):
        one(params, lr=1.0).load_state_dict(torch.optim.SGD(params).state_dict())


def test_a_copy_and_a_pickle_go_on_the_same() -> None:
    want, _ = train(lambda params: load(zoo_subject("opt9", True))(params, lr=0.1, **SCHEDULE))
    params = [torch.ones(3, requires_grad=True)]
    exported = load(zoo_subject("opt9", True))
    # Pickle finds classes by the module that defines them.
    module = sys.modules.setdefault("exported_by_test", type(sys)("exported_by_test"))
    exported.__module__, module.Opt9 = module.__name__, exported  # type: ignore[attr-defined]
    optimizer = exported(params, lr=0.1, **SCHEDULE)
    params[0].grad = torch.ones(3)
    optimizer.step()
    for twin in (copy.deepcopy(optimizer), pickle.loads(pickle.dumps(optimizer))):
        twin.param_groups[0]["params"][0].grad = torch.ones(3)
        optimizer_again = copy.deepcopy(optimizer)
        optimizer_again.param_groups[0]["params"][0].grad = torch.ones(3)
        twin.step()
        optimizer_again.step()
        assert torch.equal(
            twin.param_groups[0]["params"][0], optimizer_again.param_groups[0]["params"][0]
        )
    assert len(want) == 200


@pytest.mark.parametrize(
    "text", [EVERYTHING.replace("drop(", "tanh(").replace(", 0.3)", ")"), FORMULA]
)
@pytest.mark.parametrize("foreach", [False, True])
def test_capturable_agrees_to_rounding(text: str, foreach: bool) -> None:
    options = {"lr": torch.tensor(0.05), "capturable": True, "weight_decay": 0.01, **SCHEDULE}
    exported = load(genome_subject(Genome.parse(text)))
    got, _ = train(lambda params: exported(params, foreach=foreach, **options), steps=40)
    want, _ = train(lambda params: EvolvedOptimizer(params, text, **options), steps=40)
    for row, twin in zip(got, want, strict=True):
        for x, y in zip(row, twin, strict=True):
            # Rates of two precisions, forty times.
            assert torch.allclose(x, y, rtol=1e-5, atol=1e-6)


def test_complex_weights_move_as_pairs() -> None:
    exported = load(zoo_subject("opt9", False))
    options = {"lr": 0.05, "weight_decay": 0.01}
    for foreach in (False, True):
        got, _ = train(lambda p: exported(p, foreach=foreach, **options), torch.complex64, 10)  # noqa: B023
        want, _ = train(lambda p: zoo.create("opt9", p, **options), torch.complex64, 10)
        for row, twin in zip(got, want, strict=True):
            assert all(torch.equal(x, y) for x, y in zip(row, twin, strict=True))


def test_a_group_added_later_joins_the_schedule() -> None:
    exported = load(zoo_subject("opt7", True))
    first, later = (torch.ones(2, requires_grad=True) for _ in range(2))
    optimizer = exported([first], lr=0.1, total_steps=10)
    for weight in (first, later):
        weight.grad = torch.ones(2)
    optimizer.step()
    optimizer.add_param_group({"params": [later], "lr": 0.2})
    optimizer.step()
    assert [int(group["step"]) for group in optimizer.param_groups] == [2, 2]
    assert [int(optimizer.state[weight]["step"]) for weight in (first, later)] == [2, 1]
    with pytest.raises(ValueError, match="total_steps"):
        optimizer.add_param_group({"params": [torch.ones(1)], "total_steps": None})


def test_past_its_end_the_last_values_hold_with_one_warning() -> None:
    weight = torch.ones(2, requires_grad=True)
    optimizer = load(zoo_subject("opt7", True))([weight], lr=0.1, total_steps=2)
    weight.grad = torch.ones(2)
    optimizer.step()
    optimizer.step()
    with pytest.warns(UserWarning, match="all total_steps=2 steps are taken"):
        optimizer.step()
    optimizer.step()
    assert int(optimizer.param_groups[0]["step"]) == 4


def test_a_closure_is_called_and_its_loss_returned() -> None:
    weight = torch.ones(2, requires_grad=True)
    optimizer = load(zoo_subject("opt7", False))([weight], lr=0.1)

    def closure() -> float:
        optimizer.zero_grad()
        loss = weight.square().sum()
        loss.backward()
        return loss.item()

    losses = [optimizer.step(closure) for _ in range(20)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"lr": -1.0}, "lr is finite and at least 0, got -1.0"),
        ({"lr": float("nan")}, "lr is finite and at least 0, got nan"),
        ({"lr": 1.0, "weight_decay": -1.0}, "weight_decay is finite"),
        ({"lr": 1.0, "warmup_steps": -1}, "at least 0"),
        ({"lr": 1.0, "warmup_steps": 5}, "need total_steps"),
        ({"lr": 1.0, "total_steps": 5, "warmup_steps": 5}, "stay below total_steps"),
        ({"lr": 1.0, "differentiable": True}, "differentiable=True is not supported"),
    ],
)
def test_bad_arguments_are_refused(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        load(zoo_subject("opt7", False))([torch.zeros(2)], **options)


def test_a_sparse_gradient_is_refused() -> None:
    weight = torch.ones(2, 2, requires_grad=True)
    weight.grad = torch.ones(2, 2).to_sparse()
    with pytest.raises(RuntimeError, match="must be dense"):
        load(zoo_subject("opt7", False))([weight], lr=1.0).step()


def test_decays_need_a_horizon() -> None:
    with pytest.raises(TypeError, match="total_steps"):
        load(zoo_subject("opt7", True))([torch.zeros(2)], lr=1.0)


@pytest.mark.parametrize(
    ("optimizer", "options", "problem"),
    [
        ("opt77", {}, "there is no optimizer 'opt77': did you mean 'opt7'"),
        ("zzz", {}, "there is no optimizer 'zzz': give a name of the zoo"),
        (FORMULA, {"decay": True}, "names none of opt1"),
        ("opt7", {"to": "tensorflow"}, "there is no export to 'tensorflow'; choose among torch"),
        ("opt7", {"name": "import"}, "has a meaning in Python"),
        ("nowhere.json", {}, "cannot be read"),
        ("None ~ boom(g)", {}, "found"),
    ],
)
def test_what_cannot_be_exported_is_named(
    optimizer: str, options: dict[str, Any], problem: str
) -> None:
    if options.get("name") == "import":
        options = {**options, "to": "optax"}
    with pytest.raises(InputError, match=problem):
        evoptim.export(optimizer, **options)


def run(*words: str) -> Any:
    return CliRunner().invoke(main, ["export", *words])


def test_the_command_prints_or_writes_the_file(tmp_path: Path) -> None:
    printed = run("opt7", "--decay")
    assert printed.exit_code == 0
    assert printed.stdout == evoptim.export("opt7", decay=True)
    assert run("opt7", "--decay", "-o", "-").stdout == printed.stdout
    path = tmp_path / "opt7.py"
    done = run("opt7", "--decay", "-o", str(path))
    assert (done.exit_code, done.stdout) == (0, "")
    assert path.read_text(encoding="utf-8") == printed.stdout
    assert list(tmp_path.iterdir()) == [path], "no temporary file stays"


def test_a_file_is_replaced_by_force_only(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("precious")
    refused = run("opt7", "-o", str(path))
    assert refused.exit_code == 2
    assert "is there already" in refused.stderr
    assert path.read_text() == "precious"
    assert run("opt7", "-o", str(path), "--force").exit_code == 0
    assert "class Opt7(Optimizer)" in path.read_text(encoding="utf-8")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["opt77"], "did you mean 'opt7'"),
        (["opt7", "--to", "keras"], "there is no export to 'keras'"),
        (["opt7", "--name", "a b"], "'a b' cannot name an optimizer"),
        (["opt7", "-o", "nowhere/opt7.py"], "cannot be written: No such file or directory"),
        (["run:1", "--store", "nowhere"], "there is no run 'run'"),
    ],
)
def test_a_refusal_is_one_line_and_exits_with_2(words: list[str], problem: str) -> None:
    done = run(*words)
    assert done.exit_code == 2
    assert done.stdout == ""
    assert problem in done.stderr
    assert done.stderr.count("\n") == 1
