"""How other libraries name and shape the arrays of networks, recognised from their names.

A layout is declared in a module of this package and stands in its `LAYOUTS`; nothing else has to be
told of it. docs/guides/weights.md lists them.
"""

from collections.abc import Iterable

from jssl.errors import JsslError, suggest
from jssl.interop.layouts import (
    beit,
    convnext,
    huggingface,
    mmpretrain,
    mmselfsup,
    official,
    resnet,
    siglip,
    swin,
    timm,
    torchvision,
)
from jssl.interop.layouts.layout import Layout

# In the order in which they are tried: the more particular ones first.
LAYOUTS: tuple[Layout, ...] = (
    *official.LAYOUTS,
    timm.DINOV3,
    *beit.LAYOUTS,
    *siglip.LAYOUTS,
    *huggingface.LAYOUTS,
    *torchvision.LAYOUTS,
    timm.VIT,
    official.OF_DINO,
    *swin.LAYOUTS,
    *convnext.LAYOUTS,
    *resnet.LAYOUTS,
    *mmpretrain.LAYOUTS,
    *mmselfsup.LAYOUTS,
)


def recognise(keys: Iterable[str]) -> Layout | None:
    """The layout of a file with arrays of these names; None for none that is known.

    Names that a layout does not know may stand before all of them, where no layout fits otherwise.
    """
    known = set(keys)
    usual = (layout for layout in LAYOUTS if layout.wrapper_in(known) is not None)
    bare = (layout for layout in LAYOUTS if '' in layout.wrappers)
    wrapped = (layout for layout in bare if layout.wrappers_in(known))
    return next(usual, None) or next(wrapped, None)


def find(name: str) -> Layout:
    """The layout called `name`.

    Raises:
      JsslError: there is none.
    """
    named = {layout.name: layout for layout in LAYOUTS}
    if name not in named:
        raise JsslError(f'There is no layout {name!r}. {suggest(name, named)}')
    return named[name]
