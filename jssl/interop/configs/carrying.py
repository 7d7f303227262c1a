"""A whole config of MMSelfSup or MMPretrain as a config of jssl."""

import dataclasses
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from jssl.counts import counted
from jssl.errors import JsslError, show
from jssl.interop.configs import checking, optimizer, runtime, schedule, sizes
from jssl.interop.configs.dataset import source
from jssl.interop.configs.forms import NEWER, OLDER, PRETRAIN, Parts, parts_of, release_of
from jssl.interop.configs.notes import Fields, Notes, kind
from jssl.interop.configs.pipeline import evaluation
from jssl.interop.configs.reading import read_config
from jssl.interop.configs.values import Place, Section
from jssl.interop.mmselfsup import algorithm_config
from jssl.interop.model_dicts import bare, class_of
from jssl.reference import Hook

NAMES = {OLDER: 'MMSelfSup 0.x', NEWER: 'MMSelfSup 1.x', PRETRAIN: 'MMPretrain'}
PARTS = ('backbone', 'neck', 'head', 'memory_bank', 'target_generator')  # of a model
IN_MODEL = re.compile(r'config\.model\.([\w.]+)')
Config = dict[str, Any]


@dataclasses.dataclass
class Carried:
    """A config that was carried over.

    Attributes:
      config: the sections of a config of jssl.
      comments: where each of them is from.
      notes: what is different here, or left out.
      about: what it is, in a sentence.
    """

    config: Config
    comments: dict[str, str]
    notes: Notes
    about: str


def carry(
    path: Path,
    *,
    processes: int | None = None,
    images: int | None = None,
    leave_out: Iterable[str] = (),
) -> Carried:
    """A config of jssl for what a config file of MMSelfSup or MMPretrain describes.

    Args:
      path: of the file.
      processes: for how many it is; None for what its name says (``8xb256``).
      images: how many there are to train on; None for what is known of the data set.
      leave_out: how the names begin of settings without a counterpart that may be left out.

    Raises:
      JsslError: lists what has no counterpart by file and line; or the file cannot be read.
    """
    return _Carrying(path, read_config(path)).run(processes, images, leave_out)


