import type { ReportRow, RowType } from '../report-row.js';
import { amountOf, type Digits } from './amount.js';
import { BadValue, quoted } from './bad-value.js';
import { identityOf } from './identity.js';
import { momentOf } from './moment.js';
import type { AmountColumns, CsvProfile } from './sources.js';
import { decoded, textOf } from './text.js';

type Cells = readonly string[];
type Column = (cells: Cells) => string;
type Amount = (cells: Cells, digits: Digits) => bigint | undefined;

/** Types of which a report has to say the gross amount; others move money of which there may be a net amount alone. */
const TOLD_GROSS: readonly RowType[] = ['payment', 'refund', 'dispute', 'dispute_reversed'];

/** A row's cells as a row, by a profile and where its columns are. Throws BadValue. */
export function rowReader(profile: CsvProfile, columns: ReadonlyMap<string, number>) {
  const at = (name: string): Column => {
    const index = columns.get(name) ?? -1;
    return (cells) => cells[index] ?? '';
  };
  const text = (name: string): Column => {
    const cell = at(name);
    return (cells) => textOf(decoded(cell(cells)), name);
  };
  const amounts = { gross: amount(profile.gross, at), net: amount(profile.net, at), fee: fees(profile, columns, at) };
  const typeOf = type(profile, at(profile.type));
  const currency = currencies(profile, at);
  const moment = moments(profile, at);
  const references = profile.reference.map(text);
  const objectRef = text(profile.objectRef.column);
  const batch = text(profile.batch);
  const identities = profile.identity.columns.map(text);

  return (cells: Cells, line: number): ReportRow => {
    const kind = typeOf(cells);
    const digits = currency(cells);
    const money = moneyOf(amounts, cells, { kind, digits });
    const occurredAtMs = moment(cells);
    const own = identities.map((part) => part(cells));
    if (own.every((part) => part === ''))
      throw new BadValue(`${profile.identity.columns.join(', ')}: nothing names the row`);
    const computed = profile.identity.computed.map((of) => String(of === 'gross' ? money.gross : occurredAtMs));
    return {
      line,
      identity: identityOf([...own, ...computed]),
      type: kind,
      reference: firstOf(references, cells),
      objectRef: (profile.objectRef.of.includes(kind) && objectRef(cells)) || undefined,
      ...money,
      currency: digits.currency,
      occurredAtMs,
      batch: batch(cells) || undefined,
    };
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

function currencies({ currencies: names, digits }: CsvProfile, at: (name: string) => Column): (cells: Cells) => Digits {
  const columns = names.map(at);
  return (cells) => {
    let found = '';
    for (const column of columns) {
      const code = column(cells).trim();
      if (found !== '' && code !== '' && code !== found)
        throw new BadValue(
          `${names.join(', ')}: ${quoted(found)} and ${quoted(code)} in one row: only rows in one currency can be held against the ledger`,
        );
      found ||= code;
    }
    return named(names.join(', '), () => digits(found));
  };
}

function moments({ time }: CsvProfile, at: (name: string) => Column): (cells: Cells) => number {
  const { column, zone } = time;
  const cell = at(column);
  const zoneOf: (cells: Cells) => string | undefined = typeof zone === 'object' ? at(zone.column) : () => zone;
  return (cells) => named(column, () => momentOf(cell(cells).trim(), zoneOf(cells)?.trim()));
}

function amount(of: AmountColumns, at: (name: string) => Column): Amount {
  if ('signed' in of) return signed(of.signed, at(of.signed));
  const [debit, credit] = [size(of.debit, at(of.debit)), size(of.credit, at(of.credit))];
  return (cells, digits) => {
    const [out, into] = [debit(cells, digits), credit(cells, digits)];
    if (out && into) throw new BadValue(`${of.debit} and ${of.credit} are both filled`);
    return out === undefined ? into : into || -out;
  };
}

function signed(name: string, cell: Column): Amount {
  return (cells, digits) => {
    const text = cell(cells).trim();
    return text === '' ? undefined : named(name, () => amountOf(text, digits));
  };
}

/** A column that says which way money goes has no signs. */
function size(name: string, cell: Column): Amount {
  const read = signed(name, cell);
  return (cells, digits) => {
    const found = read(cells, digits);
    if (cell(cells).includes('-'))
      throw new BadValue(`${name}: ${quoted(cell(cells))} has a sign, in a column that is one`);
    return found;
  };
}

/** Undefined: no column of fees is there, or none is filled. */
function fees(profile: CsvProfile, columns: ReadonlyMap<string, number>, at: (name: string) => Column): Amount {
  const parts = profile.fees.filter((name) => columns.has(name)).map((name) => signed(name, at(name)));
  return (cells, digits) => {
    let sum: bigint | undefined;
    for (const part of parts) {
      const found = part(cells, digits);
      if (found !== undefined) sum = (sum ?? 0n) + found;
    }
    return sum;
  };
}

/** What is not told follows from the rest. */
function moneyOf(
  amounts: { gross: Amount; net: Amount; fee: Amount },
  cells: Cells,
  { kind, digits }: { kind: RowType; digits: Digits },
): Pick<ReportRow, 'gross' | 'fee' | 'net'> {
  const [gross, net, fee] = [amounts.gross(cells, digits), amounts.net(cells, digits), amounts.fee(cells, digits)];
  if (gross === undefined && (net === undefined || TOLD_GROSS.includes(kind)))
    throw new BadValue('has no gross amount');
  const told = gross ?? (net as bigint) + (fee ?? 0n);
  const charged = fee ?? (net === undefined ? 0n : told - net);
  if (net !== undefined && net !== told - charged) {
    throw new BadValue(
      `net is not gross less fee: ${net} is not ${told} − ${charged}, in minor units of ${digits.currency}`,
    );
  }
  return { gross: told, fee: charged, net: told - charged };
}

function named<Value>(column: string, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    if (error instanceof BadValue) throw new BadValue(`${column}: ${error.message}`);
    throw error;
  }
}
