"""How long something took, in one form everywhere."""


def format_duration(seconds: float) -> str:
    """Minutes and seconds, such as ``2:13``, or hours too, such as ``1:02:13``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f'{hours}:{minutes:02}:{rest:02}' if hours else f'{minutes}:{rest:02}'
