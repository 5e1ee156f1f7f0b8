// One panel, drawn with the visualisations that @grafana/ui has.
import {
  FieldType, dateTime, getDisplayValueAlignmentFactors, getFieldDisplayValues, renderMarkdown,
} from '@grafana/data';
import { BigValue, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';

import { configured } from './fields.js';

const LEGEND = { showLegend: true, displayMode: 'list', placement: 'bottom', calcs: [] };

export function Panel({ panel, frames, error, width, height, theme, range, annotations }) {
  if (error) {
    return <Said text={error} theme={theme} />;
  }
  if (panel.type === 'text') {
    return <Text panel={panel} />;
  }
  const Visualisation = VISUALISATIONS[panel.type];
  if (!Visualisation) {
    const why = `Not drawn in this preview: Grafana's npm packages have no ${panel.type} visualisation.`;
    return <Said text={why} theme={theme} />;
  }
  const { data, fieldConfig } = configured(panel, frames, theme);
  const options = panel.options ?? {};
  // A stat says by itself that it has nothing.
  if (panel.type !== 'stat' && !data.some((frame) => frame.length)) {
    return <Said text={fieldConfig.defaults.noValue ?? 'No data'} theme={theme} />;
  }
  return <Visualisation {...{ data, fieldConfig, options, width, height, theme, range, annotations, panel }} />;
}

// A ratio of nothing to nothing is NaN, on which no axis can be laid out: a gap, as in Grafana's panel.
const finite = (field) =>
  field.type === FieldType.number
    ? { ...field, values: field.values.map((value) => (Number.isFinite(value) ? value : null)) }
    : field;

// As Grafana's panel does it: after the last sample of a line that ends before the range does there is
// nothing, which is what a legend then says.
function broken(frame, end) {
  const time = frame.fields.find(({ type }) => type === FieldType.time);
  const last = time?.values.at(-1);
  if (!(last + time?.config.interval < end)) {
    return frame;
  }
  const fields = frame.fields.map((field) => ({
    ...field, values: [...field.values, field === time ? last + time.config.interval : null],
  }));
  return { ...frame, fields, length: frame.length + 1 };
}

function Graph({ data, options, width, height, theme, range, annotations }) {
  const marks = (builder) => {
    builder.addHook('draw', (plot) => annotations.forEach((one) => mark(plot, one, theme)));
    return null;
  };
  return (
    <TimeSeries
      frames={data.map((frame) => broken({ ...frame, fields: frame.fields.map(finite) }, range.to.valueOf()))}
      width={width} height={height} timeRange={range} timeZone="utc" legend={{ ...LEGEND, ...options.legend }}
    >
      {marks}
    </TimeSeries>
  );
}

// A dashed line over the plot and a triangle below it, as Grafana marks an annotation.
function mark(plot, { color, times }, theme) {
  const { ctx, bbox } = plot;
  const ratio = devicePixelRatio;
  ctx.save();
  ctx.strokeStyle = ctx.fillStyle = theme.visualization.getColorByName(color);
  ctx.lineWidth = ratio;
  for (const at of times) {
    const x = plot.valToPos(at, 'x', true);
    if (x < bbox.left || x > bbox.left + bbox.width) {
      continue;
    }
    const bottom = bbox.top + bbox.height;
    ctx.setLineDash([4 * ratio, 4 * ratio]);
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bottom);
    ctx.stroke();
    ctx.beginPath();
    ctx.moveTo(x, bottom);
    ctx.lineTo(x - 5 * ratio, bottom + 6 * ratio);
    ctx.lineTo(x + 5 * ratio, bottom + 6 * ratio);
    ctx.fill();
  }
  ctx.restore();
}

function displayed({ data, fieldConfig, options, theme }, sparkline) {
  const reduceOptions = { calcs: ['lastNotNull'], values: false, ...options.reduceOptions };
  return getFieldDisplayValues({
    fieldConfig, reduceOptions, theme, sparkline, data, replaceVariables: (text) => text, timeZone: 'utc',
  });
}

function Stat(props) {
  const { options, width, height, theme, data, panel, fieldConfig } = props;
  const { colorMode = 'value', graphMode = 'area', justifyMode = 'auto', orientation = 'auto', text } = options;
  const named = fieldConfig.defaults.displayName || !panel.title;
  const textMode = (options.textMode ?? 'auto') === 'auto' && named ? 'value_and_name' : options.textMode ?? 'auto';
  return (
    <VizRepeater
      getValues={() => displayed(props, graphMode !== 'none')}
      getAlignmentFactors={getDisplayValueAlignmentFactors}
      renderValue={({ value, alignmentFactors, width, height, count }) => (
        <BigValue
          value={value.display} sparkline={value.sparkline} text={text}
          {...{ alignmentFactors, width, height, count, colorMode, graphMode, justifyMode, textMode, theme }}
          wideLayout={options.wideLayout ?? true}
        />
      )}
      source={data} renderCounter={0} autoGrid {...{ width, height, orientation }}
    />
  );
}

function Table({ data, fieldConfig, options, width, height, range }) {
  return (
    <TableNG
      data={data[options.frameIndex ?? 0]} noHeader={options.showHeader === false} sortBy={options.sortBy}
      cellHeight={options.cellHeight ?? 'sm'} timeRange={range} getActions={() => []}
      {...{ width, height, fieldConfig }}
    />
  );
}

function Text({ panel }) {
  const html = renderMarkdown(panel.options.content);
  return <div className="markdown-html" dangerouslySetInnerHTML={{ __html: html }} />;
}

function Said({ text, theme }) {
  const style = {
    display: 'flex', height: '100%', alignItems: 'center', justifyContent: 'center', textAlign: 'center',
    padding: theme.spacing(1), color: theme.colors.text.secondary, ...theme.typography.body,
  };
  return <div style={style}>{text}</div>;
}

const VISUALISATIONS = { timeseries: Graph, stat: Stat, table: Table };

export const rangeOf = ({ from, to }) => {
  const [start, end] = [dateTime(from).utc(), dateTime(to).utc()];
  return { from: start, to: end, raw: { from: start, to: end } };
};
