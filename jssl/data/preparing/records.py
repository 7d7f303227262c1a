"""Writing images as a TFDS data set of ArrayRecord files, without TensorFlow."""

import contextlib
import io
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from jssl.data.sources import Sample, Source, check_classes, has_labels, label_count
from jssl.data.sources.labels import checked_label
from jssl.errors import JsslError, in_words
from jssl.files import replacing

FORMAT = 'array_record'
VERSION = '1.0.0'


class Records:
    """How samples of some sources become the records of one data set."""

    def __init__(self, sources: Iterable[Source]) -> None:
        """Finds out what a record holds.

        Args:
          sources: the splits.

        Raises:
          JsslError: only some have labels, or their classes differ.
        """
        # Also what `write_shard` needs: Ctrl-C in the import of an extension is an ImportError, so
        # that all are imported before anything is written.
        import array_record.python.array_record_module  # noqa: F401
        import tensorflow_datasets as tfds
        from tensorflow_datasets.core import example_serializer

        features: dict[str, Any] = {'image': tfds.features.Image(shape=(None, None, 3))}
        if (classes := _classes(list(sources))) is not None:
            features['label'] = tfds.features.ClassLabel(**classes)
        self.features = tfds.features.FeaturesDict(features)
        self._serializer = example_serializer.ExampleSerializer(self.features.get_serialized_info())

    def record(self, sample: Sample, index: int) -> bytes:
        """One record of an encoded image and its label; the same bytes in every process.

        Raises:
          JsslError: sample `index` lacks its label, or has none of the classes.
        """
        kept: dict[str, Any] = {'image': sample['image']}
        if 'label' in self.features:
            classes = self.features['label'].num_classes
            kept['label'] = checked_label(sample.get('label'), index, classes)
        example = self._serializer.get_tf_example(self.features.encode_example(kept))
        return example.SerializeToString(deterministic=True)  # else fields come in any order


def _classes(sources: Sequence[Source]) -> dict[str, Any] | None:
    """What TFDS's ClassLabel is told about the classes of all sources; None without labels."""
    labelled = [has_labels(source) for source in sources]
    if not any(labelled):
        return None
    names = [getattr(source, 'label_names', None) for source in sources]
    if not all(labelled) or any(other != names[0] for other in names):
        raise JsslError(
            'the splits do not go together: all need labels, of the same classes, or none; prepare '
            'them one by one, each with an --out of its own.'
        )
    if names[0] is not None:
        return {'names': names[0]}
    for source in sources:
        check_classes(source)
    return {'num_classes': max(label_count(source) or 0 for source in sources)}


def shard_name(name: str, split: str, shard: int, shards: int) -> str:
    """What TFDS calls a file of a data set."""
    return f'{name}-{split}.{FORMAT}-{shard:05}-of-{shards:05}'


def write_shard(path: Path, records: Iterable[bytes]) -> None:
    """Writes all records or none: the file gets its name when it is complete and on the disk."""
    from array_record.python import array_record_module

    with replacing(path) as part:
        # One record a group, for reading at random; images are compressed already.
        writer = array_record_module.ArrayRecordWriter(str(part), 'group_size:1,uncompressed')
        for record in records:
            writer.write(record)
        writer.close()
        with part.open('rb') as file:
            os.fsync(file.fileno())


def count_records(path: Path) -> int:
    """How many records a complete file holds.

    Raises:
      JsslError: it was damaged since it was written.
    """
    from array_record.python import array_record_module

    try:
        reader = array_record_module.ArrayRecordReader(str(path))
        found = reader.num_records()
        reader.close()
    except Exception as error:  # RuntimeError and others, by what is wrong
        raise JsslError(
            f'{path} is damaged: {in_words(error, where=False)}; delete it and give the same '
            'command again.'
        ) from error
    return found


def write_metadata(
    folder: Path, name: str, records: Records, splits: Mapping[str, list[Path]], description: str
) -> None:
    """Makes a TFDS data set of a folder that holds all shards of all splits."""
    import tensorflow_datasets as tfds

    infos = []
    for split, paths in splits.items():
        template = tfds.core.ShardedFileTemplate(
            data_dir=folder, dataset_name=name, split=split, filetype_suffix=FORMAT
        )
        lengths = [count_records(path) for path in paths]
        size = sum(path.stat().st_size for path in paths)
        infos.append(
            tfds.core.SplitInfo(
                name=split, shard_lengths=lengths, num_bytes=size, filename_template=template
            )
        )
    with contextlib.redirect_stdout(io.StringIO()):
        tfds.folder_dataset.write_metadata(
            data_dir=folder,
            features=records.features,
            split_infos=infos,
            version=VERSION,
            check_data=False,  # would need TensorFlow
            description=description,
        )
