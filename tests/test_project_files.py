"""What stands around the package: it names things that exist."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

import reprolib

PAGES = ("*.md", "docs/*.md", "examples/*.md")


def test_links_lead_somewhere(project: Path) -> None:
    """Relative ones; what `dvc repro` makes first is no part of a fresh clone's docs."""
    for pattern in PAGES:
        for page in project.glob(pattern):
            for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8")):
                if "://" not in target and "results/" not in target:
                    assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_commands_in_pages_exist(project: Path) -> None:
    from typer.main import get_command

    from reprolib.commands.main import app

    groups = get_command(app).commands  # type: ignore[attr-defined]
    for pattern in PAGES:
        for page in project.glob(pattern):
            for first, second in re.findall(r"reprolib ([a-z]+)(?: ([a-z]+))?", page.read_text(encoding="utf-8")):
                if first in groups and second and hasattr(groups[first], "commands") and first != "runs":
                    assert second in groups[first].commands, f"{page.name}: reprolib {first} {second}"


def test_the_citation_is_of_this_version(project: Path) -> None:
    citation = yaml.safe_load((project / "CITATION.cff").read_text())
    assert citation["version"] == reprolib.__version__
    assert {"cff-version", "message", "title", "authors", "license"} <= set(citation)
    assert {r["year"] for r in citation["references"]} == {2020, 2021}
    assert f"## {reprolib.__version__}" in (project / "CHANGELOG.md").read_text()


def test_hosted_ci_runs_what_a_person_runs(project: Path) -> None:
    jobs = yaml.safe_load((project / ".github/workflows/ci.yml").read_text())["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert ".ci/run" in commands and os.access(project / ".ci/run", os.X_OK)
    hooks = yaml.safe_load((project / ".pre-commit-config.yaml").read_text())["repos"]
    for entry in (hook["entry"] for repo in hooks for hook in repo["hooks"]):
        assert any(entry.startswith(command) for command in commands), f"{entry} is no check of the workflow"


@pytest.mark.parametrize("field", ["name", "description", "body"])
def test_issue_forms_have_what_a_form_needs(project: Path, field: str) -> None:
    forms = [p for p in (project / ".github/ISSUE_TEMPLATE").glob("*.yml") if p.stem != "config"]
    assert forms
    for form in (yaml.safe_load(p.read_text()) for p in forms):
        assert form[field]
        assert all(item["type"] in ("input", "textarea", "checkboxes", "dropdown", "markdown") and
                   item["attributes"]["label"] for item in form["body"])
