"""What the figures of the algorithms' pages show: boxes, and arrows between them.

Arrows are written as chains of names: ``'view > net > loss'``. The signs between names are

- ``>``: data flows, and a gradient flows back;
- ``|``: data flows, no gradient comes back;
- ``~``: weights follow, as an exponential moving average;
- ``+``: what is written into a memory.
"""

import dataclasses
from collections.abc import Mapping
from typing import Literal

Kind = Literal['view', 'network', 'teacher', 'memory', 'target', 'value', 'loss']
Shown = Literal['whole', 'masked', 'context', 'blocks']


@dataclasses.dataclass(frozen=True)
class Box:
    """A box of a diagram.

    Attributes:
      kind: what it is; it decides its looks.
      text: in it, or below it where it is a view.
      at: column and row of its middle; rows are counted from the top.
      rows: how many rows it is high.
      view: of a view, which of the config's views.
      shown: of a view, what of it: all, what a mask leaves, or I-JEPA's context or target blocks.
    """

    kind: Kind
    text: str
    at: tuple[float, float]
    rows: float = 1
    view: int = 0
    shown: Shown = 'whole'


@dataclasses.dataclass(frozen=True)
class Diagram:
    """Boxes by name, chains of arrows between them, and a sentence below."""

    boxes: Mapping[str, Box]
    arrows: tuple[str, ...]
    note: str = ''


def view(number: int, text: str, x: float, y: float, shown: Shown = 'whole') -> Box:
    """A view as the config makes it."""
    return Box('view', text, (x, y), view=number, shown=shown)


def network(text: str, x: float, y: float, rows: float = 1) -> Box:
    """What the optimizer trains."""
    return Box('network', text, (x, y), rows)


def teacher(text: str, x: float, y: float, rows: float = 1) -> Box:
    """A slow copy."""
    return Box('teacher', text, (x, y), rows)


def memory(text: str, x: float, y: float, rows: float = 1) -> Box:
    """What is carried from step to step besides networks."""
    return Box('memory', text, (x, y), rows)


def target(text: str, x: float, y: float, rows: float = 1) -> Box:
    """What is to be predicted, and what makes it."""
    return Box('target', text, (x, y), rows)


def value(text: str, x: float, y: float, rows: float = 1) -> Box:
    """An output on the way."""
    return Box('value', text, (x, y), rows)


def loss(text: str, x: float, y: float, rows: float = 1) -> Box:
    """A loss."""
    return Box('loss', text, (x, y), rows)


PAIR = {'one': view(0, 'view 1', 0, 0), 'two': view(1, 'view 2', 0, 1)}
ENCODER = {'net': network('backbone\n+ neck', 1.05, 0.5, 2)}
CROPS = {
    'one': view(0, 'global crop', 0, 0),
    'local': view(2, 'local crop', 0, 1),
    'two': view(1, 'global crop', 0, 2),
}
MASKED_CROPS = CROPS | {'one': view(0, 'global, masked', 0, 0, 'masked')}
EXCHANGED = 'The same with the views exchanged; the loss counts both.'
BOTH = ('one > net > z1 > loss', 'two > net > z2 > loss')

