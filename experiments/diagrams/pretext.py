"""Pretext tasks: the label comes with the way the view was made."""

from experiments.diagrams.boxes import Diagram, loss, network, target, view

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
