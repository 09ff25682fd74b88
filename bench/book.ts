import { HttpConnection } from './http-connection.js';
import { type BenchMerchant, postRequest } from './requests.js';

const CALLERS = 32;

/** Opens merchants and their accounts (no floor, EUR) through the API itself, so that they are what a client would make. */
export async function openBook(
  port: number,
  operatorKey: string,
  merchants: number,
  accounts: number,
): Promise<BenchMerchant[]> {
  const connections = await Promise.all(Array.from({ length: CALLERS }, () => HttpConnection.open(port)));
  try {
    const book: BenchMerchant[] = [];
    for (let number = 1; number <= merchants; number += 1) {
      book.push(await openMerchant(connections[0] as HttpConnection, operatorKey, number));
    }
    const wanted = book.flatMap((merchant) =>
      Array.from({ length: accounts }, (_, index) => ({ merchant, code: `bench:${index + 1}` })),
    );
    await Promise.all(
      connections.map(async (connection) => {
        for (let next = wanted.pop(); next; next = wanted.pop())
          await openAccount(connection, next.merchant, next.code);
      }),
    );
    return book;
  } finally {
    for (const connection of connections) connection.close();
  }
}

/** More accounts of one merchant, `<prefix>:<n>`; no load knows them. */
export async function openAccounts(
  port: number,
  merchant: BenchMerchant,
  count: number,
  prefix: string,
): Promise<string[]> {
  const connections = await Promise.all(Array.from({ length: CALLERS }, () => HttpConnection.open(port)));
  const opened: BenchMerchant = { ...merchant, accounts: [] };
  try {
    const codes = Array.from({ length: count }, (_, index) => `${prefix}:${index}`);
    await Promise.all(
      connections.map(async (connection) => {
        for (let code = codes.pop(); code !== undefined; code = codes.pop())
          await openAccount(connection, opened, code);
      }),
    );
    return opened.accounts;
  } finally {
    for (const connection of connections) connection.close();
  }
}

async function openMerchant(connection: HttpConnection, operatorKey: string, number: number): Promise<BenchMerchant> {
  const body = JSON.stringify({
    name: `Benchmark ${number}`,
    time_zone: 'Europe/Berlin',
    settlement_cutoff: '00:00',
    currencies: ['EUR'],
  });
  const merchant = created(
    await connection.exchange(postRequest({ route: '/v1/merchants', apiKey: operatorKey, body })),
  );
  const { secret } = merchant.api_key as { secret: string };
  return { id: merchant.id as string, apiKey: secret, accounts: [] };
}

async function openAccount(connection: HttpConnection, merchant: BenchMerchant, code: string): Promise<void> {
  const body = JSON.stringify({ code, name: code, currency: 'EUR', normal_side: 'credit' });
  const account = created(
    await connection.exchange(postRequest({ route: '/v1/accounts', apiKey: merchant.apiKey, body })),
  );
  merchant.accounts.push(account.id as string);
}

function created({ status, body }: { status: number; body: string }): Record<string, unknown> {
  if (status !== 201) throw new Error(`the API answered ${status} ${body}`);
  return JSON.parse(body) as Record<string, unknown>;
}
