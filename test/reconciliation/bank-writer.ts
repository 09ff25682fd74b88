import type { Entry, PlantedBank } from './bank-planted.js';
import { major } from './writers.js';

/** A camt.053 as these tests write it, a statement for each currency. */

const HEAD =
  '<?xml version="1.0" encoding="UTF-8"?>\n<Document xmlns="urn:iso:std:iso:20022:tech:xsd:camt.053.001.08"><BkToCstmrStmt>\n';
const OPENING = 100_000n;

export function* statementLines(planted: PlantedBank): Generator<string> {
  yield HEAD;
  for (const currency of ['EUR', 'USD']) {
    let total = 0n;
    const own = function* (): Generator<Entry> {
      for (const entry of planted.entries()) if (entry.currency === currency) yield entry;
    };
    for (const { amount } of own()) total += amount;
    yield* statement(`all of ${currency}`, currency, own(), total);
  }
  // A cent too much, and nothing that explains it.
  if (planted.lacking !== undefined) yield* statement(planted.lacking, 'EUR', [], 1n);
  yield '</BkToCstmrStmt></Document>\n';
}

function* statement(id: string, currency: string, entries: Iterable<Entry>, total: bigint): Generator<string> {
  yield `<Stmt><Id>${id}</Id><Acct><Id><Othr><Id>account of ${id}</Id></Othr></Id><Ccy>${currency}</Ccy></Acct>\n`;
  yield balance('OPBD', OPENING, currency) + balance('CLBD', OPENING + total, currency);
  for (const entry of entries) yield entryXml(entry);
  yield '</Stmt>\n';
}

function money(amount: bigint, currency: string): string {
  const [size, way] = amount < 0n ? [-amount, 'DBIT'] : [amount, 'CRDT'];
  return `<Amt Ccy="${currency}">${major(size)}</Amt><CdtDbtInd>${way}</CdtDbtInd>`;
}

const balance = (code: string, amount: bigint, currency: string) =>
  `<Bal><Tp><CdOrPrtry><Cd>${code}</Cd></CdOrPrtry></Tp>${money(amount, currency)}</Bal>\n`;

function entryXml({ id, reference, text, amount, currency, isReturn, atMs }: Entry): string {
  const said = money(amount, currency);
  const code = isReturn ? '<BkTxCd><Domn><Fmly><SubFmlyCd>RRTN</SubFmlyCd></Fmly></Domn></BkTxCd>' : '';
  const remittance = text === undefined ? '' : `<RmtInf><Ustrd>${text}</Ustrd></RmtInf>`;
  return (
    `<Ntry>${said}<Sts><Cd>BOOK</Cd></Sts><BookgDt><DtTm>${new Date(atMs).toISOString()}</DtTm></BookgDt><AcctSvcrRef>${id}</AcctSvcrRef>${code}` +
    `<NtryDtls><TxDtls><Refs><EndToEndId>${reference}</EndToEndId></Refs>${remittance}</TxDtls></NtryDtls></Ntry>\n`
  );
}
