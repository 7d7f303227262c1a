"""How many there are of something, in one form everywhere."""


def counted(number: int, one: str, several: str = '') -> str:
    """A number with its noun.

    Args:
      number: how many.
      one, several: the noun; several are called as one with an s if nothing else is said.

    Examples:
      >>> counted(1, 'epoch'), counted(1200, 'step'), counted(2, 'batch', 'batches')
      ('1 epoch', '1,200 steps', '2 batches')
    """
    return f'{number:,} {one if number == 1 else several or one + "s"}'
