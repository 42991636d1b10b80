"""A gate's answer for people and for CI systems: a table, Markdown, JUnit XML."""

import re
from typing import Final
from xml.etree import ElementTree

from ...components.report.tables import Table, aligned, markdown
from .result import Check, Gate

_WIDTH: Final = 80
_INTERVAL: Final = re.compile(r" \[.*\]")
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def check_table(gate: Gate, intervals: bool = True) -> Table:
    """Every check in a row."""
    rows = []
    for check in gate.checks:
        value, beside, limit = check.shown
        value = value if intervals else _INTERVAL.sub("", value)
        rows.append([check.figure, value, beside, limit, "pass" if check.passed else "FAIL"])
    return Table("", ["check", "value", "beside", "limit", ""], rows, left=(0, 3, 4))


def outcome(gate: Gate) -> str:
    """In a line."""
    every = len(gate.checks)
    if gate.passed:
        return f"The gate is passed: all {every} checks."
    return f"The gate is not passed: {len(gate.failed)} of {every} checks failed."


def notes(gate: Gate) -> list[str]:
    """Why checks failed, and what is to be known of those that passed: a sentence each."""
    return [f"{check.figure}: {check.reason}" for check in gate.checks if check.reason]


def places(gate: Gate) -> dict[str, str]:
    """Where the report is, with its pictures, and whose it is, by a heading."""
    found = {"run": gate.run}
    if gate.model:
        found["released"] = f"{gate.model} {gate.number or '(nothing yet)'}"
    if gate.against:
        found["against"] = gate.against
    return found | {"report": gate.pictures}


def text(gate: Gate) -> list[str]:
    """The table as lines, without intervals where they do not fit."""
    lines = aligned(check_table(gate))
    return lines if max(map(len, lines)) <= _WIDTH else aligned(check_table(gate, intervals=False))


def as_markdown(gate: Gate) -> str:
    """For a CI system's summary: no picture, no name of a training image."""
    lines = [
        f"## {'Gate passed' if gate.passed else 'Gate not passed'}",
        "",
        f"{outcome(gate)} {_plain(gate.title)}.",
        "",
    ]
    lines += markdown(check_table(gate))
    lines += ["", *(f"* {_plain(note)}" for note in notes(gate))] if notes(gate) else []
    lines += ["", *(f"- {heading}: `{place}`" for heading, place in places(gate).items())]
    return "\n".join([*lines, f"- data set: `{gate.dataset}`", f"- policy: SHA-256 `{gate.policy_sha256}`", ""])


def _plain(text: str) -> str:
    """Text that is no markup in Markdown."""
    return text.replace("&", "&amp;").replace("<", "&lt;")


def as_junit(gate: Gate) -> bytes:
    """A test suite of a case a check, in the form that GitLab, Jenkins and actions for GitHub read."""
    counts = {"tests": str(len(gate.checks)), "failures": str(len(gate.failed)), "errors": "0", "skipped": "0"}
    root = ElementTree.Element("testsuites", {"name": "unecho gate", **counts, "time": "0"})
    suite = ElementTree.SubElement(root, "testsuite", {"name": _legal(gate.run), **counts, "time": "0"})
    properties = ElementTree.SubElement(suite, "properties")
    of_policy = {"dataset": gate.dataset, "policy_sha256": gate.policy_sha256, "report_sha256": gate.report_sha256}
    for name, value in {**places(gate), **of_policy}.items():
        ElementTree.SubElement(properties, "property", {"name": name, "value": _legal(value)})
    for check in gate.checks:
        _case(suite, check, gate)
    ElementTree.indent(root)
    written: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return written + b"\n"


def _case(suite: ElementTree.Element, check: Check, gate: Gate) -> None:
    name = f"{check.figure}: {check.limit}" + ("" if check.allowed is None else f" {check.allowed:g}")
    named = {"classname": f"gate.{check.group}", "name": _legal(name), "time": "0"}
    case = ElementTree.SubElement(suite, "testcase", named)
    value, beside, limit = check.shown
    line = f"{value}{f', {beside}' if beside else ''}; asked for: {limit}"
    if check.passed:
        ElementTree.SubElement(case, "system-out").text = _legal(f"{line}{f'. {check.reason}' if check.reason else ''}")
        return
    failure = ElementTree.SubElement(case, "failure", {"type": check.limit, "message": _legal(check.reason)})
    failure.text = _legal(f"{line}\n{check.reason}\nreport with the pictures: {gate.pictures}")


def _legal(text: str) -> str:
    """Less the characters that XML cannot hold."""
    return _NOT_XML.sub("\ufffd", text)
