"""Vision transformers, MAE's decoder and DINO's head in plain `torch.nn`."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from jssl.backbones import VisionTransformer
from jssl.heads import DINOHead as JaxDINOHead
from jssl.necks import MAEPretrainDecoder


class Attention(nn.Module):
    """Self-attention with a joint projection; `width` channels in `heads`."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> the same."""
        joint = self.qkv(x).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(*joint.unbind())
        return self.proj(mixed.transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Linear, GELU, linear, `hidden` wide in between."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        first = nn.Sequential(nn.Linear(width, hidden), nn.GELU())
        self.layers = nn.Sequential(first, nn.Linear(hidden, width))

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> the same."""
        return self.layers(x)


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.ln1 = nn.LayerNorm(width, eps=1e-6)
        self.attn = Attention(width, heads)
        self.ln2 = nn.LayerNorm(width, eps=1e-6)
        self.ffn = FeedForward(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """(B, N, C) -> the same."""
        x = x + self.attn(self.ln1(x))
        return x + self.ffn(self.ln2(x))


class PatchEmbed(nn.Module):
    """Images to tokens; the convolution has the reference's name."""

    def __init__(self, width: int, side: int) -> None:
        super().__init__()
        self.projection = nn.Conv2d(3, width, side, side)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, h w, C)."""
        return self.projection(images).flatten(2).transpose(1, 2)


class ViT(nn.Module):
    """The twin of `MAEViT` and of `DINOViT`, of which `ours` gives the sizes."""

    def __init__(self, ours: VisionTransformer) -> None:
        super().__init__()
        size, self.grid = ours.size, ours.img_size // ours.patch_size
        width = size.embed_dims
        self.patch_embed = PatchEmbed(width, ours.patch_size)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        positions = torch.zeros(1, 1 + self.grid**2, width)
        self.pos_embed = nn.Parameter(positions, requires_grad=not ours.fixed_positions)
        blocks = (
            Block(width, size.num_heads, size.feedforward_channels) for _ in range(size.num_layers)
        )
        self.layers = nn.Sequential(*blocks)
        self.ln1 = nn.LayerNorm(width, eps=1e-6)

    def forward(self, images: Tensor, ids_keep: Tensor | None = None) -> Tensor:
        """Images (B, 3, H, W) -> tokens (B, 1 + n, C), class token first.

        Args:
          images: whose patches are tokens.
          ids_keep: (B, n), the patches to compute; None for all.
        """
        positions = self.positions(images.shape[-1] // self.patch_embed.projection.stride[0])
        x = self.patch_embed(images) + positions[:, 1:]
        if ids_keep is not None:
            x = taken(x, ids_keep)
        first = (self.cls_token + positions[:, :1]).expand(len(x), -1, -1)
        return self.ln1(self.layers(torch.cat((first, x), dim=1)))

    def positions(self, grid: int) -> Tensor:
        """The table (1, 1 + grid * grid, C), resized as DINO's authors do it."""
        if grid == self.grid:
            return self.pos_embed
        maps = self.pos_embed[:, 1:].transpose(1, 2).unflatten(2, (self.grid, self.grid))
        scale = (grid + 0.1) / self.grid
        resized = functional.interpolate(maps, scale_factor=(scale, scale), mode='bicubic')
        return torch.cat((self.pos_embed[:, :1], resized.flatten(2).transpose(1, 2)), dim=1)


class Decoder(nn.Module):
    """The twin of `jssl.necks.MAEPretrainDecoder`."""

    def __init__(self, ours: MAEPretrainDecoder) -> None:
        super().__init__()
        width, heads = ours.decoder_embed_dim, ours.decoder_num_heads
        hidden = int(ours.mlp_ratio * width)
        self.decoder_embed = nn.Linear(ours.embed_dim, width)
        self.mask_token = nn.Parameter(torch.zeros(1, 1, width))
        positions = torch.zeros(1, 1 + ours.num_patches, width)
        self.decoder_pos_embed = nn.Parameter(positions, requires_grad=False)
        blocks = (Block(width, heads, hidden) for _ in range(ours.decoder_depth))
        self.decoder_blocks = nn.Sequential(*blocks)
        self.ln1 = nn.LayerNorm(width, eps=1e-6)
        self.decoder_pred = nn.Linear(width, ours.patch_size**2 * ours.in_chans)

    def forward(self, latent: Tensor, ids_restore: Tensor) -> Tensor:
        """Tokens (B, 1 + n, C) of the visible patches -> pixels (B, L, p * p * 3) of all."""
        x = self.decoder_embed(latent)
        hidden = self.mask_token.expand(len(x), ids_restore.shape[1] + 1 - x.shape[1], -1)
        patches = taken(torch.cat((x[:, 1:], hidden.to(x.dtype)), dim=1), ids_restore)
        x = torch.cat((x[:, :1], patches), dim=1) + self.decoder_pos_embed
        return self.decoder_pred(self.ln1(self.decoder_blocks(x)))[:, 1:]


def taken(x: Tensor, index: Tensor) -> Tensor:
    """Tokens (B, K, C) of x (B, N, C) at `index` (B, K)."""
    return x.gather(1, index[..., None].expand(-1, -1, x.shape[-1]))


class WeightNormLinear(nn.Module):
    """A linear layer without bias whose rows have lengths of their own."""

    def __init__(self, width_in: int, width: int, fixed: bool) -> None:
        super().__init__()
        self.weight_g = nn.Parameter(torch.ones(width, 1), requires_grad=not fixed)
        self.weight_v = nn.Parameter(torch.zeros(width, width_in))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width_in) -> (B, width)."""
        return functional.linear(x, torch._weight_norm(self.weight_v, self.weight_g, 0))


class DINOHead(nn.Module):
    """The twin of `jssl.heads.DINOHead` with three layers."""

    def __init__(self, ours: JaxDINOHead) -> None:
        super().__init__()
        widths = (ours.in_channels, ours.hid_channels, ours.hid_channels, ours.bottleneck)
        first, second, third = map(nn.Linear, widths[:-1], widths[1:])
        self.mlp = nn.Sequential(first, nn.GELU(), second, nn.GELU(), third)
        self.last_layer = WeightNormLinear(ours.bottleneck, ours.out_channels, ours.norm_last_layer)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels) -> logits (B, out_channels)."""
        return self.last_layer(functional.normalize(self.mlp(x)))
