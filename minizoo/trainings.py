"""Train the networks of all tasks, and compare each with what does not look at the picture.

A network that is finished, here or elsewhere, is never trained again: its weights and what made them lie in
`Workplace.home`, where they ship.
"""

import json
import math
from dataclasses import replace

from minizoo.dataset import Views
from minizoo.errors import RecipeChangedError
from minizoo.networks import fold_luma, quiet_units, weights_bytes
from minizoo.paths import write_bytes
from minizoo.readouts import Split, codes_of, encode, readout, untrained, wanted
from minizoo.training import Trained, arithmetic, best_constant, describe, judge, train
from minizoo.workplace import LOOKS, Workplace, claim, short_digest, spread

__all__ = ["train_all"]


def train_all(place: Workplace, names: tuple[str, ...], *, deadline: float = math.inf) -> None:
    """Train the networks of these tasks, as many as nobody else trains.

    Raises
    ------
    RecipeChangedError
        What is finished, or under way, is of another course, task or other views.
    Stopped
        The deadline (of `time.monotonic`) passed; whole epochs are saved.
    """
    training, validation = place.views("training"), place.views("validation")
    for name in names:
        folder = place.folder / "runs" / name
        with claim(folder) as mine:
            if not mine:
                continue
            goal = place.goal(name, training)
            about = describe(goal, place.course, training.digest)
            if (made := place.training(name)) is not None:
                if made["about"] != about:
                    found, asked = (short_digest(json.dumps(text)) for text in (made["about"], about))
                    raise RecipeChangedError(place.training_file(name), found, asked)
                continue
            trained = train(
                goal, training, validation, folder, course=place.course, deadline=deadline, say=place.say
            )
            score = _score(place, trained, training, validation)
            if goal.task.sight == "hinted":
                fold_luma(trained.encoder)
            write_bytes(place.encoder_file(name), weights_bytes(trained.encoder))
            made = {
                "about": about,
                "arithmetic": arithmetic(place.course.bfloat16),
                "history": trained.history,
                "score": score,
            }
            write_bytes(place.training_file(name), json.dumps(made, indent=1).encode())
            place.say(f"{name}: {score['ratio']:.2f} of the best constant's loss")


def _score(place: Workplace, trained: Trained, training: Views, validation: Views) -> dict[str, object]:
    """Compare a network with the best constant and a readout of the untrained encoder."""
    test, goal = place.views("test"), trained.goal
    loss = float(judge(trained.encoder, trained.decoder, goal, test).mean())
    constant = float(best_constant(goal, training, test, steps=place.budget.constant_steps).mean())
    parts = Split(training, spread(validation, LOOKS), test)
    base = untrained(training, seed=place.course.seed, bottleneck=place.course.bottleneck)
    # On all training views, with twice the steps of a transfer: its loss no longer falls (see the notes).
    budget = replace(place.budget, steps=2 * place.budget.steps)
    codes, answers = encode(base, parts, goal.task.sight), wanted(goal, parts)
    random = float(readout(codes, answers, goal, budget=budget).mean())
    history = trained.history
    best = min(range(len(history)), key=lambda k: history[k]["validation"])
    sizes = {"training": len(training), "validation": len(validation), "test": len(test)}
    return {
        "task": goal.task.name,
        "group": goal.task.group,
        "loss": loss,
        "constant": constant,
        "random": random,
        "ratio": loss / constant,
        "ratio_random": loss / random,
        "training": history[best]["training"],
        "validation": history[best]["validation"],
        "epoch": best + 1,
        "epochs": len(history),
        "quiet_units": quiet_units(codes_of(trained.encoder, test, goal.task.sight)),
        "views": sizes,
    }