class _Carrying:
    """Carries one config over."""

    def __init__(self, path: Path, config: Section) -> None:
        self._path, self._config, self._notes = path, config, Notes()
        self._release = release_of(config)
        self._top = Fields(config, self._notes, 'config')

    def run(self, processes: int | None, images: int | None, leave_out: Iterable[str]) -> Carried:
        """All sections; see `carry`."""
        self._check_method()
        parts = parts_of(self._config, self._notes, self._release)
        source_section, known, canvas = source(parts.data)
        count, size = images or known, self._size(parts, processes)
        length = self._length(count, size)
        settings = self._scaled(optimizer.settings(parts.optimizer, parts.base), size)
        model, elsewhere = self._model(parts, size)
        self._check_fixed(settings, elsewhere, parts)
        sampler = {'type': 'WithReplacement'} if parts.replaced else elsewhere.get('sampler')
        runtime.note_weights(self._config, self._notes)
        if (synchronised := self._top.take('sync_bn')) is not None:
            why = "give the networks norm_cfg=dict(type='SyncBN') instead"
            self._top.miss('sync_bn', synchronised, why)
        keys, vectors = optimizer.as_keys(parts.rules)
        config: Config = {'model': model, 'data': source_section}
        config |= {'sampler': sampler} if sampler else {}
        config |= {
            'canvas': canvas,
            'eval_view': evaluation(parts.views, parts.pipelines.statistics),
            'views': parts.views,
            'batch_size': size.batch,
            **({'accumulate': size.accumulated} if size.accumulated > 1 else {}),
            'epochs': length.epochs,
            'optimizer': settings,
            'schedule': self._schedule(length),
        }
        config |= {'dtype': 'bfloat16'} if parts.half else {}
        config |= runtime.settings(self._config)
        self._notes.check(leave_out)
        checked = self._checked(config, parts.rules, keys, vectors, count)
        if checked.differing:
            some = optimizer.shown(checked.differing)
            text = f'the rules for single parameters do not pick the same here: {some}'
            self._notes.miss(parts.places['optimizer'], 'paramwise', text)
            self._notes.check(leave_out)
        config['optimizer'] |= {'custom_keys': checked.keys} if checked.keys else {}
        config['optimizer'] |= {'vectors': vectors} if vectors else {}
        return Carried(config, self._comments(parts, size), self._notes, self._about())

    def _checked(self, config: Config, *others: Any) -> checking.Checked:
        try:
            return checking.check(config, *others)
        except JsslError as error:
            if IN_MODEL.search(str(error)):
                raise JsslError(f'{self._model_place(str(error))}: {error}') from error
            raise JsslError(f'{self._path}: {error}') from error

    def _check_method(self) -> None:
        model = self._config.get('model')
        if not isinstance(model, Section) or 'type' not in model:
            raise JsslError(
                f'{self._path} has no model=dict(type=...); it is no config of a training, or a '
                'file that others build on. Give one that has a model and a data set.'
            )
        for key in PARTS:
            if not isinstance(model.get(key), Section | None):
                raise Fields(model, self._notes, 'config.model').wrong(key, model[key], 'a dict')
        found = class_of(model['type'])
        if not hasattr(found, 'loss') or getattr(found, 'predicts', None) == 'classes':
            raise JsslError(
                f'{model.where("type")}: the method {show(bare(model["type"]))} is not one of '
                "jssl's self-supervised methods; docs/tutorials/mmselfsup.md lists those that come "
                'over.'
            )

    def _size(self, parts: Parts, processes: int | None) -> sizes.Size:
        scaled = self._base_size()
        per_step = parts.images * parts.accumulated
        count = sizes.processes(self._path.name, scaled, per_step, processes)
        if parts.accumulated > 1:
            self._notes.differ(
                parts.places['optimizer'],
                f'{parts.accumulated} batches are accumulated there; here the backbone sees the '
                'images in as many parts, but what is compared within a batch is compared within '
                'all of them, and momenta and rates move once a step',
            )
        return sizes.Size(parts.images, count, parts.accumulated)

    def _base_size(self) -> int | None:
        """The images of all processes for which `auto_scale_lr` says that the rate is."""
        fields = self._top.inner('auto_scale_lr')
        return fields.count('base_batch_size') if 'base_batch_size' in fields else None

    def _scaled(self, settings: Config, size: sizes.Size) -> Config:
        """The optimizer with the rate that `auto_scale_lr` makes of it, where that is enabled."""
        base, fields = self._base_size(), self._top.inner('auto_scale_lr')
        if base is None or not fields.take('enable') or base == size.together:
            return settings
        text = f'the rate is multiplied by {size.together}/{base}, as auto_scale_lr does there'
        self._notes.differ(fields.place, text)
        return settings | {'lr': settings['lr'] * size.together / base}

    def _length(self, count: int | None, size: sizes.Size) -> schedule.Length:
        """Epochs, and the steps of one."""
        key = 'runner' if self._release == OLDER else 'train_cfg'
        fields = self._top.inner(key)
        steps = max(count // size.batch, 1) if count else None
        fields.ignore('type', 'by_epoch', 'val_interval', 'val_begin')
        iters = fields.count('max_iters') if fields.take('max_iters') is not None else None
        if iters is None or fields.take('max_epochs') is not None:
            epochs = fields.count('max_epochs')
        else:
            if not steps:
                raise JsslError(
                    f'{fields.where("max_iters")}: max_iters={iters} counts steps, and how many an '
                    'epoch has is unknown; add --images=N, the number of images to train on.'
                )
            epochs = math.ceil(iters / size.accumulated / steps)
            self._notes.differ(
                fields.where('max_iters'),
                f'a run is of whole epochs here, of which {epochs} are {epochs * steps} steps',
            )
        fields.finish()
        return schedule.Length(epochs, steps and steps * size.accumulated)

    def _schedule(self, length: schedule.Length) -> Config:
        if self._release == OLDER:
            return schedule.of_policy(self._top.inner('lr_config'), length)
        return schedule.of_schedulers(self._config.get('param_scheduler'), self._top, length)

    def _model(self, parts: Parts, size: sizes.Size) -> tuple[Config, dict[str, Config]]:
        """The model with what hooks, masks and processes set of it."""
        given, hooks = self._config['model'], runtime.hooks(self._top)
        try:
            algorithm_config(given, (), self._release)
            model, elsewhere = self._with_hooks(given, hooks)
        except JsslError as error:
            raise JsslError(f'{self._model_place(str(error))}: {error}') from error
        model = sizes.spread(model, given, size, self._notes, self._config.where('model'))
        return self._masked(model, parts.pipelines.mask), elsewhere

    def _with_hooks(self, given: Section, hooks: list[Section]) -> tuple[Config, dict[str, Config]]:
        """The model, and what its hooks set elsewhere; hooks that are refused are noted."""
        while True:
            try:
                return algorithm_config(given, hooks, self._release)
            except JsslError as error:
                wrong = next((h for h in hooks if kind(h) and kind(h) in str(error)), None)
                if wrong is None:
                    raise
                text = str(error).rstrip('.')
                self._notes.miss(wrong.place, f'custom_hooks.{kind(wrong)}', text)
                hooks = [hook for hook in hooks if hook is not wrong]

    def _masked(self, model: Config, mask: Section | None) -> Config:
        """The model with what the mask generator of the pipeline sets of it."""
        if mask is None:
            return model
        asked = getattr(class_of(model['type']), 'mask_settings', None)
        if asked is None:
            self._notes.miss(mask.place, kind(mask), f'{model["type"]} draws no such mask')
            return model
        hook = Hook(kind(mask), {k: v for k, v in mask.items() if k != 'type'}, among='pipeline')
        try:
            settings = asked(hook)
            hook.finish()
        except JsslError as error:
            raise JsslError(f'{mask.place}: {error}') from error
        parts = {k: v for k, v in settings.items() if isinstance(v, dict) and k in model}
        inner = {k: (model[k] or {}) | v for k, v in parts.items()}
        return model | settings | inner

    def _model_place(self, error: str) -> Place:
        """The line of the field that an error names."""
        found = IN_MODEL.search(error)
        keys = found.group(1).strip('.').split('.') if found else ()
        return self._config.where('model', *keys)

    def _check_fixed(self, settings: Config, elsewhere: dict[str, Config], parts: Parts) -> None:
        """A rate that a hook keeps must be the optimizer's, which is what is kept here."""
        rate = elsewhere.get('optimizer', {}).get('lr', settings['lr'])
        if rate != settings['lr']:
            text = f'a hook keeps the rate {rate} of some parameters; here it is that of all'
            self._notes.miss(parts.places['optimizer'], 'custom_hooks', text)

    def _comments(self, parts: Parts, size: sizes.Size) -> dict[str, str]:
        """Where the sections are from."""
        many = f' x {size.accumulated} accumulated' if size.accumulated > 1 else ''
        where = {
            'model': self._config.where('model'),
            'data': parts.data.place,
            'views': parts.data.where('pipeline'),
            'optimizer': parts.places['optimizer'],
            'schedule': parts.places['schedule'],
            'epochs': self._top.where('runner' if self._release == OLDER else 'train_cfg'),
        }
        comments = {key: str(_beside(place, self._path)) for key, place in where.items()}
        begun = _beside(self._config.where('model', 'type'), self._path)
        if begun.file not in comments['model']:
            comments['model'] = f'{begun}, with changes at {comments["model"]}'
        comments['batch_size'] = (
            f'{_beside(parts.places["batch_size"], self._path)}: {counted(size.images, "image")} x '
            f'{counted(size.processes, "process", "processes")}{many}'
        )
        comments['eval_view'] = "jssl's own: how images are seen when their features are judged"
        return comments

    def _about(self) -> str:
        method = bare(self._config['model']['type'])
        return f'{method}, from {self._path.name} of {NAMES[self._release]}.'


def _beside(place: Place, path: Path) -> Place:
    """A place with its file as seen from the folder of the config."""
    file = Path(place.file)
    try:
        return Place(str(file.resolve().relative_to(path.resolve().parent)), place.line)
    except ValueError:
        return Place('/'.join(file.parts[-3:]), place.line)


def sentences(notes: Notes, path: Path) -> Sequence[str]:
    """What a user should know, a paragraph each."""
    different = [f'Different here: {_beside(n.place, path)}: {n.text}.' for n in notes.differs]
    missing = [f'Left out: {_beside(n.place, path)}: {n.text}.' for n in notes.missing]
    left = [f'Without effect: {_beside(n.place, path)}: {n.text}.' for n in notes.left]
    return [*missing, *different, *left]
