import { readdirSync, readFileSync } from 'node:fs';
import { NestFactory } from '@nestjs/core';
import { expect, test } from 'vitest';
import { createLogger } from '#platform/logging.js';
import { Telemetry } from '#platform/telemetry.js';
import { readConfig } from '../apps/config.js';
import { WorkerModule } from '../apps/worker/src/worker.module.js';
import { DRILLS } from '../ops/alert.js';
import { ALERTS, anchorOf } from '../ops/alerts.js';
import { DASHBOARDS } from '../ops/dashboards.js';
import { filesOfOps, IN_A_DRILL, IN_SERVICE, rulesFile } from '../ops/files.js';
import { freePort } from '../scripts/ports.mjs';
import { TestApi } from './support/api.js';
import { privateRedis } from './support/redis.js';
import { sourceProcess } from './support/source-process.js';

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');
/** Prometheus' own, of each target, and a histogram's bound. */
const OF_PROMETHEUS = ['up', 'job', 'instance', 'le'];

const EXPRESSIONS = [
  ...ALERTS.map(({ name, expr, above }) => [name, expr('5m', above)] as const),
  ...DASHBOARDS.flatMap(({ rows }) =>
    Object.values(rows).flatMap((panels) =>
      panels.flatMap(({ title, lines }) => Object.values(lines).map((expr) => [title, expr] as const)),
    ),
  ),
];

/** Metrics that an expression asks for, and the labels that it tells apart. */
function usedIn(expr: string): { names: string[]; labels: string[] } {
  const names = [...expr.matchAll(/\b(up|(?:counterfoil|nodejs|process)_\w+)/g)].map(([, name]) => String(name));
  const matched = [...expr.matchAll(/(\w+)=~?"/g)].map(([, label]) => String(label));
  const grouped = [...expr.matchAll(/by \(([^)]*)\)/g)].flatMap(([, labels]) => String(labels).split(', '));
  return { names, labels: [...matched, ...grouped] };
}

/** Values of labels that an expression picks out, but for Prometheus' own. */
function pickedIn(expr: string): string[] {
  const matched = [...expr.matchAll(/(\w+)=~?"([^"]*)"/g)].filter(
    ([, label]) => !OF_PROMETHEUS.includes(String(label)),
  );
  return matched.flatMap(([, , values]) => String(values).split('|'));
}

/** Of a line of a histogram or a summary: what it is a line of. */
const familyOf = (name: string): string => name.replace(/_(bucket|count|sum)$/, '');

