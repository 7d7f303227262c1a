"""The two forms that configs have: that of MMEngine, and that of release 0.x.

They have the same things to say, in other places and by other names.
"""

import dataclasses
from typing import Any

from jssl.errors import JsslError, show
from jssl.interop.configs import optimizer
from jssl.interop.configs.dataset import TFDS
from jssl.interop.configs.notes import Fields, Notes
from jssl.interop.configs.optimizer import Rules
from jssl.interop.configs.pipeline import Pipelines, preprocessor
from jssl.interop.configs.values import Place, Section
from jssl.interop.model_dicts import bare

OLDER, NEWER, PRETRAIN = '0.x', '1.x', 'mmpretrain'
Config = dict[str, Any]


@dataclasses.dataclass
class Parts:
    """What the two forms of a config say, each in its own place.

    Attributes:
      images: of one process in a batch.
      accumulated: batches of a step.
      data: the fields of the source.
      views: of jssl.
      pipelines: what carried them over.
      optimizer: its fields.
      base: of the optimizer, beside its dict: the bound of the gradient, the decay over layers.
      rules: for single parameters.
      half: whether it computes in half precision.
      replaced: whether images are drawn with replacement.
      places: of the sections.
    """

    images: int
    accumulated: int
    data: Fields
    views: Config
    pipelines: Pipelines
    optimizer: Fields
    base: Config
    rules: Rules
    half: bool
    replaced: bool
    places: dict[str, Place]


def release_of(config: Section) -> str:
    """Of which release a config is: '0.x' or '1.x' of MMSelfSup, or 'mmpretrain'."""
    if 'train_dataloader' not in config and ('data' in config or 'lr_config' in config):
        return OLDER
    return PRETRAIN if config.get('default_scope') == PRETRAIN else NEWER


def parts_of(config: Section, notes: Notes, release: str) -> Parts:
    """What a config says of images, views and the optimizer.

    Args:
      config: with its model.
      notes: is told what has no counterpart.
      release: of `release_of`.
    """
    form = _Form(config, notes, release)
    return form.older() if release == OLDER else form.newer()


