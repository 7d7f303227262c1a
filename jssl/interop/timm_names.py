"""Architectures that timm has (1.0.31), by the size of the network.

Vision transformers go by width, depth and patches, or by width and depth; Swins and ConvNeXts by
the width and the depths of their stages; ResNeXts by depth, groups and channels of a group.
"""

VITS = {
    (192, 12, 16): 'vit_tiny_patch16_224',
    (384, 12, 32): 'vit_small_patch32_224',
    (384, 12, 16): 'vit_small_patch16_224',
    (384, 12, 14): 'vit_small_patch14_dinov2',
    (384, 12, 8): 'vit_small_patch8_224',
    (768, 12, 32): 'vit_base_patch32_224',
    (768, 12, 14): 'vit_base_patch14_dinov2',
    (768, 12, 8): 'vit_base_patch8_224',
    (1024, 24, 32): 'vit_large_patch32_224',
    (1024, 24, 16): 'vit_large_patch16_224',
    (1024, 24, 14): 'vit_large_patch14_dinov2',
    (1280, 32, 14): 'vit_huge_patch14_224',
}
GATED = 'vit_giant_patch14_dinov2'  # whose feed-forward networks have gates, which no argument says
SIGLIPS = {
    (768, 12, 32): 'vit_base_patch32_siglip_256',
    (1024, 24, 16): 'vit_large_patch16_siglip_256',
    (1152, 27, 14): 'vit_so400m_patch14_siglip_224',
    (1152, 27, 16): 'vit_so400m_patch16_siglip_256',
    (1536, 40, 16): 'vit_giantopt_patch16_siglip_256',
}
EVA02S = {
    (192, 12): 'eva02_tiny_patch14_224',
    (384, 12): 'eva02_small_patch14_224',
    (1024, 24): 'eva02_large_patch14_224',
}
EVAS = {(1024, 24): 'eva_large_patch14_196'}
CLIPS = {(1024, 24): 'eva02_large_patch14_clip_224'}
DINOV3S = {
    (192, 12): 'tiny',
    (768, 12): 'base',
    (1024, 24): 'large',
    (1280, 32): 'huge_plus',
    (4096, 40): '7b',
}
ROTATED = 'vit_base_patch16_rope_reg1_gap_256'  # with the usual epsilon
BEITS = {(1024, 24): 'beit_large_patch16_224'}
SWINS = {
    (96, (2, 2, 18, 2)): 'swin_small_patch4_window7_224',
    (128, (2, 2, 18, 2)): 'swin_base_patch4_window7_224',
    (192, (2, 2, 18, 2)): 'swin_large_patch4_window7_224',
}
CONVNEXTS = {
    (40, (2, 2, 6, 2)): 'atto',
    (48, (2, 2, 6, 2)): 'femto',
    (64, (2, 2, 6, 2)): 'pico',
    (80, (2, 2, 8, 2)): 'nano',
    (96, (3, 3, 27, 3)): 'small',
    (128, (3, 3, 27, 3)): 'base',
    (192, (3, 3, 27, 3)): 'large',
}
RESNEXTS = {
    (50, 32, 4): 'resnext50_32x4d',
    (101, 32, 4): 'resnext101_32x4d',
    (101, 32, 8): 'resnext101_32x8d',
    (101, 64, 4): 'resnext101_64x4d',
}
