import { readFileSync } from 'node:fs';
import type { ReadingLimits } from '#reconciliation/reading/limits.js';
import { readReport } from '#reconciliation/reading/read-report.js';
import type { StatementFacts } from '#reconciliation/reading/report-batch.js';
import type { Source } from '#reconciliation/reading/sources.js';
import type { BadRow, ReportRow } from '#reconciliation/report-row.js';

export interface Read {
  readonly rows: ReportRow[];
  readonly bad: BadRow[];
  readonly statements: StatementFacts[];
}

/** As it is kept in test/fixtures/reports. */
export const reportFixture = (name: string): string =>
  readFileSync(new URL(`../fixtures/reports/${name}`, import.meta.url), 'utf8');

/** A whole report, sent at once or in given pieces. */
export async function readAll(
  source: Source,
  sent: string | Uint8Array | readonly Uint8Array[],
  limits?: ReadingLimits,
): Promise<Read> {
  const chunks = Array.isArray(sent) ? sent : [typeof sent === 'string' ? Buffer.from(sent) : sent];
  const read: Read = { rows: [], bad: [], statements: [] };
  for await (const batch of readReport(source, asyncOf(chunks), limits)) {
    read.rows.push(...batch.rows);
    read.bad.push(...batch.bad);
    read.statements.push(...batch.statements);
  }
  return read;
}

async function* asyncOf(chunks: readonly Uint8Array[]): AsyncGenerator<Uint8Array> {
  yield* chunks;
}

export const ADYEN_HEADER = reportFixture('adyen-settlement-detail.csv').split('\n')[0] ?? '';

/** A row of Adyen's, by the names of its columns; what is not given is as usual. */
export function adyenRow(cells: Readonly<Record<string, string>> = {}): string {
  const all: Record<string, string> = {
    'Company Account': 'Nordwind',
    'Merchant Account': 'NordwindCoffeeECOM',
    'Psp Reference': '8816178914079738',
    'Creation Date': '2026-11-25 11:26:49',
    TimeZone: 'CET',
    Type: 'Settled',
    'Modification Reference': '8516178914123456',
    'Gross Currency': 'EUR',
    'Gross Credit (GC)': '19.99',
    'Net Currency': 'EUR',
    'Net Credit (NC)': '19.99',
    'Batch Number': '417',
    ...cells,
  };
  return ADYEN_HEADER.split(',')
    .map((name) => all[name] ?? '')
    .join(',');
}

/** Adyen's report of these rows. */
export const adyenReport = (...rows: string[]): string => `${[ADYEN_HEADER, ...rows].join('\n')}\n`;

const GENERIC_COLUMNS = ['reference', 'object_ref', 'type', 'gross', 'fee', 'net', 'currency', 'occurred_at', 'batch'];
export const GENERIC_HEADER = GENERIC_COLUMNS.join(',');

export function genericRow(cells: Readonly<Record<string, string>> = {}): string {
  const all: Record<string, string> = {
    ...{ reference: 'pay_1', type: 'payment', gross: '1999', currency: 'EUR', occurred_at: '2026-11-26T13:02:11Z' },
    ...cells,
  };
  return GENERIC_COLUMNS.map((name) => all[name] ?? '').join(',');
}
