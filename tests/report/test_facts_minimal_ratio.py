"""Facts of the points of almost zero gradient on made-up trainings: each guard true and false, both rules of C6."""

import functools

from common import figures

import numpy as np
import pytest
import scaffold

from hw1_2 import minimal_ratio as script
from hw1_2 import plot_minimal_ratio
from report import claims
from report.facts import minimal_ratio

COUNT = 20


def net(hidden: int, live=(0, 2), losses=(0.3, 0.1, 0.01), parameters: int = 13) -> dict:
    """Trainings that end in saddles with so many live units, each half of the first ten, and in channels but for two.

    losses: of the saddles with the first and second number of live units, and of the lowest minimum.
    """
    seeds = np.arange(COUNT)
    saddle = seeds < COUNT // 2
    width = np.where(saddle, np.where(seeds % 2, live[1], live[0]), hidden)
    index = np.where(saddle, hidden - width, 0)
    loss = np.where(saddle, np.where(seeds % 2, losses[1], losses[0]), losses[2] * (1 + seeds / COUNT))
    channel = ~saddle & (seeds < COUNT - 2)
    sampled = np.where(width == 0, 0.9, 1.0)
    return {
        "parameters": parameters,
        "loss": loss,
        "kind": np.where(saddle, "saddle", "minimum").tolist(),
        "index": index,
        "positive_share": 1 - index / parameters,
        "negative_share": index / parameters,
        "predicted": sampled,
        "sampled": np.repeat(sampled[:, None], 5, axis=1),
        "start": saddle.astype(int),
        "gradient_norm": np.full(COUNT, 1e-10),
        "adam_norm": np.full(COUNT, 3e-3),
        "constant": width == 0,
        "channel": channel,
        "effective_width": width,
        "weight_norm": np.where(channel, 700.0, 13.0),
        "newton_step": np.where(channel, 200.0, 1e-10),
    }


def with_ridge(sign: int = 1, points: int = 40, copies: int = 1) -> dict:
    """Trainings with a ridge that end in so many critical points, each met by some; a lower loss has a lower index.

    sign: -1 where a lower loss has a higher index, 0 where neither.
    """
    place = np.tile(np.arange(points), copies)
    order = place if sign > 0 else points - place if sign < 0 else place * 7 % 10
    index = order * 8 // points
    results = net(4) | {
        "loss": 0.01 + 0.001 * place,
        "index": index,
        "positive_share": 1 - index / 13,
        "negative_share": index / 13,
    }
    results |= {"kind": np.where(index > 0, "saddle", "minimum").tolist()}
    results |= {"sampled": np.repeat(1 - index[:, None] / 20, 5, axis=1), "predicted": 1 - index / 20}
    same = {"start": 0, "gradient_norm": 1e-10, "adam_norm": 1e-3, "constant": False, "channel": False}
    same |= {"effective_width": 4, "weight_norm": 9.0, "newton_step": 1e-10}
    return (
        results | {name: np.full(len(place), value) for name, value in same.items()} | {"distinct": list(range(points))}
    )


def recipe() -> dict:
    random = np.random.default_rng(0)
    still = {"norm_before": np.full(COUNT, 0.1), "norm_after": np.full(COUNT, 0.1), "by_slope": np.full(COUNT, 0.98)}
    ratios = {"ratio": random.uniform(0.1, 0.9, COUNT), "exact_ratio": random.uniform(0.4, 0.6, COUNT)}
    return still | ratios


def made_up() -> dict:
    """A history in which every guard holds but those of TRUE."""
    results = {"1-4-1": net(4), "1-8-1": net(8, losses=(0.3, 0.1, 1e-6)), "1-40-40-1": recipe()}
    results |= {f"ridge-1e-4/{function}/1-4-1": with_ridge() for function in ("f1", "f2")}
    return scaffold.made_up("hw1_2/minimal_ratio", results, {"sphere_points": 100})


def changed(unit: str, **values) -> dict:
    """Other values of some results of a unit, made up as in `made_up`."""
    return {unit: made_up()["results"][unit] | values}


FALSE = {  # what makes each guard false
    "mirages": changed("1-4-1", channel=[False] * COUNT),
    "never_arrives": changed("1-8-1", newton_step=[1e-9] * COUNT),
    "weights_explode": changed("1-4-1", weight_norm=[9.0] * COUNT),
    "index_is_missing_units": changed("1-4-1", index=(net(4)["index"] + 1).tolist()),
    "same_narrow_net": {"1-8-1": net(8, losses=(0.3, 0.2, 1e-6))},
    "as_eigenvalues_predict": changed("1-4-1", predicted=[0.9] * COUNT),
    "sphere_misses_saddles": changed("1-4-1", sampled=[[0.9] * 5] * COUNT),
    "starts_choose_the_kind": changed("1-4-1", start=[0] * COUNT),
    "first_holds": {"1-4-1": net(4, losses=(0.001, 0.002, 0.01))},
    "once_unclear": {"1-4-1": with_ridge()},
    "ridge_blurs_the_index": {f"ridge-1e-4/{function}/1-4-1": net(4) | {"distinct": [0]} for function in ("f1", "f2")},
    "ridge_by_index": {"ridge-1e-4/f2/1-4-1": with_ridge(-1)},
    "ridge_sphere_undecided": {},
    "recipe_stands_still": changed("1-40-40-1", norm_after=[0.01] * COUNT),
    "recipe_follows_the_slope": changed("1-40-40-1", by_slope=[0.5] * COUNT),
    "recipe_is_round_off": changed("1-40-40-1", ratio=recipe()["exact_ratio"].tolist()),
}


