from .catalog import Catalog as Catalog
from .failures import Failure as Failure
from .filter_parser import parse_filter as parse_filter
from .filters import Filter as Filter
from .filters import NumberCondition as NumberCondition
from .filters import half_and_double as half_and_double
from .track import Track as Track
