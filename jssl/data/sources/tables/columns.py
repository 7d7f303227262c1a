"""Which column of a table is the image and which the label, and what the classes are called."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from jssl.errors import JsslError, suggest

LABEL = 'label'  # the usual name, which need not be there
USUAL = ('image', 'img')  # of several images the one that is meant
BYTES = 'bytes'  # of an image that is a struct, as `datasets` writes it
SHOWN = 30


@dataclasses.dataclass(frozen=True)
class Columns:
    """What of a table becomes a sample.

    Attributes:
      image: the column of encoded images.
      label: the column of classes; None for none.
      names: of the classes, in the order of their numbers; None where the file tells none.
      texts: whether labels are the names of classes, and not their numbers.
    """

    image: str
    label: str | None
    names: tuple[str, ...] | None
    texts: bool


def choose(schema: Any, image: str | None, label: str | None, where: str) -> Columns:
    """The columns that a source is to read.

    Args:
      schema: a `pyarrow.Schema`; what `datasets` wrote into its metadata says which columns are
        images and classes.
      image: the name of the column; None for the only one that can be meant.
      label: the name of the column; None for none. The usual one may be missing; then the only
        one that is declared as a class takes its place.
      where: the file, for messages.

    Raises:
      JsslError: no such column, none or several that hold images, or a label that is no class;
        lists the columns.
    """
    features = declared(schema.metadata)
    found = _image(schema, features, image, where)
    classes = [name for name in schema.names if _kind(features.get(name)) == 'ClassLabel']
    if label == LABEL and (LABEL not in schema.names or not is_label(schema.field(LABEL).type)):
        label = classes[0] if len(classes) == 1 else None
    if label is None:
        return Columns(found, None, None, False)
    if schema.names.count(label) != 1:
        raise JsslError(
            f'{where} has no column {label!r} for the label; {listed(schema)}. Give label=NAME, or '
            'label=None for none.'
        )
    kind = schema.field(label).type
    if not is_label(kind):
        raise JsslError(
            f'the column {label!r} of {where} is of the type {kind}, and a label is a whole number '
            'or a text; give label=NAME of another column, or label=None.'
        )
    return Columns(found, label, _names(features.get(label), where), is_text(kind))


def readable(schema: Any) -> Any:
    """The schema, unless the names in it are no texts, which is a `UnicodeDecodeError`."""
    _ = schema.names, [is_image(field.type) for field in schema]
    return schema


def declared(metadata: Mapping[bytes, bytes] | None) -> Mapping[str, Any]:
    """What `datasets` says of each column, from the metadata of a schema; empty if it does not."""
    try:
        features = json.loads((metadata or {})[b'huggingface'])['info']['features']
    except (LookupError, ValueError, TypeError, RecursionError):
        return {}
    return features if isinstance(features, Mapping) else {}


def _kind(feature: Any) -> Any:
    return feature.get('_type') if isinstance(feature, Mapping) else None


def _names(feature: Any, where: str) -> tuple[str, ...] | None:
    if _kind(feature) != 'ClassLabel' or feature.get('names') is None:
        return None
    names = feature['names']
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise JsslError(f'{where} is damaged: its names of classes are no texts; copy it again.')
    return tuple(names)


def _image(schema: Any, features: Mapping[str, Any], image: str | None, where: str) -> str:
    names = [name for name in schema.names if schema.names.count(name) == 1]
    fitting = [name for name in names if is_image(schema.field(name).type)]
    if image is not None:
        if image in fitting:
            return image
        what = f'of the type {schema.field(image).type}' if image in names else 'not there'
        raise JsslError(
            f'the column {image!r} of {where} is to hold images and is {what}; {listed(schema)}. '
            f'{_remedy(image, fitting)}'
        )
    images = [name for name in fitting if _kind(features.get(name)) == 'Image'] or fitting
    if len(images) == 1:
        return images[0]
    usual = [name for name in USUAL if name in images]
    if usual:
        return usual[0]
    if images:
        raise JsslError(
            f'{where} has several columns that may hold images, {", ".join(images[:SHOWN])}; '
            f'choose one by image={images[0]}.'
        )
    raise JsslError(f'{where} has no column of images; {listed(schema)}. {_remedy("", [])}')


def _remedy(name: str, fitting: Sequence[str]) -> str:
    if fitting:
        return f'Give image=NAME. {suggest(name, fitting)}'
    return 'Write encoded images (JPEG, PNG) into a column of the type binary, or struct<bytes>.'


def listed(schema: Any) -> str:
    """Such as ``its columns are img (binary), label (int64)``."""
    shown = [f'{field.name} ({str(field.type)[:60]})' for field in list(schema)[:SHOWN]]
    more = f' and {len(schema) - SHOWN} more' if len(schema) > SHOWN else ''
    return f'its columns are {", ".join(shown)}{more}' if shown else 'it has no columns'


def is_image(kind: Any) -> bool:
    """Whether a type can hold encoded images: bytes, or a struct with ``bytes`` among its parts."""
    import pyarrow as pa

    if pa.types.is_struct(kind):
        inside = [kind.field(row) for row in range(kind.num_fields)]
        return [is_bytes(field.type) for field in inside if field.name == BYTES] == [True]
    return is_bytes(kind)


def is_bytes(kind: Any) -> bool:
    """Whether a type is that of bytes."""
    import pyarrow as pa

    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def is_label(kind: Any) -> bool:
    """Whether a type can hold classes: whole numbers, true and false, or texts."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return is_label(kind.value_type)
    return pa.types.is_integer(kind) or pa.types.is_boolean(kind) or is_text(kind)


def is_text(kind: Any) -> bool:
    """Whether a type is that of texts, each written out or as the number of one in a list."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return is_text(kind.value_type)
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)
