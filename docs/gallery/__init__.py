"""The pages of docs/zoo: ``make gallery`` writes all of them again.

Facts come from where they hold: formulas of genomes and notes from the classes' docstrings, curves
from the optimizers' own factor tables, learning rates from docs/zoo/rates.json, which
``python benchmarks/zoo.py --json docs/zoo/rates.json`` measured. Only typeset formulas and advice
are written here. The same versions of the libraries give the same bytes.
"""
