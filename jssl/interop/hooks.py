"""What the `custom_hooks` of MMSelfSup's configs do, as fields of the algorithms.

Everything that a hook says is applied, told to whoever has to set it elsewhere, or refused by name.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from jssl.errors import JsslError, suggest
from jssl.interop.model_dicts import as_dict

Settings = dict[str, Any]
Report = Callable[[str], None]
POWER = 0.5  # of the weights by which small clusters count more
NEVER = 100_000  # epochs between two clusterings, by which the reference says once
# Where a hook stands among others, and the reference's own way to run it.
EVERYWHERE = ('priority', 'seed', 'dist_mode')


class Hook:
    """The fields of one hook, each to be taken or named as one that changes nothing.

    Attributes:
      name: of its class.
      report: is told what belongs to another section of a config.
    """

    def __init__(self, name: str, fields: Mapping[str, Any], report: Report) -> None:
        self.name, self.report = name, report
        self._fields = {key: value for key, value in fields.items() if key not in EVERYWHERE}
        self._known: list[str] = []

    def take(self, field: str, default: Any = None) -> Any:
        """The value of a field, or what the reference's default is."""
        self._known.append(field)
        return self._fields.pop(field, default)

    def count(self, field: str, default: int) -> int:
        """As `take`, of a field that is a whole number."""
        return _whole(f'{self.name}.{field}', self.take(field, default))

    def ignore(self, *fields: str) -> None:
        """Leaves out what concerns printing, saving and reading alone."""
        for field in fields:
            self.take(field)

    def only(self, field: str, found: Any, wanted: Any, why: str) -> None:
        """Refuses another value than the one that there is a counterpart for."""
        if found != wanted:
            raise JsslError(
                f'custom_hooks: {self.name} with {field}={found!r} has no counterpart in jssl: '
                f'{why}. Set {field}={wanted!r}, or leave the hook out.'
            )

    def finish(self) -> None:
        """Refuses the fields that nobody took."""
        for field in self._fields:
            raise JsslError(
                f'custom_hooks: {self.name} has no field {field!r}. {suggest(field, self._known)}'
            )


def hook_settings(
    model: Mapping[str, Any], hooks: Sequence[Mapping[str, Any]], report: Report
) -> Settings:
    """The fields of an algorithm that hooks set.

    Args:
      model: of the algorithm, in jssl's terms.
      hooks: the `custom_hooks` of a config.
      report: is told what a hook does that belongs to another section of a config.

    Raises:
      JsslError: names a hook, a field or a value without a counterpart.
    """
    settings: Settings = {}
    present = set()
    for fields in hooks:
        if not isinstance(fields, Mapping) or 'type' not in fields:
            raise JsslError(f"A hook is a dict with a 'type', not {fields!r}.")
        name = str(fields['type']).rpartition('.')[2]
        if name not in HOOKS:
            raise JsslError(
                f'custom_hooks has {name!r}, which has no counterpart in jssl. '
                f'{suggest(name, HOOKS)} Leave it out if the training does not depend on it.'
            )
        rest = {key: value for key, value in fields.items() if key != 'type'}
        hook = Hook(name, rest, report)
        settings |= HOOKS[name](hook, model)
        hook.finish()
        present.add(name)
    if model['type'] == 'ODC' and 'ODCHook' not in present:  # here it happens by default
        settings |= {'centroid_interval': 0, 'small_cluster_interval': 0, 'reweight': False}
    return settings


def _whole(what: str, value: Any) -> int:
    if not isinstance(value, int):
        raise JsslError(f'custom_hooks: {what}={value!r} must be a whole number.')
    return value


