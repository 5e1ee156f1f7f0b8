"""The programs: services of many instances each, and the labels that distinguish them."""

import random
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

_SERVICES: Final = (
    "answers search summaries support translations moderation labels reports drafts assistant"
).split()
_CLUSTERS: Final = ("east", "west")
_VERSIONS: Final = ("1.4.2", "1.5.0")


@dataclass(frozen=True, slots=True)
class Service:
    """One service: labels that all of its instances share, and those of each."""

    labels: Mapping[str, str]
    instances: Sequence[Mapping[str, str]]


def services(instances: int) -> list[Service]:
    """Up to ten services, on two clusters, in two versions; the same each time."""
    chance = random.Random(instances)
    found = []
    for number, name in enumerate(names := _SERVICES[:instances]):
        namespace = f"team-{number % 4}"
        labels = {
            "job": f"{namespace}/{name}",
            "service_name": name,
            "service_namespace": namespace,
            "deployment_environment_name": "production",
            "k8s_cluster_name": _CLUSTERS[number % len(_CLUSTERS)],
            "k8s_namespace_name": namespace,
        }
        count = len(range(number, instances, len(names)))
        found.append(Service(labels, [_instance(name, index, chance) for index in range(count)]))
    return found


def _instance(service: str, index: int, chance: random.Random) -> dict[str, str]:
    instance = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    return {
        "instance": instance,
        "service_instance_id": instance,
        "service_version": _VERSIONS[index % len(_VERSIONS)],
        "k8s_pod_name": f"{service}-{chance.getrandbits(40):010x}-{chance.getrandbits(20):05x}",
    }
