// Written by `make dashboards` from gluellm_dashboards/elsewhere.py; never edit it here.
{
  grafanaDashboardFolder: 'GlueLLM pools',
  grafanaDashboards+:: {
    'gluellm-overview.json': import 'grafana/gluellm-overview.json',
    'gluellm-pool.json': import 'grafana/gluellm-pool.json',
    'gluellm-provider.json': import 'grafana/gluellm-provider.json',
    'gluellm-fleet.json': import 'grafana/gluellm-fleet.json',
  },
  prometheusRules+:: { groups+: std.parseYaml(importstr 'prometheus/recording.yaml').groups },
  prometheusAlerts+:: { groups+: std.parseYaml(importstr 'prometheus/alerts.yaml').groups },
}
