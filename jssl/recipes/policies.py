"""The reference's views of every algorithm, as the `views` of a config.

    views=policies.byol(size=32)

Each function gives a dict; other fields of its `View` are set by keyword, in both views of a pair
and in the crops of both sizes. The numbers are those of MMSelfSup's recipes for ImageNet; where
they depart from the paper the docstring says so.
"""

from typing import Any

Config = dict[str, Any]


def simclr(size: int = 224, **view: Any) -> Config:
    """Two views of one policy, strong jitter and blur for both (Chen et al. 2020, appendix A)."""
    return _views(2, size=size, **view)


def moco_v1(size: int = 224, **view: Any) -> Config:
    """MoCo v1 (He et al. 2020, appendix A.1): grey before a jitter that never fails, no blur.

    As in the reference grey is the mean of the channels and the crop is resized as by OpenCV.
    """
    own = dict(gray_weights='equal', antialias=False)
    return _views(2, size=size, **(_instance() | own | view))


def moco_v2(size: int = 224, **view: Any) -> Config:
    """MoCo v2 (Chen et al. 2020b), also of DenseCL and SimSiam: weaker jitter, blur in half."""
    own = dict(scale=(0.2, 1.0), **_jitter(0.4, 0.4, 0.4, 0.1))
    return _views(2, size=size, **(own | view))


def byol(size: int = 224, **view: Any) -> Config:
    """BYOL (Grill et al. 2020, table 6), also of Barlow Twins: blur always or in a tenth.

    The second view is solarized in a fifth. The crops are bicubic.
    """
    return _pair(size, **(dict(interpolation='bicubic') | view))


def moco_v3(size: int = 224, scale: tuple[float, float] = (0.2, 1.0), **view: Any) -> Config:
    """MoCo v3 (Chen et al. 2021): BYOL's pair, bilinear; `scale` (0.08, 1) for a ViT."""
    return _pair(size, scale=scale, **view)


def swav(
    size: int = 224,
    small_size: int = 96,
    scale: tuple[float, float] = (0.14, 1.0),
    small_scale: tuple[float, float] = (0.05, 0.14),
    copies: int = 2,
    small_copies: int = 6,
    **view: Any,
) -> Config:
    """Two large and six small crops, coloured as SimCLR's (Caron et al. 2020, section 3.2)."""
    return dict(
        type='MultiCrop',
        large=_view(size=size, scale=scale, **view),
        small=_view(size=small_size, scale=small_scale, **view),
        large_copies=copies,
        small_copies=small_copies,
    )


def dino(
    size: int = 224,
    local_size: int = 96,
    scale: tuple[float, float] = (0.4, 1.0),
    local_scale: tuple[float, float] = (0.05, 0.4),
    local_copies: int = 8,
    **view: Any,
) -> Config:
    """BYOL's pair, cropped to less, and local crops blurred in half (Caron et al. 2021, DINO).

    Bicubic. The scales are those of ViTs; ResNets have (0.14, 1) and (0.05, 0.14), a pair alone
    (0.14, 1).
    """
    shared = dict(interpolation='bicubic', **_jitter(0.4, 0.4, 0.2, 0.1)) | view
    pair = dict(size=size, scale=scale)
    return dict(
        type='GlobalLocal',
        first=_view(**(dict(blur=1.0, solarize=0.0) | shared | pair)),
        second=_view(**(dict(blur=0.1, solarize=0.2) | shared | pair)),
        local=_view(**(dict(blur=0.5, solarize=0.0) | shared), size=local_size, scale=local_scale),
        local_copies=local_copies,
    )


def msn(
    size: int = 224,
    focal_size: int = 96,
    scale: tuple[float, float] = (0.3, 1.0),
    focal_scale: tuple[float, float] = (0.05, 0.3),
    focal_copies: int = 10,
    **view: Any,
) -> Config:
    """A target and an anchor of its size, and small anchors, alike (Assran et al. 2022, MSN)."""
    own = _jitter(0.4, 0.4, 0.4, 0.1) | view
    return swav(size, focal_size, scale, focal_scale, small_copies=focal_copies, **own)


def npid(size: int = 224, **view: Any) -> Config:
    """One view of instance discrimination (Wu et al. 2018): grey, then a jitter for all images."""
    return _views(1, size=size, **(_instance() | view))


