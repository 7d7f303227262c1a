"""Questions: the fields that the answers name are there."""

import re

import pytest

from jssl.cli.experiments import settle
from jssl.cli.parser import Parser
from jssl.cli.train import add_arguments
from tests.docs.pages import read

PAGES = ('docs/reference/faq.md', 'docs/start/photos.md', 'docs/start/choosing.md')
OTHERS = ('pretrained', 'my_project', 'FILE')  # a file that the reader has
FIELDS = [
    (page, words)
    for page in PAGES
    for words in re.findall(r'`((?:--config\.[^`]*=[^`]*))`', read(page))
    if not any(other in words for other in OTHERS)
]


@pytest.mark.parametrize(('page', 'words'), FIELDS)
def test_a_field_that_a_page_names_is_there(page: str, words: str) -> None:
    parser = Parser('jssl train', '')
    add_arguments(parser)
    settle(parser.read(['simclr', *words.split()]))
