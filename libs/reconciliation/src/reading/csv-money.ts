import type { ReportRow, RowType } from '../report-row.js';
import { amountOf, type Digits } from './amount.js';
import { BadValue, named, quoted } from './bad-value.js';
import type { AmountColumns, CsvProfile } from './sources.js';

export type Cells = readonly string[];
export type Column = (cells: Cells) => string;
export type Columns = (name: string) => Column;
/** Undefined: nothing stands there. */
type Amount = (cells: Cells, digits: Digits) => bigint | undefined;
type Money = Pick<ReportRow, 'gross' | 'fee' | 'net'>;

/** Types of which a report has to say the gross amount; others move money of which there may be a net amount alone. */
const TOLD_GROSS: readonly RowType[] = ['payment', 'refund', 'dispute', 'dispute_reversed'];

/** A row's amounts. Those of `fees` that are not there at all are not told. */
export function moneyColumns(profile: CsvProfile, at: Columns, isThere: (name: string) => boolean) {
  const fees = profile.fees.filter(isThere).map((name) => signed(name, at(name)));
  const columns = { gross: amount(profile.gross, at), net: amount(profile.net, at), fee: sum(fees) };
  return (cells: Cells, digits: Digits, type: RowType): Money => {
    const told = {
      gross: columns.gross(cells, digits),
      net: columns.net(cells, digits),
      fee: columns.fee(cells, digits),
    };
    return moneyOf(told, digits, type);
  };
}

/** What is not told follows from the rest. */
function moneyOf(
  { gross, net, fee }: { readonly [Key in keyof Money]: bigint | undefined },
  { currency }: Digits,
  type: RowType,
): Money {
  if (gross === undefined && (net === undefined || TOLD_GROSS.includes(type)))
    throw new BadValue('has no gross amount');
  const told = gross ?? (net as bigint) + (fee ?? 0n);
  const charged = fee ?? (net === undefined ? 0n : told - net);
  if (net !== undefined && net !== told - charged) {
    throw new BadValue(`net is not gross less fee: ${net} is not ${told} − ${charged}, in minor units of ${currency}`);
  }
  return { gross: told, fee: charged, net: told - charged };
}

/** The currency of a row, and how it is written. */
export function currencyColumns({ currencies: names, digits }: CsvProfile, at: Columns): (cells: Cells) => Digits {
  const [columns, label] = [names.map(at), names.join(', ')];
  return (cells) => {
    let found = '';
    for (const column of columns) {
      const code = column(cells).trim();
      if (found !== '' && code !== '' && code !== found)
        throw new BadValue(
          `${label}: ${quoted(found)} and ${quoted(code)} in one row: only rows in one currency can be held against the ledger`,
        );
      found ||= code;
    }
    return named(label, () => digits(found));
  };
}

function amount(of: AmountColumns, at: Columns): Amount {
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

function sum(parts: readonly Amount[]): Amount {
  return (cells, digits) => {
    let total: bigint | undefined;
    for (const part of parts) {
      const found = part(cells, digits);
      if (found !== undefined) total = (total ?? 0n) + found;
    }
    return total;
  };
}
