"""The published networks, small and in PyTorch, with weights by the rule of the golden files."""

import zlib
from collections.abc import Mapping

import numpy as np
import pytest

pytest.importorskip('torch')

from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

Arrays = dict[str, np.ndarray]


def golden_weights(shapes: Mapping[str, tuple[int, ...]]) -> Arrays:
    """Normal numbers of a stream for each key, matrices divided by the root of their fan-in."""
    drawn = {}
    for key, shape in shapes.items():
        rng = np.random.default_rng(zlib.crc32(f'7:{key}'.encode()))
        fan_in = np.prod(shape[1:]) if len(shape) > 1 else 100
        drawn[key] = (rng.standard_normal(shape) * fan_in**-0.5).astype('float32')
        if key.endswith('.weight') and len(shape) == 1:
            drawn[key] += 1
    return drawn


def images(side: int, low: float = -1.0) -> np.ndarray:
    return np.random.default_rng(0).uniform(low, 1, (2, side, side, 3)).astype('float32')


def nchw(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.transpose(0, 3, 1, 2).copy())


def dalle_shapes(width: int, blocks: int, tokens: int) -> dict[str, tuple[int, ...]]:
    """Of the weights `w`; each has a `b` of as many numbers as its first axis."""
    shapes = {'blocks.input': (width, 3, 7, 7)}
    wide = width
    for group in range(1, 5):
        narrow, wide = wide, width * 2 ** (group - 1)
        for block in range(1, blocks + 1):
            name, hidden = f'blocks.group_{group}.block_{block}', wide // 4
            if block == 1 and narrow != wide:
                shapes[f'{name}.id_path'] = (wide, narrow, 1, 1)
            first = narrow if block == 1 else wide
            shapes[f'{name}.res_path.conv_1'] = (hidden, first, 3, 3)
            shapes[f'{name}.res_path.conv_2'] = (hidden, hidden, 3, 3)
            shapes[f'{name}.res_path.conv_3'] = (hidden, hidden, 3, 3)
            shapes[f'{name}.res_path.conv_4'] = (wide, hidden, 1, 1)
    shapes['blocks.output.conv'] = (tokens, wide, 1, 1)
    both = {f'{name}.w': shape for name, shape in shapes.items()}
    return both | {f'{name}.b': shape[:1] for name, shape in shapes.items()}


