"""YAML in, validated and frozen experiments out. Imports neither torch nor mlflow."""

from hardy.spec.diagnostics import Diagnostic, Diagnostics
from hardy.spec.dump import dump
from hardy.spec.experiment import Experiment
from hardy.spec.resolve import (
    Resolved,
    Setting,
    Unit,
    load_policy,
    named_experiments,
    resolve,
)
from hardy.spec.schema import json_schema

__all__ = [
    "Diagnostic",
    "Diagnostics",
    "Experiment",
    "Resolved",
    "Setting",
    "Unit",
    "dump",
    "json_schema",
    "load_policy",
    "named_experiments",
    "resolve",
]
