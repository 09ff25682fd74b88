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
/** In trials of rules. */
const LOOK_S = 15;
const TRIAL_MINUTES = 30;
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

/** Each alert fires by each thing that it is for, in its time, and not before or after. */
function rulesTestFile(runbook: string): string {
  const tests = ALERTS.flatMap((alert) =>
    Object.keys(alert.trials.alone).map((series) => trialOf(alert, runbook, series)),
  );
  return lines(
    '# From ops/alerts.ts: npm run docs:ops',
    'rule_files: [alerts.yml]',
    `evaluation_interval: ${LOOK_S}s`,
    'tests:',
    ...tests,
  );
}

/** By one series, whose values change. The others stay with how they begin. */
function trialOf(alert: Alert, runbook: string, series: string): string {
  const { name, severity, trials } = alert;
  const others = Object.entries(trials.alone).map(([of, values]) => [of, of === series ? values : firstPart(values)]);
  const input = [...others, ...Object.entries(trials.beside ?? {})].map(
    ([of, values]) => `      - { series: ${quoted(of)}, values: ${quoted(values)} }`,
  );
  const own = [...series.matchAll(/(\w+)="([^"]*)"/g)].filter(([, label = '']) => trials.by?.includes(label));
  const labels = Object.fromEntries(own.map(([, label, value]) => [label, value]));
  const fired = { exp_labels: { severity, ...labels }, exp_annotations: annotationsOf(alert, runbook) };
  const [from, until] = trials.fires.map((minutes) => minutes * 60) as [number, number];
  const expected = [
    [from - LOOK_S, '[]'],
    [from, `&fired ${quoted([fired])}`],
    [until - LOOK_S, '*fired'],
    [until, '[]'],
  ];
  return [
    `  - name: ${quoted(`${name} by ${series}`)}`,
    '    interval: 1m',
    '    input_series:',
    ...input,
    '    alert_rule_test:',
    ...expected.map(([at, alerts]) => `      - { eval_time: ${at}s, alertname: ${name}, exp_alerts: ${alerts} }`),
  ].join('\n');
}

/** `1x9 0x9 1x9` → `1x30` */
function firstPart(values: string): string {
  return values.replace(/x.*/, `x${TRIAL_MINUTES}`);
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
