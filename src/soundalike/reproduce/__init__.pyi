from .comparison import Comparison as Comparison
from .comparison import ComparisonRow as ComparisonRow
from .comparison import Measurement as Measurement
from .comparison import comparison_lines as comparison_lines
from .comparison import markdown_page as markdown_page
from .merit import MeritStudy as MeritStudy
from .merit import find_data as find_data
from .runs import ProtocolRuns as ProtocolRuns
