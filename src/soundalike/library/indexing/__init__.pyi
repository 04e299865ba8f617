from .find_files import find_files as find_files
from .index import IndexReport as IndexReport
from .index import Waiting as Waiting
from .index import index_files as index_files
