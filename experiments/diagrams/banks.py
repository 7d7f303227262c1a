"""Banks and clusters: something is remembered of every training image."""

from experiments.diagrams.boxes import Diagram, loss, memory, network, target, value, view

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
