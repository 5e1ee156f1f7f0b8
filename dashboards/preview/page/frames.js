// Prometheus' answers as the data frames that Grafana's data source makes of them.
import {
  FieldType, createDataFrame, standardTransformers, standardTransformersRegistry, transformDataFrame,
} from '@grafana/data';
import { lastValueFrom } from 'rxjs';

// A set, since one of them is there by its old name too.
standardTransformersRegistry.setInit(() =>
  [...new Set(Object.values(standardTransformers))].map((transformation) => ({
    id: transformation.id,
    name: transformation.name,
    transformation: () => Promise.resolve(transformation),
  })),
);

export async function framesOf(panel) {
  const { targets, transformations = [] } = panel;
  const tables = targets.filter((target) => target.format === 'table').length;
  const frames = targets.flatMap((target) =>
    target.format === 'table' ? tableOf(target, tables) : seriesOf(target),
  );
  const active = transformations.filter((transformation) => !transformation.disabled);
  const unknown = active.find(({ id }) => !standardTransformersRegistry.getIfExists(id));
  if (unknown) {
    throw new Error(`The transformation ${unknown.id} is not in Grafana's npm packages.`);
  }
  return lastValueFrom(transformDataFrame(active, frames, { interpolate: (text) => text }));
}

function seriesOf({ refId, legend, interval, result }) {
  return result.map(({ metric, values, value }) => {
    const points = values ?? [value];
    const { __name__, ...labels } = metric;
    return createDataFrame({
      refId,
      // Null where there is no sample: the panel breaks its line after one interval without any.
      fields: [
        {
          name: 'Time', type: FieldType.time, values: points.map(([at]) => at * 1000),
          config: { interval: interval * 1000 },
        },
        {
          name: 'Value', type: FieldType.number, labels, values: points.map(([, found]) => Number(found)),
          config: { displayNameFromDS: named(legend, metric) },
        },
      ],
    });
  });
}

function named(legend, metric) {
  if (legend && legend !== '__auto') {
    return legend.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, label) => metric[label] ?? '');
  }
  const { __name__ = '', ...labels } = metric;
  const listed = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
  return listed.length || !__name__ ? `${__name__}{${listed.join(', ')}}` : __name__;
}

function tableOf({ refId, result }, tables) {
  if (!result.length) {
    return [];
  }
  const rows = result.flatMap(({ metric, values, value }) =>
    (values ?? [value]).map(([at, found]) => ({ metric, at: at * 1000, found: Number(found) })),
  );
  const labels = [...new Set(rows.flatMap(({ metric }) => Object.keys(metric)))].sort();
  return [
    createDataFrame({
      refId,
      fields: [
        { name: 'Time', type: FieldType.time, values: rows.map(({ at }) => at) },
        ...labels.map((label) => ({
          name: label, type: FieldType.string, values: rows.map(({ metric }) => metric[label] ?? null),
        })),
        {
          // The letter tells the columns of several queries apart.
          name: tables > 1 ? `Value #${refId}` : 'Value', type: FieldType.number,
          values: rows.map(({ found }) => found),
        },
      ],
    }),
  ];
}
