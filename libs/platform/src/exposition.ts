import type { Exemplar } from './histogram.js';

export type Labels = Readonly<Record<string, string | number>>;

/** A line: `suffix` is behind the family's name, such as `_bucket`. */
export interface Sample {
  readonly suffix: string;
  readonly labels: Labels;
  readonly value: number;
  readonly exemplar?: Exemplar | undefined;
}

/** All lines under one name. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly samples: Iterable<Sample>;
}

/** The two formats that Prometheus asks for. Lines have the same names in both; exemplars are in OpenMetrics alone. */
export type Format = 'text' | 'openmetrics';

export const CONTENT_TYPES: Readonly<Record<Format, string>> = {
  text: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
};

export function formatFor(accept: string | undefined): Format {
  return accept?.includes('application/openmetrics-text') ? 'openmetrics' : 'text';
}

/** prom-client writes one format for the life of its registry, and drops `_total` from its counters for good in the other. */
export function exposed(families: Iterable<Family>, format: Format): string {
  const lines = [...families].flatMap((family) => [...linesOf(family, format)]);
  if (format === 'openmetrics') lines.push('# EOF');
  return `${lines.join('\n')}\n`;
}

function* linesOf({ name, help, type, samples }: Family, format: Format): Generator<string> {
  // In OpenMetrics `_total` belongs to a counter's line, and not to its family.
  const family = format === 'openmetrics' && type === 'counter' ? name.replace(/_total$/, '') : name;
  yield `# HELP ${family} ${escaped(help)}`;
  yield `# TYPE ${family} ${type}`;
  for (const { suffix, labels, value, exemplar } of samples) {
    const line = `${name}${suffix}${braced(labels)} ${numeral(value)}`;
    yield format === 'openmetrics' && exemplar ? `${line}${exemplarText(exemplar)}` : line;
  }
}

function exemplarText({ traceId, value, atMs }: Exemplar): string {
  return ` # {trace_id="${traceId}"} ${numeral(value)} ${atMs / 1_000}`;
}

function braced(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(String(value))}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

export function numeral(value: number): string {
  return Number.isFinite(value) || Number.isNaN(value) ? String(value) : value > 0 ? '+Inf' : '-Inf';
}

/** Of a label's value, or of what a name means: both formats take a quote that is escaped. */
function escaped(text: string): string {
  return text.replace(/\\/g, '\\\\').replace(/\n/g, '\\n').replace(/"/g, '\\"');
}
