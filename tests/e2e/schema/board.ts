// Types of a board's JSON, from @grafana/schema, as strict as literals can be checked.
import type * as schema from '@grafana/schema';

// In JSON, the members of an enumeration are their values.
export type Json<T> = 0 extends 1 & T
  ? T
  : T extends string
    ? `${T}`
    : T extends number | boolean | null | undefined
      ? T
      : T extends readonly (infer Item)[]
        ? Json<Item>[]
        : T extends object
          ? { [Key in keyof T]: Json<T[Key]> }
          : T;

// A type of the data source's plug-in, which no package publishes.
interface PrometheusQuery extends schema.DataQuery {
  datasource: schema.DataSourceRef;
  expr: string;
  exemplar?: boolean;
  format?: 'time_series' | 'table' | 'heatmap';
  instant?: boolean;
  interval?: string;
  legendFormat?: string;
  range?: boolean;
}

// Properties that the same plug-in reads in annotations. `expr` and `step` are the older form of
// `target`.
interface PrometheusAnnotation extends Omit<schema.AnnotationQuery, 'target'> {
  target: PrometheusQuery;
  expr?: string;
  step?: string;
  tagKeys?: string;
  textFormat?: string;
  titleFormat?: string;
}

// A type of @grafana/data, which the schema replaces by `any[]`.
interface DataLink {
  title: string;
  url: string;
  targetBlank?: boolean;
}

type Field = Omit<schema.FieldConfig, 'custom' | 'links'> & { links?: DataLink[] };

type Property<Custom> =
  | { [Name in keyof Field]-?: { id: Name; value: Json<Field[Name]> } }[keyof Field]
  | {
      [Name in keyof Custom & string]-?: { id: `custom.${Name}`; value: Json<Custom[Name]> };
    }[keyof Custom & string];

interface FieldsOf<Custom> {
  defaults: Json<Field> & { custom?: Json<Partial<Custom>> };
  overrides: { matcher: Json<schema.MatcherConfig>; properties: Property<Custom>[] }[];
}

// Grafana adds missing defaults at the first level of `options` and `custom`.
export type Panel<Type extends string, Options, Custom> = Omit<
  Json<schema.Panel>,
  'type' | 'options' | 'fieldConfig' | 'targets'
> & {
  type: Type;
  options: Json<Partial<Options>>;
  fieldConfig?: FieldsOf<Custom>;
  targets?: Json<PrometheusQuery>[];
};

export type Row = Omit<Json<schema.RowPanel>, 'panels'> & { panels: { type: string }[] };

export type Board = Omit<Json<schema.Dashboard>, 'panels' | 'annotations'> & {
  panels: { type: string }[];
  annotations: { list: Json<PrometheusAnnotation>[] };
};
