"""The sections whose sentences Python still makes, until each has its `facts/NAME.py` and `sections/NAME.typ`."""

import importlib
import importlib.util
from typing import Any

from common.settings import Problem

from report.setting_names import settings_of

MODULES = {"cifar10_cnn": "image_nets", "mnist_cnn": "image_nets"}


def section(name: str, found: dict[str, Any]) -> dict[str, Any]:
    """What the old layout shows of a history, its settings among it."""
    module = importlib.import_module(f"report.{MODULES.get(name, name)}")
    for unit, results in found["results"].items():
        if hasattr(module, "is_unit"):
            layers = getattr(module, "LAYERS", {}).get(found["experiment"])
            usable = module.is_unit(layers, unit, results) if name in MODULES else module.is_unit(unit, results)
        else:
            needed = module.needed(unit) if hasattr(module, "needed") else module.NEEDED
            usable = all(each in results for each in needed)
        if not usable:
            raise Problem("not its results")
    return {"settings": settings_of(found), **getattr(module, name if name in MODULES else "section")(found)}


def drawings(experiment: str) -> tuple[str, ...]:
    """Names of the figures that an old section shows."""
    name = experiment.split("/")[1]
    module = importlib.import_module(f"report.{MODULES.get(name, name)}")
    return module.FIGURES[experiment] if name in MODULES else module.FIGURES


def compare(sections: dict[str, Any], histories: dict[str, Any]) -> None:
    """What both image sections say of each other, while both are old."""
    if importlib.util.find_spec("report.image_nets"):
        importlib.import_module("report.image_nets").compare_tasks(sections, histories)
