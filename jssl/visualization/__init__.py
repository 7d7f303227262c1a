"""What a run looks like: the report page, and grids of views on their own.

Importing it imports matplotlib, so `jssl` itself does not.
"""

from jssl.visualization.images import view_grid
from jssl.visualization.report import write_report

__all__ = ['view_grid', 'write_report']
