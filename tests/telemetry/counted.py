"""What the metrics say of what happens in a test."""

from __future__ import annotations

import prometheus_client

Key = tuple[str, frozenset[tuple[str, str]]]


class Counted:
    """The metrics of this package in the default registry, since this was made."""

    def __init__(self) -> None:
        self._before = all_values()

    def __call__(self, name: str, **labels: str) -> float:
        """How much one has risen by: the sum of those with these labels. To a µs: of
        what other tests have counted, rounding errors are left."""
        wanted = set(labels.items())
        risen = sum(
            value - self._before.get(key, 0.0)
            for key, value in all_values().items()
            if key[0] == f"aai_stream_{name}" and wanted <= key[1]
        )
        return round(risen, 6)

    def of_each(self, name: str, label: str) -> dict[str, float]:
        """The same, by the values of a label; those that haven't risen left out."""
        values = {
            value
            for key in all_values()
            if key[0] == f"aai_stream_{name}"
            for one, value in key[1]
            if one == label
        }
        risen = {value: self(name, **{label: value}) for value in values}
        return {value: by for value, by in risen.items() if by}


def all_values() -> dict[Key, float]:
    """All samples of ours."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for metric in prometheus_client.REGISTRY.collect()
        if metric.name.startswith("aai_stream_")
        for sample in metric.samples
    }
