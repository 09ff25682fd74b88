import { parseArgs } from 'node:util';
import { compareLayouts, type LayoutOptions, type Measured, type Ratio } from './layout.js';
import { figure, percentile, textTable } from './text-table.js';

/** `npm run bench:layout`. */
function readOptions(): LayoutOptions {
  const { values } = parseArgs({
    options: {
      rows: { type: 'string', default: '1000000' },
      merchants: { type: 'string', default: '500' },
      tiny: { type: 'string', default: '20' },
      'fresh-rows': { type: 'string', default: '10000' },
      sample: { type: 'string', default: '200' },
      'drop-os-cache': { type: 'boolean', default: false },
      // Read by scripts/bench-layout.mjs.
      'os-cache': { type: 'boolean', default: false },
    },
  });
  const whole = (name: 'rows' | 'merchants' | 'tiny' | 'fresh-rows' | 'sample', least: number): number => {
    const value = Number(values[name]);
    if (!Number.isSafeInteger(value) || value < least)
      throw new Error(`--${name} wants a whole number of at least ${least}`);
    return value;
  };
  return {
    rows: whole('rows', 10_000),
    merchants: whole('merchants', 1),
    tiny: whole('tiny', 0),
    freshRows: whole('fresh-rows', 1),
    sample: whole('sample', 1),
    dropOsCache: values['drop-os-cache'],
  };
}

function pair(samples: readonly number[]): string {
  return samples.length === 0 ? '–' : `${figure(percentile(samples, 0.5))} / ${figure(percentile(samples, 0.99))}`;
}

const HEADER = [
  'layout',
  'pages touched',
  'cold reads',
  'cold ms',
  'warm ms',
  'index MB',
  'heap MB',
  'rows/s written',
  'plan',
];

function toRow(m: Measured): string[] {
  const sizes = [m.indexMb, m.heapMb, m.rowsPerSecond].map(figure);
  return [m.title, pair(m.touched), pair(m.coldReads), pair(m.coldMs), pair(m.warmMs), ...sizes, m.plan];
}

function toLine(name: string, ratio: Ratio, goal?: number): string {
  const verdict = goal === undefined ? '' : ` (goal ≥ ${goal}: ${ratio.median >= goal ? 'reached' : 'not reached'})`;
  return `${name}: ${figure(ratio.median)} at the median, ${figure(ratio.p99)} at p99${verdict}`;
}

const serverUrl = process.env.DATABASE_URL;
if (!serverUrl) throw new Error('DATABASE_URL is not set; start this through `npm run bench:layout`');
const comparison = await compareLayouts(serverUrl, readOptions());
console.log(`\n${comparison.notes.join('\n')}\n`);
console.log(textTable(HEADER, comparison.layouts.map(toRow)));
console.log('\nPages touched, naive ÷ ours (row 8 of the goals; the naive layout is PK (id) + index)');
console.log(toLine('  vacuumed', comparison.vacuumed, 10));
console.log(toLine('  newest rows not yet vacuumed', comparison.newest, 2));
console.log(toLine('  … their busiest merchants alone', comparison.newestBusiest));
console.log(toLine('  PK (id) without an index ÷ ours', comparison.withoutIndex));
