"""A hook of MkDocs: links from a page to files of the repository, which the site does not hold.

On the disk and on a forge `../../jssl/algorithm.py` leads to the file. On the site it leads to the
repository if `repo_url` is set, and else it is a plain name.
"""

import posixpath
import re
from typing import Any

LINK = re.compile(r'(?<!!)\[([^\]]*)\]\(((?:\.\./)+[^)#\s]*)(#[^)\s]*)?\)')


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """The text of a page, with its links out of docs/ replaced."""
    here = posixpath.dirname(page.file.src_uri)

    def replace(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join('docs', here, link[2]))
        if target.startswith('docs/'):
            return link[0]
        if not config.repo_url:
            return link[1]
        return f'[{link[1]}]({config.repo_url.rstrip("/")}/blob/main/{target}{link[3] or ""})'

    return LINK.sub(replace, markdown)