def deepcluster(size: int = 224, **view: Any) -> Config:
    """One view of DeepCluster (Caron et al. 2018) and ODC (Zhan et al. 2020).

    The rotation by up to 2 degrees and the jitter that never fails are the reference's.
    """
    own = dict(rotate=2.0, jitter=1.0, blur=0.0, **_jitter(0.4, 0.4, 1.0, 0.5))
    return _views(1, size=size, **(own | view))


def relative_loc(**patches: Any) -> Config:
    """Nine patches of 64 pixels from a square of 255 (Doersch et al. 2015)."""
    return dict(type='Patches', **patches)


def rotation_pred(size: int = 224, **view: Any) -> Config:
    """A crop, mirrored in half, and its quarter turns (Gidaris et al. 2018)."""
    return dict(type='Rotations', view=_view(size=size, **(_plain() | view)))


def mae(size: int = 224, **view: Any) -> Config:
    """One bicubic crop of at least a fifth, mirrored in half (He et al. 2022, appendix A.1)."""
    own = dict(scale=(0.2, 1.0), interpolation='bicubic')
    return _views(1, size=size, **(_plain() | own | view))


def ijepa(size: int = 224, **view: Any) -> Config:
    """One bilinear crop of at least 0.3, never mirrored (Assran et al. 2023, appendix A.1)."""
    own = dict(scale=(0.3, 1.0), flip=0.0)
    return _views(1, size=size, **(_plain() | own | view))


def simmim(size: int = 192, **view: Any) -> Config:
    """One crop of at least two thirds, mirrored in half, resized as by OpenCV (Xie et al. 2022)."""
    own = dict(scale=(0.67, 1.0), antialias=False)
    return _views(1, size=size, **(_plain() | own | view))


def cae(size: int = 224, token_size: int = 112, **crop: Any) -> Config:
    """One crop for the encoder and a smaller copy for the tokenizer (Chen et al. 2022).

    Bicubic and Lanczos, as in the original and in MMPretrain; MMSelfSup 1.x meant these too but its
    constants chose area averaging and bilinear sampling.
    """
    return dict(type='ImageAndTokens', size=size, token_size=token_size, **crop)


def linear_probe(size: int = 224, **view: Any) -> Config:
    """One crop, mirrored in half: what a linear classifier on frozen features is trained on."""
    return _views(1, size=size, **(_plain() | view))


def fine_tune(size: int = 224, **view: Any) -> Config:
    """One view with RandAugment and erasing, of the recipes for Vision Transformers and Swin.

    CAE's recipe sets `mean` and `std` to 127.5 for each channel.
    """
    return dict(type='MultiView', copies=1, view=dict(type='FineTuneView', size=size, **view))


def evaluation(size: int = 224, resize: int = 256, **view: Any) -> Config:
    """The central square; it is an `eval_view`. ViT recipes give `interpolation='bicubic'`."""
    return dict(type='CenterView', size=size, resize=resize, **view)


def _view(**fields: Any) -> Config:
    return dict(type='View', **fields)


def _views(copies: int, **fields: Any) -> Config:
    return dict(type='MultiView', copies=copies, view=_view(**fields))


def _pair(size: int, **view: Any) -> Config:
    """BYOL's asymmetry, which also fields set by keyword may undo."""
    shared = dict(size=size, **_jitter(0.4, 0.4, 0.2, 0.1))
    first = shared | dict(blur=1.0, solarize=0.0) | view
    second = shared | dict(blur=0.1, solarize=0.2) | view
    return dict(type='Pair', first=_view(**first), second=_view(**second))


def _instance() -> Config:
    """Grey first and a jitter that never fails, shared by NPID and MoCo v1."""
    jitter = _jitter(0.4, 0.4, 0.4, 0.4)
    return dict(scale=(0.2, 1.0), gray_first=True, jitter=1.0, blur=0.0, **jitter)


def _plain() -> Config:
    """Crop and flip alone."""
    return dict(jitter=0.0, gray=0.0, blur=0.0)


def _jitter(brightness: float, contrast: float, saturation: float, hue: float) -> Config:
    return dict(brightness=brightness, contrast=contrast, saturation=saturation, hue=hue)
