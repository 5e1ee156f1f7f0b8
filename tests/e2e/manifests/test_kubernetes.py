"""The manifests of ``dashboards/kubernetes`` against the schemas of what reads them."""

import json
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft7Validator

from e2e.running import find, succeed

from ..files import DASHBOARDS, boards, groups, load

KUBERNETES = DASHBOARDS / "kubernetes"
LEAST, LATEST = "1.31", "1.37"
"""Kubernetes versions that the manifests are for."""
MOST_OF_A_CONFIG_MAP = 1 << 20
MOST_OF_ALL_ANNOTATIONS = 256 << 10
"""Bytes. ``kubectl apply`` keeps the whole manifest in an annotation."""

Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    """What kustomize makes of the folder, as ``kubectl apply -k`` does."""
    return list(yaml.safe_load_all(succeed("kustomize", "build", KUBERNETES)))


@pytest.fixture(scope="module")
def rule_schema() -> Draft7Validator:
    """The operator's schema of a PrometheusRule, strict: Kubernetes would drop what it lacks."""
    definition = yaml.safe_load(find("prometheusrules.yaml").read_text())
    (version,) = definition["spec"]["versions"]
    assert (definition["spec"]["names"]["kind"], version["name"]) == ("PrometheusRule", "v1")
    return Draft7Validator(_closed(version["schema"]["openAPIV3Schema"]))


def _closed(schema: Any) -> Any:
    """The schema without room for properties that it doesn't name."""
    if isinstance(schema, list):
        return [_closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: _closed(value) for key, value in schema.items()}
    if "properties" in schema:
        closed.setdefault("additionalProperties", False)
    if schema.get("x-kubernetes-int-or-string"):
        del closed["anyOf"]
        closed["type"] = ["integer", "string"]
    return closed


def of_kind(manifests: list[Manifest], kind: str) -> list[Manifest]:
    """Those of this kind."""
    return [one for one in manifests if one["kind"] == kind]


def test_kustomize_builds_every_manifest_of_the_folder(manifests: list[Manifest]) -> None:
    """None is left out, and none is there twice."""
    files = {file.name for file in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(load("kubernetes/kustomization.yaml")["resources"]) == files
    names = [(one["kind"], one["metadata"]["name"]) for one in manifests]
    assert len(names) == len(set(names)) == len(files)


@pytest.mark.parametrize("version", [LEAST, LATEST])
def test_kubernetes_takes_the_config_maps(manifests: list[Manifest], version: str) -> None:
    """By the schema of its API, with nothing that it doesn't know."""
    found = of_kind(manifests, "ConfigMap")
    assert len(found) == 4
    for manifest in found:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_sidecar_finds_the_boards_as_they_are(manifests: list[Manifest]) -> None:
    """By its label, each in a file of its own name, the same as in ``grafana``."""
    found: dict[str, Any] = {}
    for manifest in of_kind(manifests, "ConfigMap"):
        assert manifest["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert manifest["metadata"]["annotations"]["grafana_folder"] == "GlueLLM pools"
        ((name, text),) = manifest["data"].items()
        found[name.removesuffix(".json")] = json.loads(text)
    assert found == boards()


def test_config_maps_stay_below_the_limits_of_kubernetes(manifests: list[Manifest]) -> None:
    """Also where ``kubectl apply`` adds the whole of it as an annotation."""
    for manifest in of_kind(manifests, "ConfigMap"):
        metadata = manifest["metadata"]
        assert sum(map(len, manifest["data"].values())) < MOST_OF_A_CONFIG_MAP
        kept = json.dumps(manifest, separators=(",", ":"))
        annotations = sum(len(key) + len(value) for key, value in metadata["annotations"].items())
        key = len("kubectl.kubernetes.io/last-applied-configuration")
        assert key + len(kept.encode()) + annotations < MOST_OF_ALL_ANNOTATIONS, metadata["name"]


def test_the_operator_takes_the_rules(
    manifests: list[Manifest], rule_schema: Draft7Validator
) -> None:
    """By its schema, with nothing that it doesn't know; and they are those of Prometheus."""
    (rule,) = of_kind(manifests, "PrometheusRule")
    assert rule["apiVersion"] == "monitoring.coreos.com/v1"
    own = {**rule, "metadata": {}}  # which every resource has: it is not in this schema
    assert [error.message for error in rule_schema.iter_errors(own)] == []
    assert rule["spec"]["groups"] == groups()
