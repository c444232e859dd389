"""The table of faults: every test here is in it, it is long enough, and the document is up to date."""

import pytest

from calibration.errors import UserError
from tests.faults import __main__ as program
from tests.faults.fault import Fault, row, rows, told

LEAST, MOST_PROCESSES = 120, 40


def test_every_test_of_faults_is_in_the_table() -> None:
    here = [module for module in program.modules() if module.__name__.startswith("tests.faults.")]
    missing = [
        f"{module.__name__}.{test.__name__}"
        for module in here
        if module.__name__ != __name__
        for test in program.tests_of(module)
        if not told(test) and not test.__name__.endswith(("_is_good", "_are_good"))
    ]
    assert not missing, "say with @row what they inject"


def test_the_table_is_long_enough_and_most_of_it_needs_no_process() -> None:
    found = [one for _, section in program.sections() for one in section]
    assert len(found) >= LEAST
    assert sum(one.process for one in found) <= MOST_PROCESSES
    told_twice = {(one.fault, one.test) for one in found}
    assert len(told_twice) == len(found), "the same fault with two outcomes"


def test_the_document_is_up_to_date() -> None:
    text = program.DOCUMENT.read_text(encoding="utf-8")
    assert program.document(text) == text, "python -m tests.faults --write docs/reliability.md"


def test_a_document_without_a_place_is_refused() -> None:
    with pytest.raises(UserError, match="no place for faults"):
        program.document("# Something else\n")


def test_a_test_has_a_row_a_fault_and_counts_its_cases() -> None:
    @row("{fault} of {kind}", intact="what is kept")
    @pytest.mark.parametrize("kind", ["a", "b"])
    @pytest.mark.parametrize(("fault", "seed"), [(Fault("damage", int, 2, "words", ""), k) for k in range(3)])
    def test(kind: str, fault: Fault, seed: int) -> None: ...

    found = {(one.fault, one.code, one.words, one.intact): count for one, count in rows(test).items()}
    assert found == {("damage of a", 2, "words", "what is kept"): 3, ("damage of b", 2, "words", "what is kept"): 3}