class _Form:
    """Reads a config."""

    def __init__(self, config: Section, notes: Notes, release: str) -> None:
        self._config, self._notes, self._release = config, notes, release
        self._top = Fields(config, notes, 'config')

    def newer(self) -> Parts:
        """What releases on MMEngine say."""
        loader, wrapper = self._top.inner('train_dataloader'), self._top.inner('optim_wrapper')
        data, sampler = loader.inner('dataset'), loader.inner('sampler')
        images = loader.count('batch_size')
        loader.ignore('num_workers', 'persistent_workers', 'collate_fn', 'pin_memory', 'drop_last')
        loader.ignore('prefetch_factor', 'worker_init_fn', 'batch_sampler')
        loader.finish()
        if 'pipeline' not in data:
            name = data.section.get('type')
            raise JsslError(
                f'{data.place}: the data set {show(name)} has no pipeline; give one data set with '
                'a pipeline there, such as one of those inside it.'
            )
        statistics = self._preprocessor(bare(data.section.get('type', '')) in TFDS)
        pipelines = Pipelines(self._notes, older=False, statistics=statistics)
        views = pipelines.of(data.take('pipeline'), data.where('pipeline'), 'pipeline')
        if views['type'] == 'ImageAndTokens' and self._release == NEWER:
            text = 'MMSelfSup 1.x meant the filters that it names, and used area and bilinear ones'
            self._notes.differ(data.where('pipeline'), text)
        settings, paramwise = wrapper.inner('optimizer'), wrapper.inner('paramwise_cfg')
        decay = optimizer.layer_decay(wrapper, paramwise, self._release == PRETRAIN)
        made = Parts(
            images=images,
            accumulated=wrapper.count('accumulative_counts', 1),
            data=data,
            views=views,
            pipelines=pipelines,
            optimizer=settings,
            base=optimizer.clip(wrapper.inner('clip_grad')) | decay,
            rules=optimizer.rules(paramwise),
            half=self._is_half(wrapper),
            replaced=self._replaces(sampler),
            places={
                'optimizer': self._top.where('optim_wrapper'),
                'batch_size': loader.place,
                'schedule': self._top.where('param_scheduler'),
            },
        )
        wrapper.ignore('loss_scale')
        wrapper.finish()
        return made

    def _preprocessor(self, rgb: bool) -> Any:
        model = Fields(self._config['model'], self._notes, 'model')
        inside = 'data_preprocessor' in model
        fields = (model if inside else self._top).inner('data_preprocessor')
        return preprocessor(fields, rgb=rgb) if fields.section else None

    def _is_half(self, wrapper: Fields) -> bool:
        name = bare(wrapper.take('type', 'OptimWrapper'))
        if name not in ('OptimWrapper', 'AmpOptimWrapper'):
            wrapper.miss('type', name, 'an optimizer is wrapped by OptimWrapper or AmpOptimWrapper')
        half = name == 'AmpOptimWrapper'
        if half and wrapper.take('dtype') != 'bfloat16':
            self._half(wrapper.where('type'))
        return half

    def _half(self, place: Place) -> None:
        self._notes.differ(
            place, 'half precision is float16 with a scaled loss there, bfloat16 without one here'
        )

    def _replaces(self, sampler: Fields) -> bool:
        """Whether images are drawn with replacement."""
        name, replaced = (
            bare(sampler.take('type', 'DefaultSampler')),
            sampler.take('replace', False),
        )
        sampler.only('shuffle', True)
        sampler.ignore('round_up', 'seed', 'dynamic_length')
        if name not in ('DefaultSampler', 'DeepClusterSampler'):
            sampler.miss('type', name, 'an epoch has every image once here')
        sampler.finish()
        return bool(replaced)

    def older(self) -> Parts:
        """What release 0.x says."""
        data, settings = self._top.inner('data'), self._top.inner('optimizer')
        config = self._top.inner('optimizer_config')
        train = data.inner('train')
        images, replaced = data.count('samples_per_gpu'), data.first('replace', 'sampling_replace')
        data.ignore('workers_per_gpu', 'drop_last', 'val', 'test', 'persistent_workers')
        data.ignore('prefetch', 'num_views')
        data.finish()
        pipelines, views = self._older_views(train)
        lr = settings.number('lr', default=0.0)
        decay = settings.number('weight_decay', default=0.0)
        half = self._config.get('fp16') is not None
        if self._config.get('momentum_config') is not None:
            self._top.miss('momentum_config', self._top.take('momentum_config'), 'it is fixed here')
        if half:
            self._half(self._top.where('fp16'))
        made = Parts(
            images=images,
            accumulated=config.count('update_interval', 1),
            data=train.inner('data_source'),
            views=views,
            pipelines=pipelines,
            optimizer=settings,
            base=optimizer.clip(config.inner('grad_clip')),
            rules=optimizer.rules_of_options(settings.inner('paramwise_options'), lr, decay),
            half=half,
            replaced=bool(replaced),
            places={
                'optimizer': self._top.where('optimizer'),
                'batch_size': data.place,
                'schedule': self._top.where('lr_config'),
            },
        )
        train.finish()
        config.ignore('frozen_layers_cfg', 'type', 'coalesce', 'bucket_size_mb')
        config.finish()
        return made

    def _older_views(self, train: Fields) -> tuple[Pipelines, Config]:
        name, place = bare(train.take('type', '')), train.where('pipeline')
        pipelines = Pipelines(self._notes, older=True, statistics=None)
        train.only('prefetch', False, None)
        if name == 'MultiViewDataset':
            counts, several = train.take('num_views'), train.take('pipelines')
            return pipelines, pipelines.several(counts, several, train)
        steps = train.take('pipeline')
        if name == 'RotationPredDataset':
            return pipelines, pipelines.turns(steps, place)
        if name == 'RelativeLocDataset':
            ending = train.take('format_pipeline', ())
            for key, several in (('pipeline', steps), ('format_pipeline', ending)):
                if not isinstance(several, list | tuple):
                    raise train.wrong(key, several, 'a list')
            return pipelines, pipelines.patches(steps, place, ending)
        if name not in ('SingleViewDataset', 'DeepClusterDataset'):
            train.miss('type', name, 'the data sets of 0.x known have Multi- or SingleView in them')
        return pipelines, pipelines.single(steps, place)
