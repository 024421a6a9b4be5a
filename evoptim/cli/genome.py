"""``evoptim show`` and ``evoptim check``."""

from __future__ import annotations

import click

from evoptim.cli.options import json_option, store_option
from evoptim.cli.output import out, print_json, sparkline

_WHICH = "a formula ('Nest ~ id(arcsinh(v hat))'), a JSON file, or run:rank (quickstart-s0:best)"


@click.command(
    short_help="Describe an optimizer: formula, LaTeX, state, decays.",
    help=f"""Describe OPTIMIZER: {_WHICH}.

    \b
    Examples:
      evoptim show quickstart-s0:1
      evoptim show 'Nest ~ bessel_i1e(arctan([(a13)*(a2)][g]))' --json
    """,
)
@click.argument("optimizer")
@store_option
@json_option
def show(optimizer: str, store: str, as_json: bool) -> None:  # noqa: D103 (help= is its text)
    from evoptim.verbs import show as show_verb

    found = show_verb(optimizer, store)
    genome = found.genome
    if as_json:
        print_json(
            {
                "id": found.id,
                "formula": found.formula,
                "latex": found.latex,
                "canonical": found.canonical,
                "sign": found.sign,
                "state": [{"name": each.name, "meaning": each.meaning} for each in found.state],
                "decays": list(found.decays),
                "genome": genome.to_json(),
            }
        )
        return
    sign = "against the update" if found.sign == 1 else "along the update (sign -1)"
    rows = [
        ("formula", found.formula),
        ("id", found.id),
        *([("canonical", found.canonical)] if found.canonical != found.formula else []),
        ("moves", f"{sign}, momentum: {genome.momentum.value}"),
        ("LaTeX", found.latex),
    ]
    screen = out()
    for name, value in rows:
        screen.print(f"{name:10}{value}", markup=False, soft_wrap=True)
    names = ", ".join(f"{each.name} ({each.meaning})" for each in found.state) or "none"
    screen.print(f"{'state':10}per weight: {names}", markup=False, soft_wrap=True)
    for place, decay in enumerate(genome.decays(), start=1):
        name = f"d_{place}(t)"
        screen.print(f"{name:10}{decay}", markup=False, soft_wrap=True)
        screen.print(f"{'':10}{sparkline(decay.values(200))}  1 at the top, t/T from 0 to 1")


@click.command(
    short_help="Tell whether an optimizer can descend at all.",
    help=f"""Tell whether OPTIMIZER can descend at all: {_WHICH}.

    It is what every candidate passes before it is trained: 35 steps down a sphere in five
    dimensions, at six rates, each with both signs. Exits 1 if none of them descends.

    \b
    Example:
      evoptim check 'None ~ id(g)'
    """,
)
@click.argument("optimizer")
@store_option
@json_option
def check(optimizer: str, store: str, as_json: bool) -> None:  # noqa: D103
    from evoptim.integrity import check_integrity
    from evoptim.verbs import find_genome

    result = check_integrity(find_genome(optimizer, store))
    if as_json:
        finite = [
            (sign, rate, loss if loss < float("inf") else None)
            for sign, rate, loss in result.losses
        ]
        print_json(
            {
                "passes": result.passes,
                "sign": result.sign,
                "rate": result.rate,
                "loss": result.loss,
                "losses": [
                    {"sign": sign, "rate": rate, "loss": loss} for sign, rate, loss in finite
                ],
            }
        )
    else:
        screen = out()
        if result.passes:
            screen.print(
                f"passes with sign {result.sign:+d} at rate {result.rate:g}: "
                f"the sphere's loss falls from 7.1525 to {result.loss:.4g}"
            )
        else:
            screen.print("does not pass: no rate and no sign brings the sphere's loss below 3.5")
        for sign, rate, loss in result.losses:
            screen.print(f"  sign {sign:+d}  rate {rate:<7g} loss {loss:.4g}")
    if not result.passes:
        raise SystemExit(1)