JOINT: dict[str, Diagram] = {
    'simclr': Diagram(
        PAIR
        | ENCODER
        | {
            'z1': value('z₁', 2.15, 0),
            'z2': value('z₂', 2.15, 1),
            'others': value('other images\nof the batch', 2.15, 2),
            'loss': loss('NT-Xent:\npull z₁ and z₂,\npush the others', 3.7, 1, 3),
        },
        (*BOTH, 'others > loss'),
    ),
    'moco': Diagram(
        PAIR
        | {
            'net': network('backbone\n+ neck', 1.05, 0),
            'slow': teacher('slow copy', 1.05, 1),
            'q': value('query q', 2.15, 0),
            'k': value('key k', 2.15, 1),
            'queue': memory('queue: keys of\nearlier batches', 2.15, 2),
            'loss': loss('InfoNCE:\nq finds k\namong the keys', 3.7, 1, 3),
        },
        ('one > net > q > loss', 'two | slow | k | loss', 'net ~ slow', 'k + queue | loss'),
    ),
    'mocov3': Diagram(
        PAIR
        | {
            'net': network('backbone\n+ neck', 1.05, 0),
            'slow': teacher('slow copy', 1.05, 1),
            'head': network('predictor h', 2.15, 0),
            'k': value('targets k of\nthe whole batch', 2.15, 1),
            'loss': loss('contrast in the\nbatch: find k of\nthe same image', 3.7, 0.5, 2),
        },
        ('one > net > head > loss', 'two | slow | k | loss', 'net ~ slow'),
        EXCHANGED,
    ),
    'byol': Diagram(
        PAIR
        | {
            'net': network('backbone\n+ neck', 1.05, 0),
            'slow': teacher('slow copy', 1.05, 1),
            'head': network('predictor h', 2.15, 0),
            't': value('target t', 2.15, 1),
            'loss': loss('minus 2 cos(h, t)', 3.7, 0.5, 2),
        },
        ('one > net > head > loss', 'two | slow | t | loss', 'net ~ slow'),
        EXCHANGED,
    ),
    'simsiam': Diagram(
        PAIR
        | ENCODER
        | {
            'head': network('predictor h', 2.15, 0),
            'z2': value('z₂', 2.15, 1),
            'loss': loss('minus\ncos(h(z₁), z₂)', 3.7, 0.5, 2),
        },
        ('one > net > head > loss', 'two > net > z2 | loss'),
        EXCHANGED,
    ),
    'barlow_twins': Diagram(
        PAIR
        | ENCODER
        | {
            'z1': value('z₁', 2.15, 0),
            'z2': value('z₂', 2.15, 1),
            'loss': loss(
                'correlations of\nall features:\n1 on the diagonal,\n0 elsewhere', 3.7, 0.5, 2
            ),
        },
        BOTH,
    ),
    'vicreg': Diagram(
        PAIR
        | ENCODER
        | {
            'z1': value('z₁', 2.15, 0),
            'z2': value('z₂', 2.15, 1),
            'loss': loss('z₁ = z₂,\neach feature varies,\nnone repeats\nanother', 3.7, 0.5, 2),
        },
        BOTH,
    ),
    'lejepa': Diagram(
        PAIR
        | ENCODER
        | {
            'z1': value('z₁', 2.15, 0),
            'z2': value('z₂', 2.15, 1),
            'rays': target('random directions\nof this step', 2.15, 2),
            'near': loss('views near\ntheir mean', 3.7, 0),
            'loss': loss('SIGReg: normal\nalong each\ndirection', 3.7, 1.5, 2),
        },
        ('one > net > z1 > near', 'two > net > z2 > loss', 'z2 > near', 'z1 > loss', 'rays | loss'),
    ),
    'nnclr': Diagram(
        PAIR
        | ENCODER
        | {
            'z1': value('z₁', 2.05, 0),
            'near': memory('support set:\nnearest row to z₁', 3.1, 0),
            'head': network('predictor', 2.05, 1),
            'loss': loss('NT-Xent of\nneighbour\nand prediction', 4.1, 0.5, 2),
        },
        ('one > net > z1 | near | loss', 'two > net > head > loss'),
        EXCHANGED + ' Then z₂ takes the oldest rows of the set.',
    ),
    'dcl': Diagram(
        PAIR
        | ENCODER
        | {
            'z1': value('z₁', 2.15, 0),
            'z2': value('z₂', 2.15, 1),
            'others': value('other images\nof the batch', 2.15, 2),
            'pull': loss('pull z₁ and z₂', 3.7, 0.5, 2),
            'push': loss('push the others:\nno positive\namong them', 3.7, 2),
        },
        ('one > net > z1 > pull', 'two > net > z2 > pull', 'others > push'),
    ),
    'tico': Diagram(
        PAIR
        | {
            'net': network('backbone\n+ neck', 1.05, 0),
            'slow': teacher('slow copy', 1.05, 1),
            'z': value('z', 2.15, 0),
            't': value("z'", 2.15, 1),
            'c': memory('covariance C', 2.15, -1),
            'loss': loss("agree with z',\nkeep off what\nC says is full", 3.7, 0, 3),
        },
        ('one > net > z > loss', 'two | slow | t | loss', 'net ~ slow', 'z + c | loss'),
    ),
    'densecl': Diagram(
        PAIR
        | {
            'net': network('backbone\n+ neck', 1.05, 0),
            'slow': teacher('slow copy', 1.05, 1),
            'q': value('query, and one\nof each cell', 2.15, 0),
            'k': value('key, and one\nof each cell', 2.15, 1),
            'queue': memory('two queues: of\nimages, of cells', 2.15, 2),
            'whole': loss('InfoNCE of\nimages', 3.7, 0.25, 1.5),
            'cells': loss('InfoNCE of cells:\nthe key cell\nmost alike', 3.7, 1.75, 1.5),
        },
        (
            'one > net > q > whole',
            'two | slow | k | cells',
            'net ~ slow',
            'q > cells',
            'k | whole',
            'k + queue | cells',
        ),
        'Each queue serves the loss of its own.',
    ),
    'swav': Diagram(
        {
            'one': view(0, 'large crop', 0, 0),
            'two': view(1, 'large crop', 0, 1),
            'small': view(2, 'small crop', 0, 2),
            'net': network('backbone\n+ neck', 1.05, 1, 3),
            'head': network('prototypes\n(head)', 2.1, 1, 3),
            'queue': memory('queue, for\nsmall batches', 3.1, -0.9),
            'codes': target('Sinkhorn:\ncode q', 3.1, 0),
            'p': value('scores', 3.1, 1.5, 2),
            'loss': loss('cross entropy:\npredict the code\nof another crop', 4.15, 0.75, 2.5),
        },
        (
            'one > net > head | codes | loss',
            'two > net > head > p > loss',
            'small > net > head > p',
            'queue | codes',
        ),
        'Every large crop gives a code, which all other crops predict.',
    ),
    'msn': Diagram(
        {
            'whole': view(0, 'target, whole', 0, 2),
            'masked': view(1, 'anchor, masked', 0, 0, 'masked'),
            'small': view(2, 'anchor, small', 0, 1),
            'net': network('backbone,\nhead', 1.05, 0.5, 2),
            'slow': teacher('slow copy', 1.05, 2),
            'p': value('p: shares of\nK prototypes', 2.2, 0.5, 2),
            't': target('Sinkhorn:\np⁺', 2.2, 2),
            'spread': loss('use all\nprototypes', 3.7, 0),
            'loss': loss('cross entropy\nof p⁺ and p', 3.7, 1.5, 2),
        },
        (
            'masked > net > p > spread',
            'small > net',
            'p > loss',
            'whole | slow | t | loss',
            'net ~ slow',
        ),
    ),
}

