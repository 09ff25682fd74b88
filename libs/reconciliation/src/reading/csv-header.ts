import { quoted } from './bad-value.js';
import { UnreadableReport } from './unreadable-report.js';

/** Where the columns of a report are. */
export interface CsvHeader {
  readonly separator: string;
  readonly width: number;
  /** By name as the source writes it. */
  readonly columns: ReadonlyMap<string, number>;
  /** The header as it stands, to know it again. */
  readonly raw: string;
}

/** In the order in which they are tried: as many of a report's columns as possible are found by the right one. */
const SEPARATORS = [',', ';', '\t', '|'];

/** Columns by name, in any order and capitals; others are ignored. Throws UnreadableReport that names all that are missing or twice. */
export function csvHeader(line: string, needed: readonly string[], optional: readonly string[]): CsvHeader {
  const headers = SEPARATORS.map((separator) => ({ separator, names: namesOf(line, separator) }));
  const found = ({ names }: { names: readonly string[] }) => needed.filter((name) => names.includes(key(name))).length;
  const best = headers.reduce((one, other) => (found(other) > found(one) ? other : one));
  const { separator, names } = best;
  const errors = [...needed, ...optional].flatMap((name) => {
    const times = names.filter((one) => one === key(name)).length;
    if (times > 1) return [{ path: name, message: `stands in the header ${times} times` }];
    return times === 0 && needed.includes(name) ? [{ path: name, message: 'is missing in the header' }] : [];
  });
  if (errors.length > 0) throw new UnreadableReport([...errors, ...begins(line, errors.length === needed.length)]);
  const columns = [...needed, ...optional].flatMap((name) => {
    const at = names.indexOf(key(name));
    return at === -1 ? [] : [[name, at] as const];
  });
  return { separator, width: names.length, columns: new Map(columns), raw: line };
}

/**
 * Cells that a row has too few or too many shift the others: 1,250 without quotes would be an amount of 1, and 250 what stands behind it.
 * Undefined: as many as the header has, or empty ones behind them.
 */
export function widthProblem(cells: readonly string[], width: number): string | undefined {
  const has = `has ${cells.length} cells where the header has ${width}`;
  if (cells.length < width) return `${has}: it is cut off or a separator is missing`;
  if (cells.slice(width).some((cell) => cell !== '')) return `${has}: a cell with a separator in it must be quoted`;
  return undefined;
}

const key = (name: string): string => name.trim().toLowerCase();

function namesOf(line: string, separator: string): string[] {
  return line.split(separator).map((name) => key(name.trim().replace(/^"(.*)"$/, '$1')));
}

/** Of something else altogether, its beginning says more. */
function begins(line: string, isOther: boolean): { path: string; message: string }[] {
  const start = line.replaceAll(/[^\x20-\x7e]/g, '·');
  return isOther ? [{ path: 'report', message: `begins with ${quoted(start)}` }] : [];
}
