// What a run of k6 came to, in the folder of its reports and on the terminal.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const SLOWEST = 5;
const FAILED = 10;
const SAID = 40;
const KINDS = ['done', 'refused', 'limited', 'ambiguous', 'wrong'];

/**
 * @typedef {import('./journal.mjs').Trace} Trace
 * @typedef {{ scenario: string, isRight: boolean, seconds: number, requests: number, answers: Record<string, number>, verified: number,
 *   latencies: Record<string, Record<string, number>>, broken: string[], slowest: Trace[], failed: Trace[] }} Outcome
 * @typedef {Record<string, { thresholds?: Record<string, boolean> } & Record<string, unknown>>} Metrics
 */

/**
 * @param {{ scenario: string, isRight: boolean, seconds: number, folder: string, journal: import('./journal.mjs').Journal }} run
 * @returns {Outcome}
 */
export function outcomeOf({ scenario, isRight, seconds, folder, journal }) {
  journal.readOn();
  const file = join(folder, 'summary.json');
  /** @type {Metrics} */
  const metrics = existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')).metrics : {};
  const count = (/** @type {string} */ name) => Number(metrics[name]?.count ?? 0);
  const outcome = {
    scenario,
    isRight,
    seconds,
    requests: count('http_reqs'),
    answers: Object.fromEntries(KINDS.map((kind) => [kind, count(`answers{kind:${kind}}`)])),
    verified: count('postings_verified') + count('lives_verified'),
    latencies: latenciesIn(metrics),
    broken: crossedIn(metrics),
    slowest: journal.traces
      .filter(({ why }) => why === 'slow')
      .sort((a, b) => b.ms - a.ms)
      .slice(0, SLOWEST),
    failed: journal.traces.filter(({ why }) => why !== 'slow').slice(0, FAILED),
  };
  writeFileSync(join(folder, 'report.json'), `${JSON.stringify(outcome, null, 2)}\n`);
  return outcome;
}

/** Of the requests of the load whose latencies are bounded. @param {Metrics} metrics */
function latenciesIn(metrics) {
  /** @type {Outcome['latencies']} */
  const latencies = {};
  for (const [metric, values] of Object.entries(metrics)) {
    const [, name] = /^http_req_duration\{scenario:load,name:(.+)\}$/.exec(metric) ?? [];
    if (name !== undefined)
      latencies[name] = Object.fromEntries(
        ['med', 'p(99)', 'p(99.9)', 'max', 'count'].map((of) => [of, Number(values[of])]),
      );
  }
  return latencies;
}

/** Thresholds that do not hold. @param {Metrics} metrics */
function crossedIn(metrics) {
  return Object.entries(metrics).flatMap(([metric, { thresholds = {} }]) =>
    Object.entries(thresholds).flatMap(([threshold, isCrossed]) => (isCrossed ? [`${metric}: ${threshold}`] : [])),
  );
}

/** @param {Trace} trace */
export function traceText({ why, name, status, ms, id, said }) {
  const link = process.env.JAEGER_URL ? `${process.env.JAEGER_URL.replace(/\/$/, '')}/trace/${id}` : id;
  return `  ${why.padEnd(9)} ${ms.toFixed(1).padStart(8)} ms  ${status} ${name}  ${link}${said ? `  ${said}` : ''}`;
}

/** @param {Outcome} outcome @param {string[]} said what scenarios told people */
export function details({ slowest, failed, broken }, said) {
  const more = said.length > SAID ? [`  … and ${said.length - SAID} more lines`] : [];
  return [
    ...said.slice(0, SAID).map((line) => `  ${line}`),
    ...more,
    ...broken.map((threshold) => `  NOT HELD  ${threshold}`),
    ...[...slowest, ...failed].map(traceText),
  ];
}

/** @param {Outcome[]} outcomes Markdown */
export function table(outcomes) {
  const head = [
    'scenario',
    '',
    's',
    'requests',
    'done',
    'refused',
    'limited',
    'ambiguous',
    'wrong',
    'verified',
    'slowest kind: p50 / p99 / p99.9 ms',
  ];
  const rows = outcomes.map((outcome) => {
    const { scenario, isRight, seconds, requests, answers, verified, latencies } = outcome;
    const [name, worst] =
      Object.entries(latencies).sort(([, a], [, b]) => (b['p(99)'] ?? 0) - (a['p(99)'] ?? 0))[0] ?? [];
    const ms = ['med', 'p(99)', 'p(99.9)'].map((of) => (worst?.[of] ?? 0).toFixed(1)).join(' / ');
    const kinds = KINDS.map((kind) => String(answers[kind] ?? 0));
    const [how, waits] = [isRight ? 'ok' : 'FAILED', name === undefined ? '' : `${name}: ${ms}`];
    return [scenario, how, seconds.toFixed(0), String(requests), ...kinds, String(verified), waits];
  });
  const widths = head.map((title, n) => Math.max(title.length, ...rows.map((row) => row[n]?.length ?? 0)));
  const line = (/** @type {string[]} */ cells) =>
    `| ${cells.map((cell, n) => cell.padEnd(widths[n] ?? 0)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('\n');
}
