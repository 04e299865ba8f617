"""Faults in `models/`: recipes, heads, the scoring function, mutual proximity."""

from mutants.mutant import Mutant

__all__ = ["MODELS"]

_MODELS = "src/soundalike/models"
_SCORE = ("tests/models/test_score.py", "tests/search/test_compiled_query.py")
_MUTUAL = ("tests/models/test_mutual_proximity.py",)

MODELS = (
    Mutant(
        f"{_MODELS}/model.py", "Span(full_span.track, full_span.start + low, full_span.start + high)",
        "Span(full_span.track, low, high)",
        "passages of a region lose the start of the region", ("tests/models/test_regions.py",),
    ),
    Mutant(
        f"{_MODELS}/model.py", "if loaded[name].version != version:", "if False:",
        "a model runs on another version of its backbone", ("tests/models/test_recipes.py", "tests/models/test_heads.py"),
    ),
    Mutant(
        f"{_MODELS}/space_heads.py", "features.audible[parts[0]]", "features.audible[parts[-1]]",
        "whether a joined feature is audible is judged by its last part", ("tests/models/test_heads.py",),
    ),
    Mutant(
        f"{_MODELS}/score.py", "(calibration.sigma * total)", "calibration.sigma",
        "the score is a sum, not a mean over the weights", _SCORE,
    ),
    Mutant(
        f"{_MODELS}/score.py", "total = sum(abs(weights[s.name]) for s in active)",
        "total = sum(weights[s.name] for s in active)",
        "negative weights change the scale of the score", _SCORE,
    ),
    Mutant(
        f"{_MODELS}/score.py", "total += term.scale * similarity + term.offset * presence(candidates)",
        "total += term.scale * similarity + term.offset",
        "a silent candidate counts as less alike than any other", _SCORE,
    ),
    Mutant(
        f"{_MODELS}/score.py", "sum(c * term.offset for c, term in entries)", "sum(term.offset for c, term in entries)",
        "examples to be unlike shift the score the wrong way", _SCORE,
    ),
    Mutant(
        f"{_MODELS}/score.py", "weights.get(s.name, 0.0)) for s in spaces if query[s.name].any())",
        "weights.get(s.name, 0.0)) for s in spaces)",
        "shares do not sum to the score where the query is silent in a space", _SCORE,
    ),
    Mutant(
        f"{_MODELS}/score.py", "(100.0 / (len(table) - 1))", "(100.0 / len(table))",
        "the most similar pair is at 99 %, not at 100 %", _SCORE,
    ),
    Mutant(
        f"{_MODELS}/score.py", "total *= 0.5 * (1 / audible_weight[:, None] + 1 / audible_weight)",
        "total *= 1 / audible_weight[:, None]",
        "the score of a pair depends on its order", (*_SCORE, "tests/search/test_paths_and_playlists.py"),
    ),
    Mutant(
        f"{_MODELS}/mutual_proximity.py", "others = moments[-1, -1] - within", "others = moments[-1, -1]",
        "a recording counts among the others in its own statistics", _MUTUAL,
    ),
    Mutant(
        f"{_MODELS}/mutual_proximity.py", "for side in (left, right):", "for side in (left, left):",
        "hubs are not corrected", _MUTUAL,
    ),
    Mutant(
        f"{_MODELS}/mutual_proximity.py", "presence(rows) & query.any()", "presence(rows)",
        "a silent query has a z-score", ("tests/models/test_silent_query.py",),
    ),
    Mutant(
        f"{_MODELS}/heads.py", "np.asarray(part.any(axis=1))", "audible",
        "a silent part is projected to a row",
        ("tests/models/test_heads.py::test_a_silent_part_has_a_row_of_zeros_and_the_other_part_all_the_weight",),
    ),
    Mutant(
        f"{_MODELS}/heads.py", "if not np.isfinite(tensor).all():", "if np.isinf(tensor).any():",
        "weights that are not a number are loaded", ("tests/models/test_heads.py",),
    ),
    Mutant(
        f"{_MODELS}/recipes.py", "if found != body.get(\"weights_sha256\"):", "if False:",
        "weights of another model are loaded", ("tests/models/test_recipes.py",),
    ),
    Mutant(
        f"{_MODELS}/recipes.py", "math.isfinite(sigma) and sigma > 0", "math.isfinite(sigma) and sigma >= 0",
        "a standard deviation of 0 is accepted", ("tests/models/test_recipes.py",),
    ),
    Mutant(
        f"{_MODELS}/recipes.py", "[table, weights, *made_with]", "[table, *made_with]",
        "new weights do not need new rows", ("tests/backbones/test_onsets_and_lines.py",),
    ),
)  # fmt: skip
