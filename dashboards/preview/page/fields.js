// Field configuration as Grafana applies it: the visualisation's defaults below the panel's own, then
// its overrides. Grafana registers the properties in its core application, which is not on npm, so
// they are registered here by the names that the board uses.
import { FieldType, Registry, applyFieldOverrides, cacheFieldDisplayNames } from '@grafana/data';
import { merge } from 'lodash';

const STANDARD = [
  'displayName', 'unit', 'min', 'max', 'decimals', 'noValue', 'color', 'thresholds', 'mappings', 'links',
  'description', 'filterable', 'fieldMinMax',
];
const OF_NUMBERS = new Set(['min', 'max', 'decimals', 'color', 'thresholds']);

// What a panel has that says nothing, by visualisation: Grafana's own defaults.
const THRESHOLDS = { mode: 'absolute', steps: [{ value: null, color: 'green' }, { value: 80, color: 'red' }] };
const DEFAULTS = {
  timeseries: {
    color: { mode: 'palette-classic' },
    custom: {
      drawStyle: 'line', lineInterpolation: 'linear', lineWidth: 1, fillOpacity: 0, gradientMode: 'none',
      showPoints: 'auto', pointSize: 5, spanNulls: false, stacking: { mode: 'none', group: 'A' },
      axisPlacement: 'auto', barAlignment: 0, barWidthFactor: 0.6, scaleDistribution: { type: 'linear' },
      thresholdsStyle: { mode: 'off' }, hideFrom: { tooltip: false, viz: false, legend: false },
    },
  },
  table: { custom: { align: 'auto', inspect: false, cellOptions: { type: 'auto' } } },
};

export function configured(panel, frames, theme) {
  const config = panel.fieldConfig ?? { defaults: {}, overrides: [] };
  const defaults = merge(
    { color: { mode: 'thresholds' }, mappings: [] },
    DEFAULTS[panel.type],
    config.defaults,
  );
  // Not merged: steps of the default would stay beside the panel's own.
  defaults.thresholds = unbounded(config.defaults?.thresholds ?? THRESHOLDS);
  const overrides = (config.overrides ?? []).map((rule) => ({
    ...rule,
    properties: rule.properties.map(({ id, value }) => ({
      id,
      value: id === 'thresholds' ? unbounded(value) : value,
    })),
  }));
  const fieldConfig = { defaults, overrides };
  const data = applyFieldOverrides({
    data: frames,
    fieldConfig,
    fieldConfigRegistry: registry(fieldConfig),
    replaceVariables: (text) => text,
    theme,
    timeZone: 'utc',
  });
  cacheFieldDisplayNames(data); // Tables take a column's new name from there.
  return { data, fieldConfig };
}

// JSON has no infinity: null is the step below all values.
function unbounded(thresholds) {
  const steps = thresholds.steps.map((step) => ({ ...step, value: step.value ?? -Infinity }));
  return { ...thresholds, steps };
}

function registry({ defaults, overrides }) {
  const used = overrides.flatMap((rule) => rule.properties.map((property) => property.id));
  const custom = new Set([
    ...Object.keys(defaults.custom ?? {}),
    ...used.filter((id) => id.startsWith('custom.')).map((id) => id.slice('custom.'.length)),
  ]);
  const property = (path, isCustom) => ({
    id: isCustom ? `custom.${path}` : path,
    path,
    name: path,
    isCustom,
    process: (value) => value,
    shouldApply: (field) => !OF_NUMBERS.has(path) || isCustom || field.type === FieldType.number,
  });
  return new Registry(() => [
    ...STANDARD.map((path) => property(path, false)),
    ...[...custom].map((path) => property(path, true)),
  ]);
}