DISTILLATION: dict[str, Diagram] = {
    'dino': Diagram(
        CROPS
        | {
            'net': network('student:\nbackbone, head', 1.1, 0.5, 2),
            'slow': teacher('teacher', 1.1, 2),
            's': value('softmax of s', 2.3, 0.5, 2),
            't': target('softmax of\nt minus c, sharp', 2.3, 2),
            'c': memory('center c', 2.3, 3),
            'loss': loss(
                'cross entropy:\nsay of a crop what\nthe teacher says\nof another', 3.75, 1.25, 2.5
            ),
        },
        ('one > net > s > loss', 'local > net', 'two | slow | t | loss', 'net ~ slow', 'c | t'),
        'The teacher sees both global crops, the student all crops.',
    ),
    'ibot': Diagram(
        {
            'one': view(0, 'global, masked', 0, 0.5, 'masked'),
            'two': view(1, 'global crop', 0, 2),
            'net': network('student:\nbackbone, head', 1.1, 0.5, 2),
            'slow': teacher('teacher', 1.1, 2),
            'patch': value('patches', 2.25, 0),
            'cls': value('class token', 2.25, 1),
            't': target('class token and\npatches, centered', 2.25, 2),
            'c': memory('two centers', 2.25, 3),
            'hidden': loss('say what is\nhidden', 3.75, 0.25, 1.4),
            'loss': loss('say of a crop what\nthe teacher says\nof another', 3.75, 1.75, 1.4),
        },
        (
            'one > net > patch > hidden',
            'net > cls > loss',
            'two | slow | t | loss',
            't | hidden',
            'net ~ slow',
            'c | t',
        ),
        'Both see both global crops, the teacher whole; the student sees local crops too.',
    ),
    'dinov2': Diagram(
        MASKED_CROPS
        | {
            'net': network('student:\nbackbone, heads', 1.1, 0.5, 2),
            'slow': teacher('teacher', 1.1, 2),
            'patch': value('masked patches', 2.25, 0),
            'cls': value('class token', 2.25, 1),
            't': target('Sinkhorn, of class\ntokens, of patches', 2.25, 2),
            'hidden': loss('iBOT: say what\nis hidden', 3.75, 0.25, 1.4),
            'loss': loss('DINO; and KoLeo:\nfeatures apart', 3.75, 1.75, 1.4),
        },
        (
            'one > net > patch > hidden',
            'local > net > cls > loss',
            'two | slow | t | loss',
            't | hidden',
            'net ~ slow',
        ),
        'The teacher sees both global crops, and both whole.',
    ),
    'dinov3': Diagram(
        MASKED_CROPS
        | {
            'net': network('student:\nbackbone, heads', 1.1, 0.5, 2),
            'slow': teacher('teacher', 1.1, 2),
            'gram': teacher('Gram teacher:\nan earlier copy', 1.1, 3),
            'patch': value('patches', 2.25, 0),
            'cls': value('class token', 2.25, 1),
            't': target('Sinkhorn, of class\ntokens, of patches', 2.25, 2),
            'x': target('patches', 2.25, 3),
            'same': loss('Gram: patches as\nalike as they were', 3.75, 3),
            'hidden': loss('iBOT: say what\nis hidden', 3.75, 0.25, 1.4),
            'loss': loss('DINO and KoLeo:\nas in DINOv2', 3.75, 1.75, 1.4),
        },
        (
            'one > net > patch > hidden',
            'local > net > cls > loss',
            'two | slow | t | loss',
            't | hidden',
            'net ~ slow',
            'slow ~ gram',
            'gram | x | same',
        ),
        "The Gram loss compares the student's patches too; the Gram teacher sees plain crops.",
    ),
}