def _deepcluster(hook: Hook, model: Mapping[str, Any]) -> Settings:
    hook.ignore('extract_dataloader', 'extractor', 'data_loaders')
    hook.only('initial', hook.take('initial', True), True, 'the first epoch needs clusters')
    pca_dim = _clustering(hook, model)
    uniform, reweight = hook.take('unif_sampling', False), hook.take('reweight', False)
    if hook.take('reweight_pow', POWER) != POWER and reweight:
        hook.only('reweight', reweight, False, f'the power of its weights is {POWER} here')
    interval, memory = hook.count('interval', 1), hook.take('init_memory', False)
    if model['type'] == 'ODC':
        hook.only('clustering.pca_dim', pca_dim, None, 'ODC clusters the projections themselves')
        hook.only('unif_sampling', uniform, False, 'the clusters of ODC change at every step')
        hook.only('init_memory', memory, True, 'the memory of ODC starts with the first clusters')
        if interval < NEVER:
            hook.only('interval', interval, 9_999_999_999, 'ODC clusters once, at the start')
        return {}
    hook.only('init_memory', memory, False, f'{model["type"]} has no memory')
    if uniform:
        hook.report(
            'DeepClusterHook(unif_sampling=True) is the sampler of a config here: set sampler='
            "dict(type='ClassBalanced')."
        )
    return {'pca_dim': pca_dim, 'refresh_every': interval, 'reweight': bool(reweight)}


def _clustering(hook: Hook, model: Mapping[str, Any]) -> int | None:
    """The principal components that are clustered; None for the features as they are."""
    clustering = as_dict('clustering', hook.take('clustering', {}))
    hook.only('clustering.type', clustering.pop('type', 'Kmeans'), 'Kmeans', 'it has k-means')
    classes = model.get('head', {}).get('num_classes')
    hook.only('clustering.k', clustering.pop('k', classes), classes, 'the head has one class each')
    pca_dim = _whole('DeepClusterHook.clustering.pca_dim', clustering.pop('pca_dim', 256))
    for field, value in clustering.items():
        hook.only(f'clustering.{field}', value, None, 'its k-means has no such setting')
    return pca_dim if pca_dim > 0 else None


def _densecl(hook: Hook, model: Mapping[str, Any]) -> Settings:
    return {'start_iters': hook.take('start_iters', 1000)}


def _odc(hook: Hook, model: Mapping[str, Any]) -> Settings:
    hook.ignore('evaluate_interval', 'reweight', 'reweight_pow')  # the last two it does not read
    return {
        'centroid_interval': hook.take('centroids_update_interval', 10),
        'small_cluster_interval': hook.take('deal_with_small_clusters_interval', 1),
    }


def _simsiam(hook: Hook, model: Mapping[str, Any]) -> Settings:
    hook.ignore('adjust_by_epoch')  # the rate is the same at every step of an epoch
    rate = hook.take('lr')
    if hook.take('fix_pred_lr', True):
        hook.report(
            f'SimSiamHook(fix_pred_lr=True, lr={rate}) is a setting of the optimizer here: set '
            f"optimizer=dict(lr={rate}, custom_keys={{'predictor': {{'fix_lr': True}}}}, ...)."
        )
    return {}


def _swav(hook: Hook, model: Mapping[str, Any]) -> Settings:
    hook.ignore('batch_size', 'interval', 'requires_grad')
    head = model.get('head', {})
    views = list(head.get('crops_for_assign', (0, 1)))
    found = hook.take('crops_for_assign', views)
    found = list(found) if isinstance(found, tuple) else found
    hook.only('crops_for_assign', found, views, 'it is a field of the head')
    width = head.get('feat_dim')
    hook.only('feat_dim', hook.take('feat_dim', width), width, 'it is a field of the head')
    frozen = as_dict('frozen_layers_cfg', hook.take('frozen_layers_cfg', {}))
    steps = frozen.pop('prototypes', 0)
    hook.only('frozen_layers_cfg', frozen, {}, 'only prototypes can wait')
    return {
        'queue_length': hook.take('queue_length', 0),
        'queue_start_epoch': hook.take('epoch_queue_starts', 15),
        'freeze_prototypes': steps,
    }


HOOKS: dict[str, Callable[[Hook, Mapping[str, Any]], Settings]] = {
    'DeepClusterHook': _deepcluster,
    'DenseCLHook': _densecl,
    'ODCHook': _odc,
    'SimSiamHook': _simsiam,
    'SwAVHook': _swav,
}
