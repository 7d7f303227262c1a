"""Every transform that the reference's configs use becomes a part of jssl's views, or is noted."""

from pathlib import Path
from typing import Annotated, Any

import pytest

from jssl.augment import views
from jssl.augment.views import CenterView, ImageAndTokens, PaddedCrop, Patches, Rotations, View
from jssl.components import build_at
from jssl.interop.configs.notes import Fields, Notes
from jssl.interop.configs.pipeline import Pipelines, Statistics, evaluation, preprocessor
from jssl.interop.configs.reading import read_config
from jssl.kinds import VIEW
from tests.checks import refused

MEAN, STD = (123.0, 116.0, 103.0), (58.0, 57.0, 56.0)
NORMAL: dict[str, Any] = {'mean': MEAN, 'std': STD}
PLAIN: dict[str, Any] = dict(flip=0.0, jitter=0.0, gray=0.0, blur=0.0, **NORMAL)
CROP = "dict(type='RandomResizedCrop', size=64, backend='pillow')"


def carried(folder: Path, text: str, *, older: bool = False) -> tuple[Any, Notes, Pipelines]:
    """The views by a pipeline, the notes, and what carried them."""
    (folder / 'config.py').write_text(text)
    config, notes = read_config(folder / 'config.py'), Notes()
    pipelines = Pipelines(notes, older=older, statistics=Statistics(MEAN, STD))
    place = config.where('pipeline')
    if not older:
        return pipelines.of(config['pipeline'], place), notes, pipelines
    kinds = {'patches': pipelines.patches, 'turns': pipelines.turns}
    carry = kinds.get(config.get('kind', ''), pipelines.single)
    return carry(config['pipeline'], place), notes, pipelines


def made(config: Any) -> Any:
    return build_at('views', Annotated[Any, VIEW], config)


