"""What other programs read of ``dashboards``: Kubernetes, kustomize, Jsonnet, Mimir, Grafana."""
