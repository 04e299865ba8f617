from .base import BestOf as BestOf
from .base import Hits as Hits
from .row_groups import Groups as Groups
