from .find_files import state_of_files as state_of_files
from .index import IndexReport as IndexReport
from .index import Waiting as Waiting
from .index import index_files as index_files
from .stem_cost import StemCost as StemCost
from .stem_cost import estimate_stem_cost as estimate_stem_cost
