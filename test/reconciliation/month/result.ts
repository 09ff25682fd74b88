import type { MonthOutcome } from './run.js';

/** What is printed of a month. */

const SHOWN = 20;

export function reportOf({ name, reports, seconds, shops, offences }: MonthOutcome, seed: number): string {
  const of = (count: 'rows' | 'items' | 'ended'): number => shops.reduce((sum, { counts }) => sum + counts[count], 0);
  const planted = shops.flatMap(({ faults }) => faults.flatMap(({ found }) => found));
  const [found, waiting] = [shops.flatMap((one) => one.found), shops.flatMap((one) => one.waiting)];
  return [
    `${name}, seed ${seed}: ${shops.length} shops, ${reports} reports and statements in ${seconds.toFixed(0)} s; rows ${of('rows')}, items matched ${of('items')}`,
    `breaks that ended by themselves ${of('ended')}, open ${found.length}: not told yet ${waiting.length}, planted ${planted.length}`,
    ...(planted.length > 0 ? tableOf(found, waiting, planted) : sumsOf(shops)),
    `offences ${offences.length}`,
    ...offences.slice(0, SHOWN),
  ].join('\n');
}

function tableOf(found: readonly string[], waiting: readonly string[], planted: readonly string[]): string[] {
  // What nobody has told yet is found as well, and is not what is counted here.
  const of = without(found, waiting);
  const kinds = [...new Set([...of, ...planted].map(kindOf))].sort();
  const lines = kinds.map((kind) => {
    const [is, should] = [of, planted].map((all) => all.filter((one) => kindOf(one) === kind)) as [string[], string[]];
    const right = is.length - without(is, should).length;
    const shares = [is, should].map(({ length }) => (right / length || 0).toFixed(3));
    return [kind, should.length, is.length, ...shares];
  });
  return [['kind', 'planted', 'found', 'precision', 'recall'], ...lines].map((cells) =>
    cells.map((cell, index) => (index === 0 ? String(cell).padEnd(20) : String(cell).padStart(11))).join(''),
  );
}

const kindOf = (found: string): string => found.split(' ')[0] ?? '';

/** Each of `some` takes one of `all`. */
function without(all: readonly string[], some: readonly string[]): string[] {
  const left = [...some];
  return all.filter((one) => {
    const at = left.indexOf(one);
    if (at >= 0) left.splice(at, 1);
    return at < 0;
  });
}

function sumsOf(shops: MonthOutcome['shops']): string[] {
  const lines = shops.flatMap(({ sums }) =>
    sums.map(({ shop, currency, settled, onTheWay, reported, fees, atProcessor, banked }) => [
      ...[shop, currency, settled, onTheWay, reported, fees, atProcessor, banked],
    ]),
  );
  return [['shop', '', 'settled', 'on the way', 'reported', 'fees', 'owed', 'banked'], ...lines].map(
    ([shop, ...cells]) => [String(shop).padEnd(28), ...cells.map((cell) => String(cell).padStart(12))].join(''),
  );
}
