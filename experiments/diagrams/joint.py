"""Joint embedding: views of an image are to agree."""

from experiments.diagrams.boxes import Diagram, loss, memory, network, target, teacher, value, view

PAIR = {'one': view(0, 'view 1', 0, 0), 'two': view(1, 'view 2', 0, 1)}
ENCODER = {'net': network('backbone\n+ neck', 1.05, 0.5, 2)}
EXCHANGED = 'The same with the views exchanged; the loss counts both.'
AGAINST = {  # two views, and the images that they are held against
    **PAIR,
    **ENCODER,
    'z1': value('z₁', 2.15, 0),
    'z2': value('z₂', 2.15, 1),
    'others': value('other images\nof the batch', 2.15, 2),
}
BOTH = ('one > net > z1 > loss', 'two > net > z2 > loss')

JOINT: dict[str, Diagram] = {
    'simclr': Diagram(
        AGAINST
        | {
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
        AGAINST
        | {
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
