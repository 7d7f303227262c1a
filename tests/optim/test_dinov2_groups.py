"""The parameter groups of DINOv2: layer decay, a slow patch projection, tokens that decay."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jssl.backbones import DINOViT
from jssl.heads import DINOHead
from jssl.memories import warmup_temperature
from jssl.optim.parameter_groups import parameter_groups
from jssl.optim.schedules import WarmupCosine
from jssl.weights.names import key_of
from tests import golden
from tests.families.family import of_timm

ARCH = {'embed_dims': 8, 'num_layers': 4, 'num_heads': 2, 'feedforward_channels': 32}
BACKBONE = DINOViT(
    ARCH, img_size=8, patch_size=4, num_registers=2, ffn='swiglu_fused', layer_scale=1e-5
)


def shapes() -> Any:
    """Of the parameters of a backbone with a mask token, and of a head."""

    def init(key: jax.Array) -> Any:
        images, mask = jnp.zeros((1, 8, 8, 3)), jnp.zeros((1, 2, 2), bool)
        backbone = BACKBONE.init(key, images, mask=mask)['params']
        head = DINOHead(8, norm_last_layer=False).init(key, jnp.zeros((1, 8)))['params']
        return {'backbone': backbone, 'dino_head': head}

    return jax.eval_shape(init, jax.random.key(0))


def depth(name: str) -> tuple[int, int]:
    """The depth of a parameter; all of the head is as deep as the end of the backbone."""
    part, _, rest = name.partition('.')
    last = BACKBONE.get_layer_depth('')[1]
    return BACKBONE.get_layer_depth(rest) if part == 'backbone' else (last - 1, last)


@golden.each('part_dinov2_param_groups')
def test_multipliers_equal_the_reference_s(path: Path) -> None:
    with golden.whole(path) as saved:
        groups = parameter_groups(
            shapes(),
            {'patch_embed': {'lr_mult': saved.meta['patch_embed_lr_mult']}},
            vectors={'decay_mult': 0.0},
            get_layer_depth=depth,
            layer_decay_rate=saved.meta['layerwise_decay'],
        )
        leaves = jax.tree.leaves_with_path(groups)
        keys = {f'.{key_of(name_keys(place))}': group for place, group in leaves}
        ours = {of_timm(key).removeprefix('.'): group for key, group in keys.items()}
        theirs = golden.plain(saved.meta['groups'])
        named = {f'{part}.{entry["name"]}': entry for part in theirs for entry in theirs[part]}
        assert ours.keys() == named.keys()
        for key, entry in named.items():
            np.testing.assert_allclose(ours[key].lr_mult, entry['lr_multiplier'], rtol=1e-12)
            assert ours[key].decay_mult == entry['wd_multiplier'], key
            assert ('last_layer' in key) == entry['is_last_layer']
        check_schedules(saved)


def name_keys(place: Any) -> list[str]:
    """The names on the way to a leaf."""
    return [entry.key for entry in place]


def check_schedules(saved: golden.File) -> None:
    """The rate as far as the run goes, and the teacher's temperature."""
    rate = golden.plain(saved.meta['lr'])
    schedule = WarmupCosine(warmup_epochs=rate['warmup'], warmup_factor=0, min_lr=rate['final'])
    steps = np.arange(rate['total'])
    found = schedule(rate['base'], steps_per_epoch=1, epochs=rate['total'])(steps)
    np.testing.assert_allclose(found, saved.arrays['out/lr'][steps], rtol=1e-12)
    line, expected = golden.plain(saved.meta['teacher_temp']), saved.arrays['out/teacher_temp']
    ends = {'first': line['warmup_temp'], 'last': line['temp']}
    temperatures = warmup_temperature(jnp.arange(len(expected)), line['warmup'], **ends)
    np.testing.assert_allclose(temperatures, expected, rtol=1e-6)
