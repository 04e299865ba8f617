from .cache import merge as merge
from .embeddings import EmbeddingCache as EmbeddingCache
from .embeddings import embed as embed
from .folders import read_folders as read_folders
from .sampling import NEGATIVES as NEGATIVES
from .sampling import SAMPLINGS as SAMPLINGS