@pytest.mark.parametrize(
    ('transforms', 'fields'),
    [
        ("dict(type='RandomFlip', prob=0.5, direction='horizontal')", {'flip': 0.5}),
        (
            "dict(type='ColorJitter', brightness=0.4, contrast=0.3, saturation=0.2, hue=0.1)",
            dict(jitter=1.0, brightness=0.4, contrast=0.3, saturation=0.2, hue=0.1),
        ),
        (
            "dict(type='RandomApply', transforms=[dict(type='ColorJitter', hue=0.1)], prob=0.8)",
            dict(jitter=0.8, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.1),
        ),
        ("dict(type='RandomGrayscale', prob=0.2)", dict(gray=0.2, gray_weights='equal')),
        (
            "dict(type='RandomGrayscale', prob=0.2, keep_channels=True, "
            'channel_weights=(0.114, 0.587, 0.2989))',
            dict(gray=0.2),
        ),
        (
            "dict(type='RandomGrayscale', prob=0.3), dict(type='ColorJitter', hue=0.4)",
            dict(gray=0.3, gray_weights='equal', gray_first=True, jitter=1.0, hue=0.4)
            | dict(brightness=0.0, contrast=0.0, saturation=0.0),
        ),
        (
            "dict(type='RandomGaussianBlur', sigma_min=0.2, sigma_max=1.5, prob=0.1)",
            dict(blur=0.1, sigma=(0.2, 1.5)),
        ),
        (
            "dict(type='GaussianBlur', magnitude_range=(0.2, 1.5), magnitude_std='inf', prob=1.)",
            dict(blur=1.0, sigma=(0.2, 1.5)),
        ),
        ("dict(type='RandomSolarize', prob=0.2)", dict(solarize=0.2)),
        ("dict(type='Solarize', thr=128, prob=0.2)", dict(solarize=0.2)),
        ("dict(type='RandomRotation', degrees=2)", dict(rotate=2)),
    ],
)
def test_a_transform_is_a_stage_of_a_view(
    transforms: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    loads = "dict(type='LoadImageFromFile')"
    text = f"pipeline = [{loads}, {CROP}, {transforms}, dict(type='PackSelfSupInputs', keys=[1])]"
    config, notes, _ = carried(tmp_path, text)
    assert not notes.missing
    assert made(config).copies == 1
    assert made(config).view == View(size=64, **(PLAIN | fields))


@pytest.mark.parametrize(
    ('crop', 'fields'),
    [
        ('size=96, scale=(0.2, 1.), ratio=(0.5, 2)', dict(scale=(0.2, 1.0), ratio=(0.5, 2))),
        ("scale=96, crop_ratio_range=(0.2, 1.), backend='pillow'", dict(scale=(0.2, 1.0))),
        ("size=(96, 96), interpolation='bicubic', backend='pillow'", dict(interpolation='bicubic')),
    ],
)
def test_a_crop_is_resized_as_by_opencv_or_by_pillow(
    crop: str, fields: dict[str, Any], tmp_path: Path
) -> None:
    config, notes, _ = carried(tmp_path, f"pipeline = [dict(type='RandomResizedCrop', {crop})]")
    by_opencv: dict[str, Any] = {} if 'pillow' in crop else {'antialias': False}
    assert made(config).view == View(size=96, **PLAIN, **fields, **by_opencv)
    assert not notes.missing + notes.differs


def test_a_bicubic_crop_by_opencv_differs(tmp_path: Path) -> None:
    text = "pipeline = [dict(type='RandomResizedCrop', size=96, interpolation='bicubic')]"
    _, notes, _ = carried(tmp_path, text)
    assert 'OpenCV' in str(notes.differs[0])


def test_several_views_are_drawn_by_one_policy_or_two(tmp_path: Path) -> None:
    small = "dict(type='RandomResizedCrop', size=32, backend='pillow')"
    text = f"pipeline = [dict(type='MultiView', num_views={{}}, transforms=[[{CROP}], [{small}]])]"
    pair = made(carried(tmp_path, text.format([1, 1]))[0])
    assert (pair.first.size, pair.second.size) == (64, 32)
    crops = made(carried(tmp_path, text.format([2, 6]))[0])
    assert (crops.large.size, crops.small.size) == (64, 32)
    assert (crops.large_copies, crops.small_copies) == (2, 6)
    alike = f"pipeline = [dict(type='MultiView', num_views=3, transforms=[[{CROP}]])]"
    assert made(carried(tmp_path, alike)[0]).copies == 3
    with refused('num_views=[1, 1, 1]'):
        carried(tmp_path, text.format([1, 1, 1]))


def test_turns_patches_and_tokens_are_views_of_their_own(tmp_path: Path) -> None:
    turns = f"pipeline = [{CROP}, dict(type='RotationWithLabels')]"
    assert made(carried(tmp_path, turns)[0]) == Rotations(View(size=64, **PLAIN))
    patches = """pipeline = [dict(type='Resize', scale=292), dict(type='RandomCrop', size=255),
        dict(type='RandomGrayscale', prob=0.66, keep_channels=True),
        dict(type='RandomPatchWithLabels')]"""
    assert made(carried(tmp_path, patches)[0]) == Patches(**NORMAL)
    whole = "pipeline = [dict(type='Resize', scale=(300, 300)), dict(type='RandomPatchWithLabels')]"
    expected = Patches(resize=300, crop=300, patch=79, gray=0.0, **NORMAL)
    assert made(carried(tmp_path, whole)[0]) == expected
    tokens = """pipeline = [dict(type='RandomFlip', prob=0.5), dict(
        type='RandomResizedCropAndInterpolationWithTwoPic', size=64, second_size=32,
        interpolation='bicubic', second_interpolation='lanczos', scale=(0.08, 1.0)),
        dict(type='BEiTMaskGenerator', input_size=(14, 14), num_masking_patches=75)]"""
    config, _, pipelines = carried(tmp_path, tokens)
    assert made(config) == ImageAndTokens(64, 32, **NORMAL)
    assert pipelines.mask is not None
    assert pipelines.mask['num_masking_patches'] == 75
    shifted = """pipeline = [dict(type='mmcls.ToPIL', to_rgb=True),
        dict(type='mmcls.torchvision/Resize', size=64),
        dict(type='mmcls.torchvision/RandomCrop', size=64, padding=3, padding_mode='reflect'),
        dict(type='mmcls.torchvision/RandomHorizontalFlip', p=0.5),
        dict(type='mmcls.ToNumpy', to_rgb=True)]"""
    assert made(carried(tmp_path, shifted)[0]).view == PaddedCrop(64, 3, **NORMAL)
    alone = "pipeline = [dict(type='mmcls.torchvision/Resize', size=64)]"
    assert made(carried(tmp_path, alone)[0]).view == PaddedCrop(64, 0, flip=0.0, **NORMAL)


def test_older_pipelines_normalise_by_shares_and_resize_as_pillow(tmp_path: Path) -> None:
    end = """dict(type='ToTensor'),
        dict(type='Normalize', mean=[0.4, 0.5, 0.6], std=[0.2, 0.2, 0.2])"""
    normal: dict[str, Any] = dict(mean=(102.0, 127.5, 153.0), std=(51.0,) * 3)
    crop = "dict(type='RandomResizedCrop', size=64, interpolation=3)"
    text = f"pipeline = [{crop}, dict(type='RandomGrayscale', p=0.2), {end}]"
    view = View(size=64, interpolation='bicubic', **(PLAIN | normal | dict(gray=0.2)))
    assert made(carried(tmp_path, text, older=True)[0]).view == view
    turns = f"kind = 'turns'\npipeline = [{crop}, {end}]"
    assert made(carried(tmp_path, turns, older=True)[0]).view.mean == normal['mean']
    patches = f"""kind = 'patches'\npipeline = [dict(type='Resize', size=292),
        dict(type='RandomCrop', size=255), dict(type='RandomGrayscale', p=0.66), {end}]"""
    expected = Patches(antialias=True, keep_ratio=True, gray_weights='itu', **normal)
    assert made(carried(tmp_path, patches, older=True)[0]) == expected


@pytest.mark.parametrize(
    ('transforms', 'said'),
    [
        ("dict(type='Cutout')", "the transform 'Cutout'"),
        ("dict(type='RandomFlip', prob=0.5, direction='vertical')", "direction='vertical'"),
        ("dict(type='RandomPatchWithLabels')", 'patches are of a square'),
        ("dict(type='RandomSolarize', threshold=99)", 'threshold=99'),
        ("dict(type='RandomGrayscale', channel_weights=(1, 2, 3))", 'channel_weights'),
        ("dict(type='ColorJitter', hue=0.1), " + CROP, 'RandomResizedCrop stands after'),
        ("dict(type='GaussianBlur', magnitude_range=(0.1, 2.), prob=1., magnitude_std=1)", '=1'),
        ("dict(type='RandomFlip', prob=0.5, probe=3)", 'probe=3'),
        ("dict(type='MultiView', num_views=1, transforms=[[]])", 'beside MultiView'),
    ],
)
def test_what_has_no_counterpart_is_noted_by_line(
    transforms: str, said: str, tmp_path: Path
) -> None:
    _, notes, _ = carried(tmp_path, f'pipeline = [\n{CROP},\n{transforms}]')
    assert any(said in str(note) for note in notes.missing)
    assert 'config.py:' in str(notes.missing[0])


def test_a_pipeline_without_a_crop_and_odd_ones_are_noted(tmp_path: Path) -> None:
    _, notes, _ = carried(tmp_path, "pipeline = [dict(type='RandomFlip', prob=0.5)]")
    assert 'without a crop' in str(notes.missing[0])
    _, notes, _ = carried(tmp_path, f"pipeline = [{CROP}, dict(type='RandomPatchWithLabels')]")
    assert 'in a pipeline of patches' in str(notes.missing[0])
    for text, said in (
        ('pipeline = [3]', "a dict with a 'type', not 3"),
        ('pipeline = 3', 'must be a list'),
        ("pipeline = [dict(type='RandomResizedCrop', size='x')]", 'one number of pixels'),
        ("pipeline = [dict(type='RandomFlip', prob='x')]", 'must be a number'),
        ("pipeline = [dict(type='RandomApply', transforms=[])]", 'a list of one transform'),
    ):
        with refused(said):
            carried(tmp_path, text)


def test_statistics_are_those_of_the_preprocessor(tmp_path: Path) -> None:
    (tmp_path / 'config.py').write_text(
        'normal = dict(mean=[1, 2, 3], std=[4, 5, 6])\n'
        'two = dict(second_mean=[7] * 3, second_std=[8] * 3, bgr_to_rgb=True, **normal)\n'
        'none = dict(to_rgb=True)\n'
        'wrong = dict(mean=3, std=4)\n'
    )
    notes = Notes()
    top = Fields(read_config(tmp_path / 'config.py'), notes, 'config')
    assert preprocessor(top.inner('two')) == Statistics((1, 2, 3), (4, 5, 6), (7.0, 8.0))
    assert preprocessor(top.inner('normal'), rgb=True) == Statistics((1, 2, 3), (4, 5, 6))
    assert not notes.differs
    assert preprocessor(top.inner('normal')) == Statistics((3, 2, 1), (6, 5, 4))
    assert 'blue, green, red' in str(notes.differs[0])
    with refused('config.py:3', 'lacks mean or std'):
        preprocessor(top.inner('none'))
    with refused('config.py:4', 'mean=3 must be a list of 3 numbers'):
        preprocessor(top.inner('wrong'))


def test_older_images_without_normalize_are_from_0_to_1(tmp_path: Path) -> None:
    def statistics(step: str) -> Any:
        (tmp_path / 'config.py').write_text(f'pipeline = [{step}]')
        config = read_config(tmp_path / 'config.py')
        pipelines = Pipelines(Notes(), older=True, statistics=None)
        return pipelines.single(config['pipeline'], config.where('pipeline'))

    alone = statistics("dict(type='RandomResizedCrop', size=64)")['view']
    assert (alone['mean'], alone['std']) == ((0.0,) * 3, (255.0,) * 3)
    two = "dict(type='RandomResizedCropAndInterpolationWithTwoPic', size=64, second_size=32)"
    assert statistics(two)['mean'] == (123.675, 116.28, 103.53)  # by CAE itself


def test_features_are_judged_on_images_of_the_same_size() -> None:
    view = {'type': 'MultiView', 'view': {'size': 192, 'interpolation': 'bicubic'}}
    expected = CenterView(192, 219, 'bicubic', **NORMAL)
    assert made(evaluation(view, Statistics(MEAN, STD))) == expected
    assert made(evaluation({'type': 'Patches'}, Statistics(MEAN, STD))) == CenterView(**NORMAL)


def test_every_view_of_the_package_can_come_over() -> None:
    elsewhere = {'FineTuneView', 'GlobalLocal', 'CenterView'}  # of classifiers, of DINO, of tests
    source = Path(views.__file__).parents[2] / 'interop/configs/pipeline.py'
    text = source.read_text(encoding='utf-8')
    assert {name for name in views.__all__ if f"'{name}'" not in text} == elsewhere - {'CenterView'}
