"""The manifests of ``dashboards/kubernetes`` match the schemas of Kubernetes and the operator."""

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
"""Oldest and newest Kubernetes version that the manifests support."""
MOST_OF_A_CONFIG_MAP = 1 << 20
MOST_OF_ALL_ANNOTATIONS = 256 << 10
"""Bytes. ``kubectl apply`` keeps the whole manifest in an annotation."""

Manifest = dict[str, Any]


@pytest.fixture(scope="module")
def manifests() -> list[Manifest]:
    """Manifests that kustomize builds, as ``kubectl apply -k`` does."""
    return list(yaml.safe_load_all(succeed("kustomize", "build", KUBERNETES)))


@pytest.fixture(scope="module")
def rule_schema() -> Draft7Validator:
    """The operator's schema of a PrometheusRule, without unknown properties.

    Kubernetes would drop these.
    """
    definition = yaml.safe_load(find("prometheusrules.yaml").read_text())
    (version,) = definition["spec"]["versions"]
    assert (definition["spec"]["names"]["kind"], version["name"]) == ("PrometheusRule", "v1")
    return Draft7Validator(_closed(version["schema"]["openAPIV3Schema"]))


def _closed(schema: Any) -> Any:
    """Return the schema with unknown properties forbidden."""
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
    """Return the manifests of this kind."""
    return [one for one in manifests if one["kind"] == kind]


def test_kustomize_builds_every_manifest_of_the_folder(manifests: list[Manifest]) -> None:
    """No manifest is missing or duplicated."""
    files = {file.name for file in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert set(load("kubernetes/kustomization.yaml")["resources"]) == files
    names = [(one["kind"], one["metadata"]["name"]) for one in manifests]
    assert len(names) == len(set(names)) == len(files)


@pytest.mark.parametrize("version", [LEAST, LATEST])
def test_kubernetes_accepts_the_config_maps(manifests: list[Manifest], version: str) -> None:
    """They match the API's schema and have no unknown properties."""
    found = of_kind(manifests, "ConfigMap")
    assert len(found) == 4
    for manifest in found:
        kubernetes_validate.validate(manifest, version, strict=True)


def test_the_sidecar_finds_the_unchanged_boards(manifests: list[Manifest]) -> None:
    """Each ConfigMap has the sidecar's label and one board, the same as in ``grafana``."""
    found: dict[str, Any] = {}
    for manifest in of_kind(manifests, "ConfigMap"):
        assert manifest["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert manifest["metadata"]["annotations"]["grafana_folder"] == "GlueLLM pools"
        ((name, text),) = manifest["data"].items()
        found[name.removesuffix(".json")] = json.loads(text)
    assert found == boards()


def test_config_maps_stay_below_the_limits_of_kubernetes(manifests: list[Manifest]) -> None:
    """They stay below even with the annotation of ``kubectl apply``, a copy of the manifest."""
    for manifest in of_kind(manifests, "ConfigMap"):
        metadata = manifest["metadata"]
        assert sum(map(len, manifest["data"].values())) < MOST_OF_A_CONFIG_MAP
        kept = json.dumps(manifest, separators=(",", ":"))
        annotations = sum(len(key) + len(value) for key, value in metadata["annotations"].items())
        key = len("kubectl.kubernetes.io/last-applied-configuration")
        assert key + len(kept.encode()) + annotations < MOST_OF_ALL_ANNOTATIONS, metadata["name"]


def test_the_operator_accepts_the_rules(
    manifests: list[Manifest], rule_schema: Draft7Validator
) -> None:
    """They match its schema, and are the same as the rules for Prometheus."""
    (rule,) = of_kind(manifests, "PrometheusRule")
    assert rule["apiVersion"] == "monitoring.coreos.com/v1"
    own = {**rule, "metadata": {}}  # the schema does not describe the metadata of resources
    assert [error.message for error in rule_schema.iter_errors(own)] == []
    assert rule["spec"]["groups"] == groups()
