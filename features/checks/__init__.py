"""Deterministic checks of an output or of a trace: the same answer each time, within bounds, without a model.

A policy declares them (`[[check]]`), settle runs them on every trace, eval runs on every case. Pure, no Django.
"""

from features.checks.engine import Checker, Failure, Subject, Text, checker_of
from features.checks.output_schema import faults_of_output_schema

__all__ = ["Checker", "Failure", "Subject", "Text", "checker_of", "faults_of_output_schema"]
