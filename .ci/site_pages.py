"""Puts pages that lie outside of docs/ into the site, and turns links to them."""

import posixpath
import re
from pathlib import Path

from mkdocs.structure.files import File

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = ["CONTRIBUTING.md", "ARCHITECTURE.md", "DESIGN.md", "CHANGELOG.md", "SECURITY.md", "bench/README.md"]
OUTSIDE += [str(path.relative_to(ROOT)) for path in sorted((ROOT / "records").rglob("*.*")) if path.suffix != ".sh"]


def on_files(files, config):
    for name in OUTSIDE:
        files.append(File.generated(config, name, content=(ROOT / name).read_bytes()))
    return files


def on_page_markdown(markdown, page, config, files):
    place = page.file.src_uri
    # Where the page lies in the repository, and where what it links to lies in the site.
    source = place if place in OUTSIDE else posixpath.join("docs", place)

    def turned(match):
        target, anchor = match.group(1), match.group(2) or ""
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        path = path.removeprefix("docs/")
        if files.get_file_from_path(path) is None:
            return match.group(0)
        return f"]({posixpath.relpath(path, posixpath.dirname(place) or '.')}{anchor})"

    return re.sub(r"\]\(([^):#\s]+)(#[^)\s]*)?\)", turned, markdown)
