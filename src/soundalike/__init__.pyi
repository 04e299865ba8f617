from .api import Library as Library
from .api import compare as compare
from .api import compare_stems as compare_stems
from .api import load_model as load_model
from .api import open as open
from .core.errors import AudioError as AudioError
from .core.errors import LibraryBusyError as LibraryBusyError
from .core.errors import LibraryError as LibraryError
from .core.errors import LibraryNotFoundError as LibraryNotFoundError
from .core.errors import ModelError as ModelError
from .core.errors import SoundalikeError as SoundalikeError
from .core.errors import UsageError as UsageError
from .core.types import Audio as Audio
from .core.types import Match as Match
from .core.types import Span as Span
from .core.types import Vectors as Vectors
from .core.types import Weights as Weights
from .models import Model as Model
from .search import Example as Example
from .search import Query as Query

__version__: str
