from .export import check_target as check_target
from .export import export_library as export_library
from .import_ import import_library as import_library
from .read import Export as Export
from .vector_files import SUFFIXES as SUFFIXES
from .vector_files import check_output as check_output
from .vector_files import write_vectors as write_vectors
