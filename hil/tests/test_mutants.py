"""The table of mutants is up to date with the product, and its judge can tell a survivor. ``hil.mutants`` runs them."""

from __future__ import annotations

import ast
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from hil.mutants import MUTANTS, ROOT, Mutant, Patch, among, changed, complaints, judge, run

if TYPE_CHECKING:
    from pathlib import Path

TEST = "tests/test_sum.py::test_sum"


def mutant(new: str, old: str = "one + other", *tests: str) -> Mutant:
    return Mutant("a mutant", "a law", (Patch("sum.py", old, new),), tests or (TEST,))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A product of one file, with a test of one law."""
    for folder in ("appliance", "tests"):
        (tmp_path / folder).mkdir()
    (tmp_path / "appliance" / "__init__.py").touch()  # else it is found elsewhere
    (tmp_path / "appliance" / "sum.py").write_text("def sum_of(one, other):\n    return one + other\n")
    (tmp_path / "tests" / "test_sum.py").write_text(
        "import pytest\nfrom appliance.sum import sum_of\n\n\n"
        "@pytest.mark.parametrize('other', [0, 1])\n"
        "def test_sum(other):\n    assert sum_of(2, other) == 2 + other\n\n\n"
        "def test_of_nothing():\n    pass\n"
    )
    return tmp_path


def test_every_text_is_there_exactly_once_and_every_test_exists() -> None:
    assert complaints(ROOT) == []


def test_every_mutant_has_a_name_of_its_own_a_law_and_tests() -> None:
    assert [name for name, count in Counter(each.name for each in MUTANTS).items() if count > 1] == []
    assert [each.name for each in MUTANTS if not (each.law and each.tests and each.patches)] == []


@pytest.mark.parametrize("each", MUTANTS, ids=lambda each: each.name)
def test_a_mutant_is_another_program_and_one_that_can_be_read(each: Mutant) -> None:
    for file in {patch.file for patch in each.patches}:
        source = (ROOT / "appliance" / file).read_text(encoding="utf-8")
        assert changed(source, each, file) != source
        ast.parse(changed(source, each, file))


def test_a_text_that_is_gone_or_there_twice_and_a_test_that_is_gone_are_named(tree: Path) -> None:
    assert complaints(tree, [mutant("one")]) == []
    (gone,) = complaints(tree, [mutant("one", "one - other")])
    assert "0 times" in gone
    (twice,) = complaints(tree, [mutant("one", "other")])
    assert "2 times" in twice
    for test in ("tests/test_gone.py", "tests/test_sum.py::test_su", "tests/test_sum.py::test_gone[1]"):
        assert complaints(tree, [mutant("one", "one + other", test)]) == [f"a mutant: there is no {test}"]


@pytest.mark.parametrize(
    ("new", "tests", "killed", "how"),
    [
        ("one - other", (TEST,), True, "tests/sum: sum"),
        ("one - other", (f"{TEST}[0]",), False, f"not noticed by {TEST}[0]"),
        ("other + one", (TEST,), False, f"not noticed by {TEST}"),
        (
            "one",
            (TEST, "tests/test_sum.py::test_of_nothing"),
            False,
            "not noticed by tests/test_sum.py::test_of_nothing",
        ),
        ("one +", (TEST,), False, "the tests could not be run"),
    ],
)
def test_a_mutant_is_killed_only_when_every_test_of_it_turns_red(
    tree: Path, new: str, tests: tuple[str, ...], killed: bool, how: str
) -> None:
    source = (tree / "appliance" / "sum.py").read_text()
    verdict = judge(tree, mutant(new, "one + other", *tests), tests)
    assert verdict[0] is killed
    assert verdict[1].startswith(how)
    assert (tree / "appliance" / "sum.py").read_text() == source, "a mutant is taken back"


def test_what_is_red_and_green_is_known_by_case_and_by_file(tree: Path) -> None:
    outcome = run(tree, ["tests/test_sum.py"])
    assert (outcome.code, outcome.red) == (0, frozenset())
    assert among(outcome.green, TEST)
    assert among(outcome.green, f"{TEST}[1]")
    assert among(outcome.green, "tests/test_sum.py")
    assert not among(outcome.green, "tests/test_sum.py::test_su")


def test_a_mutant_without_a_test_that_can_run_is_not_killed(tree: Path) -> None:
    assert judge(tree, mutant("one"), ()) == (False, "none of its tests can run here")
