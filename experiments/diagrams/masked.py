"""Masked images: tell what is hidden from what is seen."""

from experiments.diagrams.boxes import Diagram, loss, network, target, teacher, view

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
