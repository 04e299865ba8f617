from .compact import CompactJob as CompactJob
from .compact import Progress as Progress
from .compact import train_compact as train_compact
from .descriptors import DescriptorsJob as DescriptorsJob
from .descriptors import train_descriptors as train_descriptors
from .dsp import fit as fit
from .heads import HeadsJob as HeadsJob
from .heads import train_heads as train_heads
