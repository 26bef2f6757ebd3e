"""YAML in, validated and frozen experiments out. Imports neither torch nor mlflow."""

from hardy.spec.diagnostics import Diagnostic, Diagnostics
from hardy.spec.dump import dump
from hardy.spec.experiment import Experiment
from hardy.spec.find import find_spec, named_experiments, named_suites
from hardy.spec.policies import check_policies, load_policy
from hardy.spec.resolve import resolve
from hardy.spec.resolved import Resolved, Setting, Unit
from hardy.spec.schema import json_schema

__all__ = [
    "Diagnostic",
    "Diagnostics",
    "Experiment",
    "Resolved",
    "Setting",
    "Unit",
    "check_policies",
    "dump",
    "find_spec",
    "json_schema",
    "load_policy",
    "named_experiments",
    "named_suites",
    "resolve",
]
