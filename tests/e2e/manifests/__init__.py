"""Files of ``dashboards`` for Kubernetes, kustomize, Jsonnet, Mimir and Grafana."""
