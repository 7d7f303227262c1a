"""Self-distillation: a student says what its slow copy says."""

from experiments.diagrams.boxes import Diagram, loss, memory, network, target, teacher, value, view

CROPS = {
    'one': view(0, 'global crop', 0, 0),
    'local': view(2, 'local crop', 0, 1),
    'two': view(1, 'global crop', 0, 2),
}
MASKED_CROPS = CROPS | {'one': view(0, 'global, masked', 0, 0, 'masked')}

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
