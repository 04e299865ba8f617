"""Dataset `labelled`: recordings with labels of concepts in a table."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

from soundalike.audio.concept_labels import CONCEPTS, read_labels
from soundalike.core.errors import UsageError, one_line
from soundalike.core.types import Item

__all__ = ["TABLE", "LabelledFolder", "create"]

TABLE = "labels.csv"
_PATH = "path"


def create(root: Path, table: Path | None = None) -> LabelledFolder:
    """Return the dataset.

    Args:
        root: The folder that paths in the table start from.
        table: A UTF-8 CSV file: the column `path`, and any of the concepts; several tags are joined by ",". Recordings
            with the same text in a column `song` belong together, and a column `subset` (train, validation, test)
            divides them. None is `labels.csv` in the folder.

    Example:
        >>> next(create(Path("music")).items()).labels
        {'genre': 'jazz,swing', 'tempo': '112', 'song': 'blue'}
    """
    return LabelledFolder(root, table or root / TABLE)


class LabelledFolder:
    """The recordings of a table. Further columns are labels too, which nothing reads.

    Raises:
        UsageError: While it is read: the table cannot be read, lacks columns, or names recordings that are not there.
    """

    def __init__(self, root: Path, table: Path) -> None:
        self.root, self.table = root, table

    def items(self) -> Iterator[Item]:
        """Yield every recording, in the order of the table."""
        found, lost = [], []
        try:
            with self.table.open(encoding="utf-8-sig", newline="") as file:
                reader = csv.DictReader(file)
                names: Sequence[str] = reader.fieldnames or ()
                if _PATH not in names or not set(CONCEPTS) & set(names):
                    raise UsageError(
                        f"{self.table} has the columns {', '.join(names) or '(none)'}; expected {_PATH} and some of "
                        f"{', '.join(CONCEPTS)}"
                    )
                for row in reader:
                    labels = {name: value for name, value in row.items() if name and value}
                    path = self.root / labels.pop(_PATH, "")
                    if not path.is_file():
                        lost.append(row[_PATH] or "")
                        continue
                    try:
                        read_labels(labels)
                    except UsageError as error:
                        raise UsageError(f"{self.table}, line {reader.line_num}: {error}") from error
                    found.append(Item(path, labels=labels))
        except OSError as error:
            raise UsageError(f"{self.table} cannot be read: {error.strerror}") from error
        except (csv.Error, UnicodeError) as error:
            raise UsageError(f"{self.table} is not a UTF-8 CSV file: {one_line(str(error))}") from error
        if lost:
            raise UsageError(
                f"{self.root} lacks {len(lost):,} of the recordings in {self.table.name}, such as {lost[0]}"
            )
        if not found:
            raise UsageError(f"{self.table} names no recordings")
        yield from found
