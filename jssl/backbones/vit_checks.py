"""Fields of a vision transformer that cannot go together."""

from typing import Any

from jssl.errors import JsslError
from jssl.layers.rotary import make_rotary

RELATIVE = ('use_rel_pos_bias', 'use_shared_rel_pos_bias')


def _check_frozen_stages(network: Any) -> None:
    frozen_stages, depth = network.frozen_stages, network.size.num_layers
    if frozen_stages > depth:
        raise JsslError(
            f'config.model.backbone.frozen_stages={frozen_stages} must be -1 (none) to '
            f'{depth} (all).'
        )
    if network.scan_layers and 0 < frozen_stages < depth:
        raise JsslError(
            f'config.model.backbone.frozen_stages={frozen_stages} freezes some of the '
            'blocks, which config.model.backbone.scan_layers=True holds in one parameter; set '
            'it to False.'
        )


def check_depths(*, stacked: bool) -> None:
    """Raises a `JsslError` where layers that need their own learning rates are one parameter."""
    if stacked:
        raise JsslError(
            'optimizer.layer_decay_rate needs a learning rate of its own for every layer, and '
            'config.model.backbone.scan_layers=True stacks them in one parameter; set it to '
            'False.'
        )


def check_fields(network: Any) -> None:
    """Raises a `JsslError` for a `VisionTransformer` whose fields contradict each other."""
    if network.img_size % network.patch_size:
        raise JsslError(
            f'config.model.backbone.img_size={network.img_size} is no multiple of '
            f'config.model.backbone.patch_size={network.patch_size}; change one of them.'
        )
    _check_frozen_stages(network)
    make_rotary(network.rotary)
    relative = network.relative_field
    if relative and (network.num_registers or not network.with_cls_token):
        raise JsslError(
            f'config.model.backbone.{relative}=True has biases for a class token and '
            f'patches, not for num_registers={network.num_registers} and with_cls_token='
            f'{network.with_cls_token}; set {relative} to False.'
        )
    if all(getattr(network, field) for field in RELATIVE):
        raise JsslError(
            'config.model.backbone has use_rel_pos_bias=True, a table of biases for each block, '
            'and use_shared_rel_pos_bias=True, one for all; set one of them to False.'
        )
    if network.mask_k_bias and not network.qkv_bias:
        raise JsslError(
            'config.model.backbone.mask_k_bias=True is about the joint bias that '
            'config.model.backbone.qkv_bias=False leaves out; set one of them the other way.'
        )


def check_grid(network: Any, rows: int, columns: int) -> None:
    """Raises a `JsslError` for a grid of patches that biases by relative position are not for."""
    relative, side = network.relative_field, network.img_size // network.patch_size
    if relative and (rows, columns) != (side, side):
        raise JsslError(
            f'config.model.backbone.{relative}=True has biases for {side} x {side} patches, and '
            f'the images have {rows} x {columns}; set config.model.backbone.img_size='
            f'{rows * network.patch_size}, to whose grid loaded weights are resized.'
        )
