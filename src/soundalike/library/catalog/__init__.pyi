from .catalog import Catalog as Catalog
from .filters import Filter as Filter
from .filters import NumberCondition as NumberCondition
from .filters import parse_filter as parse_filter
from .track import Track as Track