/** `Accept` of Prometheus: names of lines, and labels of each, with those that docs/metrics.md has where there is no line yet. */
function told(text: string, labels: Map<string, Set<string>>): void {
  const typed = [...text.matchAll(/^# TYPE (\S+) (\w+)$/gm)];
  for (const [, name = '', type] of typed) {
    const endings =
      type === 'histogram' ? ['_bucket', '_count', '_sum'] : type === 'summary' ? ['_count', '_sum'] : [''];
    for (const ending of endings) labels.set(name + ending, labels.get(name + ending) ?? new Set());
  }
  for (const [, name = '', inside = ''] of text.matchAll(/^(\w+)\{(.*?)\} /gm)) {
    for (const [, label = ''] of inside.matchAll(/(\w+)="/g)) labels.get(name)?.add(label);
  }
}

/** Labels by metric as the page's table has them; `{…}`: those of the one before. */
function documentedLabels(): Map<string, string[]> {
  const found = new Map<string, string[]>();
  for (const [, cell = ''] of read('docs/metrics.md').matchAll(/^\| (`[^|]+) \|/gm)) {
    let before: string[] = [];
    for (const [, name = '', inside] of cell.matchAll(/`(\w+)(?:\{([^}]*)\})?`/g)) {
      if (inside !== undefined && inside !== '…') before = inside.split(',');
      found.set(`counterfoil_${name}`, inside === undefined ? [] : before);
    }
  }
  return found;
}

test('what lies in ops/ is what its sources say, and links to one page of operations', () => {
  const links = [...read('ops/alerts.yml').matchAll(/runbook_url: "([^"#]*)#([^"]*)"/g)];
  const [[, runbook] = []] = links;
  expect(links.map(([, page, anchor]) => [page, anchor])).toEqual(ALERTS.map(({ name }) => [runbook, anchorOf(name)]));
  for (const [name, text] of filesOfOps(runbook)) expect([name, read(`ops/${name}`) === text]).toEqual([name, true]);
  const kept = readdirSync(new URL('../ops/dashboards', import.meta.url)).map((name) => `dashboards/${name}`);
  expect(kept.filter((name) => !filesOfOps().has(name))).toEqual([]);
});

test('alerts link to where the page is said to be, and to no place that cannot be opened', () => {
  const elsewhere = filesOfOps('https://wiki.example.com/on-call');
  for (const name of ['alerts.yml', 'alerts.test.yml'])
    expect(elsewhere.get(name)).toContain('https://wiki.example.com/on-call#dead-letters"');
  for (const address of [
    'docs/operations.md',
    '/docs',
    'file:///docs/operations.md',
    'https://example.com/#on-call',
    '',
  ])
    expect(() => filesOfOps(address)).toThrow('RUNBOOK_URL');
});

test('each alert has a row in docs/operations.md, what to do in it, and a drill; and each drill an alert', () => {
  const page = read('docs/operations.md');
  for (const { name } of ALERTS) {
    const row = page.split('\n').filter((line) => line.includes(`<a id="${anchorOf(name)}"></a>**${name}**`));
    expect([name, row.length, row[0]?.split(' | ').length]).toEqual([name, 1, 4]);
  }
  expect([...new Set(ALERTS.map(({ drill }) => drill))].sort()).toEqual([...DRILLS]);
});

test('what an alert asks for is on a dashboard, to be looked at when it fires', () => {
  const shown = DASHBOARDS.flatMap(({ rows }) => Object.values(rows).flat())
    .flatMap(({ lines }) => Object.values(lines))
    .flatMap((expr) => usedIn(expr).names.map(familyOf));
  const asked = ALERTS.flatMap(({ name, expr, above }) => usedIn(expr('5m', above)).names.map((used) => [name, used]));
  expect(asked.filter(([, used = '']) => !shown.includes(familyOf(used)))).toEqual([]);
});

test('each metric is in an alert, or docs/metrics.md says why it is in none; and the alerts that it names are there', () => {
  const page = read('docs/metrics.md');
  const [, why = ''] = page.split('\n## What has no alert, and why\n');
  const reasons = [...why.matchAll(/`(\w+)`/g)].map(([, name]) => String(name));
  const alerted = ALERTS.flatMap(({ expr, above }) => usedIn(expr('5m', above)).names.map(familyOf));
  const documented = [...documentedLabels().keys()];
  const isExplained = (name: string) => reasons.includes(name.replace('counterfoil_', ''));
  expect(documented.filter((name) => !alerted.includes(name) && !isExplained(name))).toEqual([]);
  const known = ALERTS.map(({ name }) => name);
  const named = why.match(/\b(?:[A-Z][a-z]+){2,}\b/g) ?? [];
  expect(named.length).toBeGreaterThan(15);
  expect(named.filter((name) => !known.includes(name))).toEqual([]);
});

test('what an alert or a dashboard picks out by a label is a value that the sources have', () => {
  const sources = ['apps', 'libs'].flatMap((folder) =>
    readdirSync(new URL(`../${folder}`, import.meta.url), { recursive: true })
      .map((name) => `${folder}/${name}`)
      .filter((name) => name.endsWith('.ts') && !name.endsWith('.spec.ts')),
  );
  const text = sources.map(read).join('\n');
  // Texts, and keys of what is told by its keys.
  const known = new Set([...text.matchAll(/'([^'\n]*)'|\b(\w+):/g)].map(([, quoted, key]) => quoted ?? key));
  // Classes of answers: 2xx.
  const isKnown = (value: string) =>
    known.has(value) || /^[1-5]xx$/.test(value) || known.has(value.replace('/v1/', ''));
  const picked = EXPRESSIONS.flatMap(([of, expr]) => pickedIn(expr).map((value) => `${of}: ${value}`));
  expect(picked.length).toBeGreaterThan(15);
  expect(picked.filter((one) => !isKnown(one.slice(one.indexOf(': ') + 2)))).toEqual([]);
});

test('each alert has been seen to fire and to be gone again', () => {
  const seen = [...read('docs/figures/drills.md').matchAll(/^\| \S+ \| .* \| (\w+) \| \d+ s \| \d+ s \|$/gm)];
  expect(seen.map(([, name]) => name).sort()).toEqual(ALERTS.map(({ name }) => name).sort());
});

test('in a drill an alert is the same one, only sooner', () => {
  const calm = (rules: string) => rules.replace(/\[\d+[ms]\]| for: \d+[ms]/g, '').replace(/> \d+(\.\d+)?"/g, '"');
  expect(calm(rulesFile(IN_A_DRILL))).toBe(calm(rulesFile(IN_SERVICE)));
  expect(rulesFile(IN_A_DRILL)).not.toMatch(/\d+m\b/);
  const lasting = [...rulesFile(IN_SERVICE).matchAll(/ for: (\S+)/g)].map(([, how]) => how);
  expect(lasting).toEqual(ALERTS.map(({ forMinutes }) => `${forMinutes}m`));
});

test('every metric and label in alerts and dashboards is one that a running API or worker tells', async () => {
  const [apiPort, workerPort, redis] = await Promise.all([freePort(), freePort(), privateRedis()]);
  const api = await TestApi.start({ environment: { METRICS_PORT: String(apiPort) } });
  const config = readConfig({
    DATABASE_URL: api.on.ownerUrl,
    DATABASE_RUNTIME_URL: api.on.runtimeUrl,
    REDIS_URL: redis.url,
    REDIS_QUEUE_URL: redis.url,
    METRICS_PORT: String(workerPort),
  });
  const logger = createLogger({ level: 'silent', service: 'test' });
  const telemetry = Telemetry.start({ otlpEndpoint: undefined, sampleRatio: 1, serviceName: 'test' });
  const worker = await NestFactory.createApplicationContext(
    await WorkerModule.with({ config, logger, telemetry, service: 'worker' }, { process: sourceProcess() }),
    { logger: false, abortOnError: false },
  );
  const labels = new Map<string, Set<string>>([['up', new Set()]]);
  try {
    await (await api.merchant('EUR')).open('a');
    for (const port of [apiPort, workerPort])
      told(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text(), labels);
  } finally {
    await worker.close();
    await Promise.all([api.stop(), redis.stop()]);
  }
  const documented = documentedLabels();
  const more = [...labels].flatMap(([name, own]) => {
    const known = documented.get(familyOf(name)) ?? documented.get(name);
    return known ? [...own].filter((label) => label !== 'le' && !known.includes(label)).map((one) => [name, one]) : [];
  });
  expect(more).toEqual([]);
  for (const [name, known] of documented) {
    for (const ending of ['', '_bucket', '_count', '_sum']) {
      const seen = labels.get(name + ending);
      for (const label of known) seen?.add(label);
    }
  }
  // Prometheus gives these itself, and what has them already is renamed: exported_job.
  const renamed = [...labels].filter(([, own]) => own.has('job') || own.has('instance')).map(([name]) => name);
  expect(renamed).toEqual([]);
  const unknown = EXPRESSIONS.flatMap(([of, expr]) => {
    const used = usedIn(expr);
    const known = new Set([...OF_PROMETHEUS, ...used.names.flatMap((name) => [...(labels.get(name) ?? [])])]);
    const wrong = [
      ...used.names.filter((name) => !labels.has(name)),
      ...used.labels.filter((label) => !known.has(label)),
    ];
    return wrong.map((what) => `${of}: ${what}`);
  });
  expect(unknown).toEqual([]);
});
