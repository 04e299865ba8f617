from .compact import CompactJob as CompactJob
from .compact import Progress as Progress
from .compact import train_compact as train_compact
from .dsp import fit as fit
from .heads import HeadsJob as HeadsJob
from .heads import train_heads as train_heads