BANKS: dict[str, Diagram] = {
    'npid': Diagram(
        {
            'one': view(0, 'view', 0, 0),
            'net': network('backbone\n+ neck', 1.05, 0),
            'f': value('unit features f', 2.15, 0),
            'bank': memory('bank: a row for\neach image', 2.15, 1),
            'loss': loss('softmax: own row\namong drawn rows', 3.7, 0.5, 2),
        },
        ('one > net > f > loss', 'f + bank | loss'),
        'After the step the own row becomes l2(½ old + ½ new).',
    ),
    'odc': Diagram(
        {
            'one': view(0, 'view', 0, 0),
            'net': network('backbone\n+ neck', 1.05, 0),
            'head': network('classifier\n(head)', 2.15, 0),
            'bank': memory('memory: rows,\nlabels, centroids', 1.6, 1),
            'label': target('label of\nthis image', 2.7, 1),
            'loss': loss('weighted\ncross entropy', 3.75, 0.5, 2),
        },
        ('one > net > head > loss', 'net + bank', 'bank | label | loss'),
        'Rows and labels move with every batch, centroids every few steps.',
    ),
    'deepcluster': Diagram(
        {
            'one': view(0, 'view', 0, 0),
            'net': network('backbone\n+ neck', 1.05, 0),
            'head': network('classifier,\nanew each time', 2.15, 0),
            'means': target('before an epoch:\nk-means of all', 1.05, 1),
            'label': memory('labels of\nall images', 2.15, 1),
            'loss': loss('cross entropy', 3.7, 0.5, 2),
        },
        ('one > net > head > loss', 'net | means | label | loss'),
    ),
}

