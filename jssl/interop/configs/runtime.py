"""How a config runs: its hooks, seed and logs, and the weights that it begins with."""

from typing import Any

from jssl.errors import show
from jssl.interop.configs.notes import Fields, Notes, kind
from jssl.interop.configs.values import Section

# Hooks that print, save or show.
IDLE_HOOKS = ('SelfSupVisualizationHook', 'VisualizationHook', 'ProfilerHook', 'EmptyCacheHook')
# Those of `default_hooks` that every run has.
USUAL_HOOKS = (
    *('RuntimeInfoHook', 'IterTimerHook', 'DistSamplerSeedHook', 'LoggerHook', 'CheckpointHook'),
    *('ParamSchedulerHook', ''),
)
Config = dict[str, Any]


def hooks(top: Fields) -> list[Section]:
    """The hooks that may set something of the algorithm.

    Args:
      top: of the whole config.
    """
    config = top.section
    given = config.get('custom_hooks') or []
    if not isinstance(given, list | tuple) or not all(isinstance(h, Section) for h in given):
        raise top.wrong('custom_hooks', given, 'a list of dicts')
    for hook in given:
        if kind(hook) in IDLE_HOOKS:
            top.notes.leave(hook.place, kind(hook), f'{kind(hook)} shows or saves')
    found = [hook for hook in (*given, *_defaults(top)) if kind(hook) not in IDLE_HOOKS]
    frozen = config.get('optimizer_config', {})
    frozen = frozen.get('frozen_layers_cfg') if isinstance(frozen, Section) else None
    for hook in found if frozen else ():  # release 0.x freezes by the optimizer's hook
        if kind(hook) == 'SwAVHook':
            hook.put('frozen_layers_cfg', frozen, config.where('optimizer_config'))
    return found


def _defaults(top: Fields) -> list[Section]:
    """Those beside the usual ones in `default_hooks`; the one for the schedule must be there."""
    fields = top.inner('default_hooks')
    if 'param_scheduler' in fields and fields.take('param_scheduler') is None:
        fields.miss('param_scheduler', None, 'the rate stays without it; empty param_scheduler')
    given = [hook for hook in fields.section.values() if isinstance(hook, Section)]
    return [hook for hook in given if kind(hook) not in USUAL_HOOKS]


def note_weights(config: Section, notes: Notes) -> None:
    """Notes the files of weights that the training begins with there."""
    model = config['model']
    backbone = model.get('backbone')
    parts = [model, backbone] if isinstance(backbone, Section) else [model]
    begun = [(config, 'load_from'), (config, 'resume_from')]
    begun += [(part, 'pretrained') for part in parts]
    begun += [(p['init_cfg'], 'checkpoint') for p in parts if _is_loaded(p.get('init_cfg'))]
    for section, key in begun:
        if section.get(key) is not None:
            text = f'{key}={show(section[key])} is not read; give --config.pretrained=FILE'
            notes.differ(section.where(key), text)


def settings(config: Section) -> Config:
    """How often it logs, what it keeps, and its seed."""
    hooks = config.get('default_hooks')
    hooks = hooks if isinstance(hooks, Section) else Section(config.place)
    older = {'logger': 'log_config', 'checkpoint': 'checkpoint_config'}
    found: dict[str, Any] = {}
    for name, key in older.items():
        section = hooks.get(name, config.get(key))
        found[name] = section if isinstance(section, Section) else {}
    every, keep = found['logger'].get('interval'), found['checkpoint'].get('max_keep_ckpts')
    randomness = config.get('randomness')
    seed = randomness.get('seed') if isinstance(randomness, Section) else None
    made: Config = {'seed': seed} if _is_count(seed, 0) else {}
    made |= {'log_every': every} if _is_count(every, 1) else {}
    return made | ({'checkpoint': {'keep': keep}} if _is_count(keep, 1) else {})


def _is_loaded(begun: Any) -> bool:
    return isinstance(begun, Section) and kind(begun) == 'Pretrained'


def _is_count(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least