def dalle(weights: Arrays, x: torch.Tensor, blocks: int) -> np.ndarray:
    """Logits (B, h, w, tokens)."""
    given = {key: torch.from_numpy(value) for key, value in weights.items()}

    def conv(name: str, x: torch.Tensor) -> torch.Tensor:
        w = given[f'{name}.w']
        return F.conv2d(x, w, given[f'{name}.b'], padding=w.shape[-1] // 2)

    x = conv('blocks.input', x)
    for group in range(1, 5):
        for block in range(1, blocks + 1):
            name, branch = f'blocks.group_{group}.block_{block}', x
            for index in range(1, 5):
                branch = conv(f'{name}.res_path.conv_{index}', F.relu(branch))
            x = conv(f'{name}.id_path', x) if f'{name}.id_path.w' in given else x
            x = x + branch / (4 * blocks) ** 2
        x = F.max_pool2d(x, 2) if group < 4 else x
    return conv('blocks.output.conv', F.relu(x)).permute(0, 2, 3, 1).numpy()


class QuickGELU(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * torch.sigmoid(1.702 * x)


class CLIPLayer(nn.Module):
    """A block of CLIP, whose attention PyTorch computes."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attn = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mlp = nn.Sequential()
        self.mlp.add_module('c_fc', nn.Linear(width, 4 * width))
        self.mlp.add_module('gelu', QuickGELU())
        self.mlp.add_module('c_proj', nn.Linear(4 * width, width))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.ln_1(x)
        branch, attention = self.attn(y, y, y, need_weights=True, average_attn_weights=True)
        x = x + branch
        return x + self.mlp(self.ln_2(x)), attention


class CLIP(nn.Module):
    """The image encoder of CLIP, with the names of the published file after `visual.`."""

    def __init__(
        self, width: int, depth: int, heads: int, out: int, patch: int, tokens: int
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
        self.class_embedding = nn.Parameter(torch.empty(width))
        self.positional_embedding = nn.Parameter(torch.empty(tokens + 1, width))
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = nn.Module()
        layers = [CLIPLayer(width, heads) for _ in range(depth)]
        self.transformer.add_module('resblocks', nn.ModuleList(layers))
        self.proj = nn.Parameter(torch.empty(width, out))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        patches = self.conv1(x).flatten(2).transpose(1, 2)
        cls_token = self.class_embedding.expand(len(x), 1, -1)
        x = self.ln_pre(torch.cat([cls_token, patches], 1) + self.positional_embedding)
        layers: Any = self.transformer.resblocks
        for layer in layers:
            x, attention = layer(x)
        return self.ln_post(x) @ self.proj, attention


def with_weights(module: nn.Module) -> Arrays:
    """Fills the module by the golden rule; its weights by name."""
    drawn = golden_weights({key: tuple(value.shape) for key, value in module.state_dict().items()})
    module.load_state_dict({key: torch.from_numpy(value) for key, value in drawn.items()})
    return drawn


def vqkd_shapes(
    width: int, depth: int, patch: int, tokens: int, codes: int, dims: int
) -> dict[str, tuple[int, ...]]:
    """Of encoder, task layer and codebook under MMSelfSup's names."""
    layer = {
        'ln1.weight': (width,),
        'ln1.bias': (width,),
        'attn.q_bias': (width,),
        'attn.v_bias': (width,),
        'attn.qkv.weight': (3 * width, width),
        'attn.proj.weight': (width, width),
        'attn.proj.bias': (width,),
        'ln2.weight': (width,),
        'ln2.bias': (width,),
        'ffn.layers.0.0.weight': (2 * width, width),
        'ffn.layers.0.0.bias': (2 * width,),
        'ffn.layers.1.weight': (width, 2 * width),
        'ffn.layers.1.bias': (width,),
    }
    shapes = {f'layers.{i}.{key}': shape for i in range(depth) for key, shape in layer.items()}
    shapes |= {'cls_token': (1, 1, width), 'pos_embed': (1, 1 + tokens, width)}
    shapes |= {'patch_embed.projection.weight': (width, 3, patch, patch)}
    shapes |= {
        'patch_embed.projection.bias': (width,),
        'ln1.weight': (width,),
        'ln1.bias': (width,),
    }
    shapes = {f'encoder.{key}': shape for key, shape in shapes.items()}
    shapes |= {'encode_task_layer.0.weight': (width, width), 'encode_task_layer.0.bias': (width,)}
    shapes |= {'encode_task_layer.2.weight': (dims, width), 'encode_task_layer.2.bias': (dims,)}
    return shapes | {'quantize.embedding.weight': (codes, dims)}


def vqkd(weights: Arrays, x: torch.Tensor, heads: int, depth: int) -> np.ndarray:
    """The cosine of each patch with each code (B, L, codes)."""
    w = {key: torch.from_numpy(value) for key, value in weights.items()}
    kernel = w['encoder.patch_embed.projection.weight']
    bias = w['encoder.patch_embed.projection.bias']
    x = F.conv2d(x, kernel, bias, stride=kernel.shape[-1]).flatten(2).transpose(1, 2)
    x = torch.cat([w['encoder.cls_token'].expand(len(x), -1, -1), x], 1) + w['encoder.pos_embed']
    for index in range(depth):
        own = {
            key.removeprefix(f'encoder.layers.{index}.'): value
            for key, value in w.items()
            if key.startswith(f'encoder.layers.{index}.')
        }
        x = x + _self_attention(own, _norm(own, 'ln1', x), heads)
        hidden = F.gelu(_linear(own, 'ffn.layers.0.0', _norm(own, 'ln2', x)))
        x = x + _linear(own, 'ffn.layers.1', hidden)
    x = _norm(w, 'encoder.ln1', x)[:, 1:]
    x = _linear(w, 'encode_task_layer.2', torch.tanh(_linear(w, 'encode_task_layer.0', x)))
    codes = F.normalize(w['quantize.embedding.weight'], dim=-1)
    return (F.normalize(x, dim=-1) @ codes.T).numpy()


def _self_attention(w: dict[str, torch.Tensor], x: torch.Tensor, heads: int) -> torch.Tensor:
    bias = torch.cat([w['attn.q_bias'], torch.zeros_like(w['attn.q_bias']), w['attn.v_bias']])
    joint = F.linear(x, w['attn.qkv.weight'], bias)
    batch, tokens, width = x.shape
    query, key, value = joint.reshape(batch, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)
    mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2)
    return _linear(w, 'attn.proj', mixed.reshape(batch, tokens, width))


def _linear(w: dict[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    return F.linear(x, w[f'{name}.weight'], w[f'{name}.bias'])


def _norm(w: dict[str, torch.Tensor], name: str, x: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(x, x.shape[-1:], w[f'{name}.weight'], w[f'{name}.bias'], 1e-6)