PRETEXT: dict[str, Diagram] = {
    'relative_loc': Diagram(
        {
            'centre': view(0, 'centre', 0, 0),
            'patch': view(1, 'neighbour', 0, 1),
            'net': network('backbone', 1.05, 0.5, 2),
            'neck': network('neck, both\nside by side', 2.1, 0.5, 2),
            'head': network('head', 3.1, 0.5, 2),
            'label': target('place, 1 of 8', 3.1, 2),
            'loss': loss('cross entropy', 4.15, 1, 3),
        },
        ('centre > net > neck > head > loss', 'patch > net', 'label | loss'),
    ),
    'rotation_pred': Diagram(
        {
            'a': view(0, '0°', 0, 0),
            'b': view(1, '90°', 0.62, 0),
            'c': view(2, '180°', 0, 1),
            'd': view(3, '270°', 0.62, 1),
            'net': network('backbone', 1.65, 0.5, 2),
            'head': network('head', 2.7, 0.5, 2),
            'label': target('which turn', 2.7, 2),
            'loss': loss('cross entropy', 3.9, 1, 3),
        },
        ('b > net > head > loss', 'd > net', 'label | loss'),
    ),
}

MASKED: dict[str, Diagram] = {
    'mae': Diagram(
        {
            'seen': view(0, 'visible quarter', 0, 0, 'masked'),
            'one': view(0, 'view', 0, 1),
            'net': network('encoder\n(backbone)', 1.05, 0),
            'neck': network('decoder (neck),\nmask tokens', 2.15, 0),
            't': target('pixels of hidden\npatches', 2.15, 1),
            'loss': loss('squared error,\nhidden patches', 3.7, 0.5, 2),
        },
        ('seen > net > neck > loss', 'one | t | loss'),
    ),
    'simmim': Diagram(
        {
            'seen': view(0, 'masked cells', 0, 0, 'masked'),
            'one': view(0, 'view', 0, 1),
            'net': network('Swin, with\na mask token', 1.05, 0),
            'neck': network('one linear\nlayer (neck)', 2.15, 0),
            't': target('pixels of hidden\ncells', 2.15, 1),
            'loss': loss('absolute error,\nhidden cells', 3.7, 0.5, 2),
        },
        ('seen > net > neck > loss', 'one | t | loss'),
    ),
    'maskfeat': Diagram(
        {
            'seen': view(0, 'masked blocks', 0, 0, 'masked'),
            'one': view(0, 'view', 0, 1),
            'net': network('ViT, with\na mask token', 1.05, 0),
            'neck': network('one linear\nlayer (neck)', 2.15, 0),
            't': target('HOG (target\ngenerator)', 2.15, 1),
            'loss': loss('squared error,\nhidden patches', 3.7, 0.5, 2),
        },
        ('seen > net > neck > loss', 'one | t | loss'),
    ),
    'cae': Diagram(
        {
            'seen': view(0, 'visible patches', 0, 0, 'masked'),
            'one': view(0, 'the others', 0, 1),
            'two': view(1, "tokenizer's view", 0, 2),
            'net': network('encoder\n(backbone)', 1.05, 0),
            'slow': teacher('slow encoder', 1.05, 1),
            'words': target('frozen tokenizer', 1.05, 2),
            'z': network('regressor', 2.1, 0),
            'y': network('decoder', 3.1, 0),
            'align': loss('latents agree', 2.1, 1),
            'loss': loss('cross entropy\nof tokens', 4.15, 1, 3),
        },
        (
            'seen > net > z > y > loss',
            'one | slow | align',
            'z > align',
            'net ~ slow',
            'two | words | loss',
        ),
    ),
    'ijepa': Diagram(
        {
            'seen': view(0, 'context', 0, 0, 'context'),
            'one': view(0, 'view', 0, 1),
            'net': network('encoder\n(backbone)', 1.05, 0),
            'slow': teacher('slow encoder', 1.05, 1),
            'neck': network('predictor (neck),\ntold the places', 2.15, 0),
            'blocks': view(0, 'target blocks', 2.15, 1, 'blocks'),
            'loss': loss('smooth L1\nof features', 3.7, 0.5, 2),
        },
        ('seen > net > neck > loss', 'one | slow | blocks | loss', 'net ~ slow'),
    ),
}

DIAGRAMS: Mapping[str, Diagram] = JOINT | DISTILLATION | BANKS | PRETEXT | MASKED
