import type { Alert } from './alert.js';
import { ALERTS, anchorOf } from './alerts.js';
import { DASHBOARDS, type Dashboard, type Panel } from './dashboards.js';

/** How soon rules are looked at and fire: as they are in service, or in a drill. */
export interface Pace {
  readonly window: string;
  readonly forOf: (alert: Alert) => string;
  readonly aboveOf: (alert: Alert) => number;
}

export const IN_SERVICE: Pace = {
  window: '5m',
  forOf: ({ forMinutes }) => `${forMinutes}m`,
  aboveOf: ({ above }) => above,
};

/** With a scrape each second. */
export const IN_A_DRILL: Pace = {
  window: '10s',
  forOf: ({ forMinutes }) => (forMinutes === 0 ? '0s' : '2s'),
  aboveOf: ({ above, drillAbove }) => drillAbove ?? above,
};

/** Where docs/operations.md is read; RUNBOOK_URL of `npm run docs:ops` is where your copy of it is. */
const RUNBOOK = 'https://counterfoil.dev/docs/operations.md';
const PANELS_A_ROW = 4;
const COLUMNS = 24;
const HEIGHT = 8;

/** YAML is a superset of JSON: each text is quoted as JSON quotes it. */
const quoted = JSON.stringify;

/** A link in an alert is followed from a pager: what is not absolute leads nowhere. Each alert has its own fragment. */
function runbookAt(address: string): string {
  const { protocol, hash } = URL.canParse(address) ? new URL(address) : { protocol: '', hash: '' };
  if (/^https?:$/.test(protocol) && hash === '') return address;
  throw new Error(`RUNBOOK_URL: ${address} is no address of a page: http(s)://…, without a fragment`);
}

function annotationsOf({ name, summary }: Alert, runbook: string): Record<string, string> {
  return { summary, runbook_url: `${runbook}#${anchorOf(name)}` };
}

export function rulesFile(pace: Pace, runbook = RUNBOOK): string {
  const rules = ALERTS.flatMap((alert) => [
    `      - alert: ${alert.name}`,
    `        expr: ${quoted(alert.expr(pace.window, pace.aboveOf(alert)))}`,
    `        for: ${pace.forOf(alert)}`,
    `        labels: { severity: ${alert.severity} }`,
    '        annotations:',
    ...Object.entries(annotationsOf(alert, runbook)).map(([name, text]) => `          ${name}: ${quoted(text)}`),
  ]);
  return lines('# From ops/alerts.ts: npm run docs:ops', 'groups:', '  - name: counterfoil', '    rules:', ...rules);
}

/** Each alert fires with what it is for, and not without. */
function rulesTestFile(runbook: string): string {
  const tests = ALERTS.flatMap((alert) => [testOf(alert, runbook, 0), testOf(alert, runbook, 1)]);
  return lines(
    '# From ops/alerts.ts: npm run docs:ops',
    'rule_files: [alerts.yml]',
    'evaluation_interval: 1m',
    'tests:',
    ...tests,
  );
}

function testOf(alert: Alert, runbook: string, place: 0 | 1): string {
  const { name, severity, test } = alert;
  const series = Object.entries(test.series).map(
    ([of, values]) => `      - { series: ${quoted(of)}, values: ${quoted(values[place])} }`,
  );
  const fired = { exp_labels: { severity, ...test.labels }, exp_annotations: annotationsOf(alert, runbook) };
  return [
    `  - name: ${quoted(`${name} ${place === 0 ? 'fires' : 'is quiet'}`)}`,
    '    interval: 1m',
    '    input_series:',
    ...series,
    '    alert_rule_test:',
    `      - { eval_time: 20m, alertname: ${name}, exp_alerts: ${place === 0 ? quoted([fired]) : '[]'} }`,
  ].join('\n');
}

/** `targets`: host and port of each `/metrics`. */
export function prometheusFile({
  everyS,
  rules,
  targets,
}: {
  everyS: number;
  rules: string;
  targets: readonly string[];
}): string {
  return lines(
    '# From ops/files.ts: npm run docs:ops',
    `global: { scrape_interval: ${everyS}s, evaluation_interval: ${everyS}s }`,
    `rule_files: [${quoted(rules)}]`,
    'scrape_configs:',
    '  - job_name: counterfoil',
    `    static_configs: [{ targets: ${quoted(targets)} }]`,
  );
}

export function dashboardFile({ uid, title, rows }: Dashboard): string {
  let y = 0;
  const panels = Object.entries(rows).flatMap(([row, of]) => {
    const header = { type: 'row', title: row, collapsed: false, gridPos: { x: 0, y, w: COLUMNS, h: 1 } };
    const own = of.map((panel, place) => graph(panel, place, y + 1));
    y += 1 + HEIGHT * Math.ceil(of.length / PANELS_A_ROW);
    return [header, ...own];
  });
  const dashboard = {
    uid,
    title,
    schemaVersion: 41,
    timezone: 'utc',
    refresh: '10s',
    time: { from: 'now-30m', to: 'now' },
    tags: ['counterfoil'],
    panels: panels.map((panel, place) => ({ id: place + 1, ...panel })),
  };
  return `${JSON.stringify(dashboard, null, 2)}\n`;
}

function graph({ title, unit, lines }: Panel, place: number, y: number): object {
  const w = COLUMNS / PANELS_A_ROW;
  return {
    type: 'timeseries',
    title,
    datasource: { type: 'prometheus', uid: 'prometheus' },
    gridPos: { x: (place % PANELS_A_ROW) * w, y: y + HEIGHT * Math.floor(place / PANELS_A_ROW), w, h: HEIGHT },
    fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
    targets: Object.entries(lines).map(([legendFormat, expr], at) => ({
      refId: String.fromCharCode(65 + at),
      expr,
      legendFormat,
      exemplar: expr.includes('_bucket'),
    })),
  };
}

function lines(...all: string[]): string {
  return `${all.join('\n')}\n`;
}

/** What lies in ops/, by its path there. */
export function filesOfOps(address = RUNBOOK): ReadonlyMap<string, string> {
  const runbook = runbookAt(address);
  return new Map([
    ['alerts.yml', rulesFile(IN_SERVICE, runbook)],
    ['alerts.test.yml', rulesTestFile(runbook)],
    ['prometheus.yml', prometheusFile({ everyS: 15, rules: 'alerts.yml', targets: ['api:9464', 'worker:9464'] })],
    ...DASHBOARDS.map((dashboard) => [`dashboards/${dashboard.uid}.json`, dashboardFile(dashboard)] as const),
  ]);
}
