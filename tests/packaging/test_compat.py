"""Where scripts/compat writes its table."""

import runpy

from tests.packaging.conftest import ROOT

_SCRIPT = runpy.run_path(str(ROOT / "scripts" / "compat"), run_name="compat")


def test_the_table_comes_to_the_end_of_a_document_without_one_and_then_stays_in_its_place() -> None:
    first = _SCRIPT["with_table"]("# Compatibility\n\ntext\n", "| a |")
    assert first.startswith(f"# Compatibility\n\ntext\n\n{_SCRIPT['HEADING']}\n\n")
    second = _SCRIPT["with_table"](f"{first}\nmore\n", "| b |")
    assert second == f"{first}\nmore\n".replace("| a |", "| b |")


def test_the_document_has_a_place_for_the_table() -> None:
    document = (ROOT / "docs" / "COMPATIBILITY.md").read_text()
    before, _, rest = document.partition(_SCRIPT["BEGIN"])
    assert f"\n{_SCRIPT['HEADING']}\n" in before
    assert "| version |" in rest.partition(_SCRIPT["END"])[0]
