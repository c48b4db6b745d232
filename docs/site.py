"""The hooks of `mkdocs.yml`: the pages at the top of the repository are pages of the site, and links lead to them.

In the repository every link leads to a file. On the site, one to a file that is no page of it keeps its text alone.
"""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
# Where each of them is on the site; all others are in docs/.
TOP = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
}
LINK = re.compile(r"(?<!!)\[(?P<text>[^\]]*)\]\((?P<path>[^)#:\s]+)(?P<anchor>#[^)\s]*)?\)")
IMAGE = re.compile(r"(!\[[^\]]*\]\(|(?:src|srcset)=\")docs/")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages at the top of the repository."""
    for source, page in TOP.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead a page's links to pages of the site.

    Raises:
        PluginError: A link leads to no file of the repository.
    """
    del config
    at_top = {on_site: source for source, on_site in TOP.items()}
    source = at_top.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def lead(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link["path"]))
        if not (ROOT / path).exists():
            raise PluginError(f"{source} has a link to {link['path']}, which is no file")
        target = TOP.get(path, path.removeprefix("docs/"))
        if files.get_file_from_path(target) is None:
            return link["text"]
        return f"[{link['text']}]({target}{link['anchor'] or ''})"

    markdown = LINK.sub(lead, markdown)
    return IMAGE.sub(r"\1", markdown) if source in TOP else markdown