def history_with(others: dict) -> dict:
    """The history with other results in the places of some units."""
    return made_up() | {"results": made_up()["results"] | scaffold.made_up("", others)["results"]}


BLIND = {"ridge-1e-4/f2/1-4-1": with_ridge() | {"sampled": [[1.0] * 5] * 40}}
TRUE = {"ridge_sphere_undecided": functools.partial(history_with, BLIND)}
test_guards = scaffold.guard_tests(
    minimal_ratio.facts,
    {name: (TRUE.get(name, made_up), functools.partial(history_with, others)) for name, others in FALSE.items()},
)
test_partial = scaffold.partial_tests(minimal_ratio.facts, made_up)


# --------------------------------------------------------------------------------------------- the rules of C6


@pytest.mark.parametrize(
    ("arms", "verdict"),
    [
        ([with_ridge(), with_ridge()], claims.HOLDS),
        ([with_ridge(), with_ridge(0)], claims.UNCLEAR),
        ([with_ridge(-1), with_ridge(-1)], claims.FAILS),
        ([with_ridge(), with_ridge(-1, points=29)], claims.HOLDS),  # too few distinct points to be judged
        ([with_ridge(points=29, copies=4)], claims.UNCLEAR),  # none is judged, however often each point is met
        ([], claims.UNCLEAR),
    ],
)
def test_the_second_rule_needs_every_judged_arm(arms, verdict):
    results = {f"ridge-1e-{place}/f1/1-4-1": arm for place, arm in enumerate(arms)}
    assert minimal_ratio.facts(scaffold.made_up("", results))["claims"][0]["verdict"] == verdict


def test_rank_correlations_are_those_of_scipy():
    from scipy import stats

    first, second = np.random.default_rng(2).integers(0, 5, (2, 6, 20)).astype(float)
    found = minimal_ratio.rank_correlations(first, second)
    np.testing.assert_allclose(found, [stats.spearmanr(*rows)[0] for rows in zip(first, second, strict=True)])
    assert np.isnan(minimal_ratio.rank_correlations(np.ones((1, 5)), second[:1, :5]))[0]


def test_losses_that_differ_by_round_off_are_one_level():
    losses = np.array([0.3, 0.1, 0.1 + 1e-9, 1e-8, 0.3 - 1e-9, 2e-8])
    assert minimal_ratio.levels(losses, minimal_ratio.LEVEL).tolist() == [3, 2, 2, 0, 3, 1]
    stopped_sooner = np.array([0.05467517, 0.05467526, 0.0801, 0.0547])
    assert minimal_ratio.levels(stopped_sooner, minimal_ratio.LEVEL).tolist() == [0, 1, 3, 2]
    assert minimal_ratio.levels(stopped_sooner, minimal_ratio.ONE_PLACE).tolist() == [0, 0, 2, 1]


# ------------------------------------------------------------------------------------------------- figures


@pytest.mark.parametrize("lacking", ["", "1-4-1", "1-8-1", "1-", "ridge-", "1-40-40-1"])
def test_figures_say_what_is_missing_and_no_words_overlap(lacking):
    from test_figures import assert_apart, canvas

    figures.use_style()
    history = made_up()
    history = scaffold.without(history, *(unit for unit in history["results"] if lacking and unit.startswith(lacking)))
    missing = {"1-4-1": (2, 0, 0, 1), "1-8-1": (0, 1, 0, 0), "1-": (3, 1, 0, 4), "ridge-": (1, 0, 1, 0)}
    missing |= {"1-40-40-1": (0, 0, 0, 1)}
    for (title, draw), count in zip(plot_minimal_ratio.FIGURES.items(), missing.get(lacking, (0,) * 4), strict=True):
        figure = draw(history)
        assert np.asarray(canvas(figure).buffer_rgba())[..., :3].std() > 5
        assert_apart(figure, title)
        words = [text.get_text() for axes in figure.axes for text in axes.texts]
        assert sum("not measured yet" in text for text in words) == count, title


def test_points_of_one_place_are_one_mark():
    ratio, loss = np.array([1, 1, 0.5, 1, 1]), np.array([0.1, 0.10001, 0.1, 0.2, 0.1])
    assert plot_minimal_ratio.marks(ratio, loss) == [(0.5, 0.1, 1), (1, 0.1, 3), (1, 0.2, 1)]


def test_figures_and_facts_speak_of_the_same():
    for name in ("NETS", "JUDGED", "RECIPE", "RIDGE", "RADIUS"):
        assert getattr(plot_minimal_ratio, name) == getattr(minimal_ratio, name)
    assert {*minimal_ratio.NETS, minimal_ratio.RECIPE} == set(script.PAPER.nets)
