import type { ReportRow, RowType } from '../report-row.js';
import { BadValue, named, quoted } from './bad-value.js';
import { type Cells, type Column, type Columns, currencyColumns, moneyColumns } from './csv-money.js';
import { decoded } from './decoded.js';
import { identityOf } from './identity.js';
import { momentOf } from './moment.js';
import type { CsvProfile } from './sources.js';
import { textOf } from './text.js';

/** A row's cells as a row, by a profile and where its columns are. Throws BadValue. */
export function rowReader(
  profile: CsvProfile,
  columns: ReadonlyMap<string, number>,
  accounts: ReadonlySet<string> | undefined,
) {
  const at: Columns = (name) => {
    const index = columns.get(name) ?? -1;
    return (cells) => cells[index] ?? '';
  };
  const texts = new Map<string, Column>();
  const text: Columns = (name) => {
    const column = texts.get(name) ?? onceARow(at(name), name);
    texts.set(name, column);
    return column;
  };
  const money = moneyColumns(profile, at, (name) => columns.has(name));
  const typeOf = type(profile, at(profile.type));
  const currency = currencyColumns(profile, at);
  const moment = moments(profile, at);
  const references = profile.reference.map(text);
  const objectRef = text(profile.objectRef.column);
  const batch = text(profile.batch);
  const identities = profile.identity.columns.map(text);

  const refuseOthers = accountCheck(profile, text, accounts);

  return (cells: Cells, line: number): ReportRow => {
    refuseOthers(cells);
    const kind = typeOf(cells);
    const digits = currency(cells);
    const amounts = money(cells, digits, kind);
    const occurredAtMs = moment(cells);
    const own = identities.map((part) => part(cells));
    if (own.every((part) => part === ''))
      throw new BadValue(`${profile.identity.columns.join(', ')}: nothing names the row`);
    const computed = profile.identity.computed.map((of) => String(of === 'gross' ? amounts.gross : occurredAtMs));
    return {
      line,
      identity: identityOf([...own, ...computed]),
      type: kind,
      reference: firstOf(references, cells),
      objectRef: (profile.objectRef.of.includes(kind) && objectRef(cells)) || undefined,
      ...amounts,
      currency: digits.currency,
      occurredAtMs,
      batch: batch(cells) || undefined,
    };
  };
}

/** A report may be another merchant's, or of several merchants: what is not this one's is none of its rows. */
function accountCheck({ account: name }: CsvProfile, text: Columns, accounts: ReadonlySet<string> | undefined) {
  if (name === undefined || accounts === undefined) return () => undefined;
  const cell = text(name);
  return (cells: Cells) => {
    const found = cell(cells);
    if (accounts.has(found)) return;
    throw new BadValue(`${name}: ${quoted(found)} is no account of this merchant, but ${[...accounts].join(', ')}`);
  };
}

/** A name may be asked for twice: as what it names, and for the identity. */
function onceARow(cell: Column, name: string): Column {
  let [row, text]: [Cells | undefined, string] = [undefined, ''];
  return (cells) => {
    if (cells !== row) [row, text] = [cells, textOf(decoded(cell(cells)), name)];
    return text;
  };
}

function firstOf(columns: readonly Column[], cells: Cells): string | undefined {
  for (const column of columns) {
    const text = column(cells);
    if (text !== '') return text;
  }
  return undefined;
}

function type({ type: name, types, otherTypes }: CsvProfile, cell: Column): (cells: Cells) => RowType {
  return (cells) => {
    const word = cell(cells).trim();
    const found = Object.hasOwn(types, word) ? types[word] : word === '' ? undefined : otherTypes;
    if (found) return found;
    throw new BadValue(`${name}: ${quoted(word)} is not one of ${Object.keys(types).join(', ')}`);
  };
}

function moments({ time }: CsvProfile, at: Columns): (cells: Cells) => number {
  const { column, zone } = time;
  const cell = at(column);
  const zoneOf: (cells: Cells) => string | undefined = typeof zone === 'object' ? at(zone.column) : () => zone;
  return (cells) => named(column, () => momentOf(cell(cells).trim(), zoneOf(cells)?.trim()));
}
