import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import type { Alert } from '../ops/alert.js';
import { ALERTS } from '../ops/alerts.js';
import { IN_SERVICE } from '../ops/files.js';

/**
 * Limits, times and names in the alerts' expressions, held against what docs/operations.md tells whoever is called, and against the
 * trials. That the expressions do in Prometheus what is meant: `npm run ops:check`.
 */

const PAGE = readFileSync(new URL('../docs/operations.md', import.meta.url), 'utf8');
const exprOf = ({ expr, above }: Alert): string => expr(IN_SERVICE.window, above);

/** What the page says behind what an alert looks at, and what it stands for. */
const LIMITS: Readonly<Record<string, string>> = {
  grows: '> 0',
  'grows by more than 2': '> 2',
  'is 0': '== 0',
  'is 1': '== 1',
  'above 0': '> 0',
  'above one in a hundred': '> 0.01',
  'above a quarter of a second': '> 0.25',
  'above a half': '> 0.5',
  'above a second': '> 1',
  'above a minute': '> 60',
  'above ten minutes': '> 600',
  'above a quarter of an hour': '> 900',
  'above an hour': '> 3600',
  'above two hours': '> 7200',
  'above three days': '> 259200',
};

/** The first cell of an alert's row, up to where it tells of other signs. */
function signOf(name: string): string {
  const [, sign = ''] = new RegExp(`\\*\\*${name}\\*\\*: (.*?)(?:;| \\|)`).exec(PAGE) ?? [];
  return sign.replaceAll('\\|', '|');
}

function said(name: string): object {
  const [, looksAt = '', limit = '', minutes = '0'] = /^(.*`) (.*?)(?: for (\d+) min)?$/.exec(signOf(name)) ?? [];
  const [, by] = /by `(\w+)`$/.exec(looksAt) ?? [];
  return {
    name,
    metrics: [...looksAt.replace(/ by `\w+`$/, '').matchAll(/`([^`]+)`/g)].map(([, metric]) => metric),
    quantile: /^p(\d+) of/.exec(looksAt)?.[1],
    by,
    limit: LIMITS[limit],
    counts: limit.startsWith('grows by'),
    minutes: Number(minutes),
  };
}

function done(alert: Alert): object {
  const expr = exprOf(alert);
  const [, by] = /by \((?!le\))([^)]*)\)/.exec(expr) ?? [];
  const metrics = selectorsIn(expr).map(([all]) => all.replace(/^counterfoil_/, ''));
  return {
    name: alert.name,
    metrics: metrics.map((metric) => metric.replace(/_(bucket|count)(?=\{)/, '')),
    quantile: /histogram_quantile\(0\.(\d+),/.exec(expr)?.[1],
    by,
    limit: /(==|>=?|<=?) \S+$/.exec(expr)?.[0],
    // Above zero, a rate is as good.
    counts: alert.above > 0 && expr.includes('increase('),
    minutes: alert.forMinutes,
  };
}

/** Each with its name and what is in its braces. */
const selectorsIn = (expr: string) => [...expr.matchAll(/\b(up|(?:counterfoil|nodejs)_\w+)(?:\{([^}]*)\})?/g)];

interface Series {
  readonly name: string;
  readonly labels: readonly string[];
}

/** `a{b=~"c|d"}`: c by itself and d by itself. */
function alternativesIn(expr: string): Series[] {
  return selectorsIn(expr).flatMap(([, name = '', inside = '']) => {
    const labels = [...inside.matchAll(/(\w+)=~?"([^"]*)"/g)].map(([, label, values = '']) =>
      values.split('|').map((value) => `${label}="${value}"`),
    );
    const combined = labels.reduce<string[][]>(
      (before, values) => before.flatMap((one) => values.map((value) => [...one, value])),
      [[]],
    );
    return combined.map((one) => ({ name, labels: one }));
  });
}

const isOf = (series: Series, { name, labels }: Series): boolean =>
  series.name === name && labels.every((label) => series.labels.includes(label));

describe('an alert', () => {
  test.each(ALERTS.map((alert) => [alert.name, alert] as const))('%s is what its row tells', (name, alert) => {
    expect(done(alert)).toEqual(said(name));
  });

  test('looks back as far as the page tells', () => {
    const [, minutes] = /\*Grows\* is within the last (\d+) min;/.exec(PAGE) ?? [];
    const windows = ALERTS.flatMap((alert) => exprOf(alert).match(/\[[^\]]*\]/g) ?? []);
    expect(windows.length).toBeGreaterThan(10);
    expect(new Set(windows)).toEqual(new Set([`[${minutes}m]`]));
  });

  test('sums what grows over all processes, and of what stands takes the worst', () => {
    for (const alert of ALERTS) {
      const expr = exprOf(alert);
      const expected = /\b(rate|increase)\(/.test(expr) ? 'sum' : 'max';
      const used = expr.match(/\b(sum|max|min|avg|count)\b/g) ?? [];
      expect([alert.name, ...used]).toEqual([alert.name, ...used.map(() => expected)]);
    }
  });

  test('has a trial by each thing that it names alone, and by nothing else', () => {
    for (const alert of ALERTS) {
      const tried = Object.keys(alert.trials.alone).map((series) => {
        const [, name = '', inside = ''] = /^(\w+)(?:\{(.*)\})?$/.exec(series) ?? [];
        return { name, labels: inside.match(/\w+="[^"]*"/g) ?? [] };
      });
      const named = alternativesIn(exprOf(alert));
      const untried = named.filter((one) => !tried.some((series) => isOf(series, one)));
      const unnamed = tried.filter((series) => !named.some((one) => isOf(series, one)));
      expect({ alert: alert.name, untried, unnamed }).toEqual({ alert: alert.name, untried: [], unnamed: [] });
    }
  });
});
