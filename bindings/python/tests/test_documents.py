"""The Python of the documents runs: block after block of a page, with the names that its readers have."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[3]
PAGES = ["README.md", "bindings/python/README.md"]
PAGES += sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md"))


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)


def test_pages_have_python() -> None:
    assert sum(len(blocks(page)) for page in PAGES) >= 4


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)])
def test_python_of_a_page(page: str) -> None:
    random = np.random.default_rng(0)
    rows = [random.standard_normal((64, 16), dtype=np.float32) for _ in range(6)]
    names: dict[str, object] = dict(zip(["u", "v", "embeddings", "other_views", "old", "new"], rows, strict=True))
    names["classes"] = [f"class {i % 4}" for i in range(64)]
    if any("riesz.torch" in block for block in blocks(page)):
        torch = pytest.importorskip("torch")
        names["encoder"] = torch.nn.Linear(32, 16)
        names |= {name: torch.randn(64, 32) for name in ["view_1", "view_2"]}
    for block in blocks(page):
        exec(compile(block, page, "exec"), names)
