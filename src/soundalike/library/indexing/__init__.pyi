from .index import IndexReport as IndexReport
from .index import index_files as index_files
