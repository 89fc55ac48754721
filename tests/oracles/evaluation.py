"""Literal twins of `modelatlas.evaluation`: sets, loops, full enumeration."""

import itertools
import math

import numpy as np


def order(values, names):
    """Names by falling value, ties by name."""
    return [name for _, name in sorted((-value, name) for name, value in zip(names, values, strict=True))]


def hits_at(predicted, measured, names, *, relevant):
    """For K = 1, 2, ...: how many of the best measured are among our first K."""
    ours, theirs = order(predicted, names), set(order(measured, names)[:relevant])
    return [len(theirs & set(ours[:k])) for k in range(1, len(names) + 1)]


def average_rank(values, index):
    """Rank of one entry from 1, the smallest first; equal ones share the mean of their places."""
    below = sum(value < values[index] for value in values)
    same = sum(value == values[index] for value in values)
    return below + (same + 1) / 2


def fixed_list(measured):
    """For each target: a source's mean relative rank in the columns of the other targets."""
    rows, columns = len(measured), len(measured[0])
    out = [[math.nan] * columns for _ in range(rows)]
    for target in range(columns):
        for source in range(rows):
            places = []
            for other in range(columns):
                known = [measured[s][other] for s in range(rows) if not math.isnan(measured[s][other])]
                if other != target and not math.isnan(measured[source][other]):
                    place = known.index(measured[source][other])
                    places.append(average_rank(known, place) / len(known))
            if places:
                out[source][target] = sum(places) / len(places)
    return out


def mantel(first, second):
    """Exact p: share of all orders of the models whose correlation is at least the one observed."""
    models = range(len(first))
    pairs = [(i, j) for i in models for j in models if i != j]

    def correlation(order):
        a = [first[i][j] for i, j in pairs]
        b = [second[order[i]][order[j]] for i, j in pairs]
        return np.corrcoef(a, b)[0, 1]

    observed = correlation(list(models))
    values = [correlation(order) for order in itertools.permutations(models)]
    return sum(value >= observed - 1e-12 for value in values) / len(values)


def win_rate(first, second):
    """Share of images on which the first has the smaller loss, ties count half."""
    return sum((a < b) + 0.5 * (a == b) for a, b in zip(first, second, strict=True)) / len(first)


def principal_column(rates):
    """Power iteration on the matrix of clipped odds."""
    size = len(rates)
    clipped = [[min(0.999, max(0.001, rate)) for rate in row] for row in rates]
    odds = np.array([[clipped[i][j] / clipped[j][i] for j in range(size)] for i in range(size)])
    vector = np.full(size, 1 / size)
    for _ in range(5000):
        vector = odds @ vector
        vector /= vector.sum()
    return vector


def bakers_gamma_indices(cut, leaves):
    """For each pair: the largest number of clusters of a cut that still holds both (Baker 1974)."""
    return {
        (i, j): max(k for k in range(1, leaves + 1) if cut(k)[i] == cut(k)[j])
        for i in range(leaves)
        for j in range(i + 1, leaves)
    }
