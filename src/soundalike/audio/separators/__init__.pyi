from .base import STEMS as STEMS
from .base import Separator as Separator
from .base import StemBlock as StemBlock
from .cache import is_separated as is_separated
from .cache import separated_stems as separated_stems
from .cache import write_stems as write_stems
from .gate import apply_gate as apply_gate
from .stem_files import find_stems as find_stems
