"""Building blocks that backbones, necks and heads share."""
