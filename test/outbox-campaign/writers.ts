import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import pg from 'pg';
import { decideGroup, touchedBy } from '#ledger/writing/group.js';
import { GroupConnection } from '#ledger/writing/group-store.js';
import { Deadline } from '#platform/deadline.js';
import { finish } from '#platform/turns.js';
import type { Dice } from '../histories/history.js';
import { exchange } from '../histories/http.js';
import type { Effect } from '../histories/oracle.js';
import type { TestDatabase } from '../support/database.js';
import { TestLedger, transfer } from '../support/ledger.js';
import { AskedBook } from './asked.js';

/** Someone to post for. */
interface Shop {
  readonly merchantId: string;
  readonly key: string;
  readonly accounts: readonly string[];
}

interface LateShop {
  readonly merchantId: bigint;
  readonly accounts: [bigint, bigint];
}

const ACCOUNTS = 3;
const BATCH = 20;
const PATIENCE_MS = 30_000;
const RETRY_MS = 100;
/** Shops that are opened at once. */
const OPENERS = 4;
/** Of ten transactions one is rolled back. */
const ROLLED_BACK = 0.1;
const ROLLBACK_EVENTS = 5;
/** Of ten single ones four hold, and most of these are moved by whoever posted them; of a batch's two. */
const HOLDS = 0.4;
const HOLDS_OF_BATCH = 0.2;
/** Far enough that a busy machine still posts it in time. */
const EXPIRES_MS = { low: 4_000, high: 8_000 };

/** Genuine events of the merchant, once more: if they ever got out, its sums would show it. */
const WRITE_AGAIN = `
INSERT INTO events (merchant_id, type, version, occurred_at, data)
SELECT merchant_id, type, version, now(), data FROM events WHERE merchant_id = $1 ORDER BY xid DESC, seq DESC LIMIT $2`;

/** A busy machine's 503 is asked again, with the same key. */
async function post(url: string, path: string, key: string, body: object): Promise<Record<string, unknown>> {
  const headers = {
    authorization: `Bearer ${key}`,
    'content-type': 'application/json',
    'idempotency-key': randomUUID(),
  };
  const end = performance.now() + PATIENCE_MS;
  for (;;) {
    const { status, text } = await exchange(url + path, {
      headers,
      body: JSON.stringify(body),
      patienceMs: PATIENCE_MS,
    });
    if (status < 300) return JSON.parse(text);
    if (status !== 503 || performance.now() > end) throw new Error(`${path}: ${status} ${text}`);
    await sleep(RETRY_MS);
  }
}

const ZONES = ['UTC', 'Europe/Berlin', 'America/New_York', 'Asia/Kathmandu'];

export async function openShops(url: string, operatorKey: string, count: number): Promise<Shop[]> {
  const shops: Shop[] = [];
  const open = async (number: number): Promise<void> => {
    const merchant = await post(url, '/v1/merchants', operatorKey, {
      name: `Shop ${number}`,
      time_zone: ZONES[number % ZONES.length],
      settlement_cutoff: '00:00',
      currencies: ['EUR'],
    });
    const { secret } = merchant.api_key as { secret: string };
    const accounts: string[] = [];
    for (let index = 0; index < ACCOUNTS; index += 1) {
      const code = `till:${index}`;
      const account = { code, name: code, currency: 'EUR', normal_side: 'credit' };
      accounts.push((await post(url, '/v1/accounts', secret, account)).id as string);
    }
    shops.push({ merchantId: merchant.id as string, key: secret, accounts });
  };
  const numbers = Array.from({ length: count }, (_, number) => number);
  const opener = async (): Promise<void> => {
    for (let next = numbers.pop(); next !== undefined; next = numbers.pop()) await open(next);
  };
  await Promise.all(Array.from({ length: OPENERS }, opener));
  return shops;
}

function bodyOf({ from, to, posted, pending }: Effect, dice: Dice): object {
  const entry = { amount: String(posted + pending), currency: 'EUR' };
  return {
    type: dice.pick(['payment', 'fee', 'transfer']),
    ...(pending > 0n && { status: 'pending' }),
    entries: [
      { account_id: from, direction: 'debit', ...entry },
      { account_id: to, direction: 'credit', ...entry },
    ],
  };
}

/** Postings through the API, one by one and in batches, and transactions that are rolled back. */
export class Traffic {
  readonly counts = { posted: 0, rolledBack: 0, captured: 0, voided: 0, expiring: 0, reversed: 0 };
  readonly book = new AskedBook();
  readonly #urls: readonly string[];
  readonly #shops: readonly Shop[];
  readonly #on: TestDatabase;
  readonly #pauseMs: number;
  #stopped = false;

  constructor(parts: { urls: readonly string[]; shops: readonly Shop[]; on: TestDatabase }, pauseMs: number) {
    this.#urls = parts.urls;
    this.#shops = parts.shops;
    this.#on = parts.on;
    this.#pauseMs = pauseMs;
  }

  /** Until `stop`. Rejects when anything is refused: nothing here is the API's fault, nor the events'. */
  async run(dice: Dice, clients: number): Promise<void> {
    await Promise.all(Array.from({ length: clients }, () => this.#client(dice)));
  }

  stop(): void {
    this.#stopped = true;
  }

  /** A balance of each account, by way of the cache. */
  async readAll(): Promise<void> {
    for (const { key, accounts } of this.#shops) {
      const read = (id: string) =>
        exchange(`${this.#urls[0]}/v1/accounts/${id}/balance`, {
          headers: { authorization: `Bearer ${key}` },
          body: undefined,
          patienceMs: PATIENCE_MS,
        });
      await Promise.all(accounts.map(read));
    }
  }

  async #client(dice: Dice): Promise<void> {
    const own = new pg.Client({ connectionString: this.#on.runtimeUrl });
    await own.connect();
    try {
      while (!this.#stopped) {
        const shop = dice.pick(this.#shops);
        if (dice.next() < ROLLED_BACK) await this.#rollBack(own, shop, dice);
        else await this.#post(shop, dice);
        await sleep(dice.between(0, 2 * this.#pauseMs));
      }
    } finally {
      await own.end();
    }
  }

  async #post(shop: Shop, dice: Dice): Promise<void> {
    if (dice.next() < 0.5) return this.#postOne(shop, dice);
    const asked = Array.from({ length: BATCH }, () => this.#ask(shop, dice, dice.next() < HOLDS_OF_BATCH));
    const body = { mode: 'atomic', transactions: asked.map((one) => bodyOf(one, dice)) };
    await post(dice.pick(this.#urls), '/v1/transactions/batch', shop.key, body);
    for (const one of asked) this.#did(one);
  }

  async #postOne(shop: Shop, dice: Dice): Promise<void> {
    const asked = this.#ask(shop, dice, dice.next() < HOLDS);
    const expires = asked.pending > 0n && dice.next() < 0.3;
    const more = expires && { expires_at: new Date(Date.now() + dice.between(EXPIRES_MS.low, EXPIRES_MS.high)) };
    const body = { ...bodyOf(asked, dice), ...more };
    const { id } = await post(dice.pick(this.#urls), '/v1/transactions', shop.key, body);
    this.#did(asked);
    if (expires) {
      this.counts.expiring += 1;
      this.book.add({ ...asked, pending: -asked.pending });
    } else if (asked.pending > 0n) await this.#end(shop, dice, { id: String(id), asked });
  }

  /** Captures in part, and the rest or not; or voids; takes some of it back. One hold in five stays. */
  async #end(shop: Shop, dice: Dice, hold: { id: string; asked: Effect }): Promise<void> {
    const { asked } = hold;
    const move = (id: string, what: string, body: object) =>
      post(dice.pick(this.#urls), `/v1/transactions/${id}/${what}`, shop.key, body);
    const draw = dice.next();
    if (draw < 0.2) return;
    if (draw < 0.4) {
      await move(hold.id, 'void', {});
      this.counts.voided += 1;
      return this.#did({ ...asked, pending: -asked.pending });
    }
    const part = 1n + BigInt(dice.below(Number(asked.pending)));
    const final = part === asked.pending || dice.next() < 0.5;
    const capture = await move(hold.id, 'post', { amount: String(part), final });
    this.counts.captured += 1;
    this.#did({ ...asked, posted: part, pending: final ? -asked.pending : -part });
    if (dice.next() < 0.3) {
      const amount = 1n + BigInt(dice.below(Number(part)));
      await move(String(capture.id), 'reverse', { amount: String(amount) });
      this.counts.reversed += 1;
      this.#did({ ...asked, posted: amount, pending: 0n, back: true });
    }
  }

  #did(effect: Effect): void {
    this.book.add(effect);
    this.counts.posted += 1;
  }

  #ask({ accounts }: Shop, dice: Dice, hold: boolean): Effect {
    const [from, to] = dice.shuffled(accounts) as [string, string];
    const amount = BigInt(1 + dice.below(10_000));
    return { from, to, posted: hold ? 0n : amount, pending: hold ? amount : 0n, back: false };
  }

  async #rollBack(own: pg.Client, { merchantId }: Shop, dice: Dice): Promise<void> {
    await own.query('BEGIN');
    await own.query(`SELECT set_config('counterfoil.merchant_ids', $1, true)`, [`{${merchantId}}`]);
    await own.query('SELECT lock_merchants($1)', [[merchantId]]);
    await own.query(WRITE_AGAIN, [merchantId, ROLLBACK_EVENTS]);
    await sleep(dice.between(0, 50));
    await own.query('ROLLBACK');
    this.counts.rolledBack += 1;
  }
}

/**
 * A commit group by hand, open for as long as it takes: it has its xid, and with it its place in the log, long before it
 * commits. Of merchants of its own, because a merchant's groups wait for each other.
 */
export class LateWriter {
  readonly #ledger: TestLedger;
  readonly #connection: GroupConnection;
  readonly #shops: readonly LateShop[];
  /** Groups that committed late, and the events that others committed above them meanwhile. */
  readonly counts = { late: 0, overtaken: 0 };

  private constructor(ledger: TestLedger, connection: GroupConnection, shops: readonly LateShop[]) {
    this.#ledger = ledger;
    this.#connection = connection;
    this.#shops = shops;
  }

  static async open(on: TestDatabase, shops: number): Promise<LateWriter> {
    const ledger = await TestLedger.open(on);
    const opened: LateShop[] = [];
    for (let number = 0; number < shops; number += 1) {
      const merchantId = await ledger.createMerchant();
      const from = await ledger.createAccount(merchantId, { code: 'a' });
      opened.push({ merchantId, accounts: [from, await ledger.createAccount(merchantId, { code: 'b' })] });
    }
    return new LateWriter(ledger, await GroupConnection.open(on.runtimeUrl, PATIENCE_MS), opened);
  }

  async postLate(holdMs: number, posted: () => number): Promise<void> {
    const submissions = await Promise.all(
      this.#shops.map(async ({ merchantId, accounts }) => {
        const context = this.#ledger.context(merchantId);
        const resolved = await this.#ledger.directory.resolve(context, [transfer(...accounts, 1n)]);
        return {
          merchantId,
          mode: 'single' as const,
          commands: resolved.commands,
          accounts: resolved.accounts,
          idempotency: { key: randomUUID(), requestSha256: Buffer.alloc(32, 1) },
          parents: new Map(),
          deadline: Deadline.after(holdMs + PATIENCE_MS),
          span: context.span,
        };
      }),
    );
    const timeoutMs = holdMs + PATIENCE_MS;
    const locked = await this.#connection.begin({ ...touchedBy(submissions), timeoutMs, lockWaitMs: timeoutMs });
    const before = posted();
    await sleep(holdMs);
    const { writes } = finish(decideGroup(submissions, locked, this.#ledger.ids, this.#ledger.ids.next()));
    if (!writes) throw new Error('nothing to write');
    await this.#connection.writeAndCommit(writes);
    this.counts.late += 1;
    this.counts.overtaken += posted() - before;
  }

  async close(): Promise<void> {
    await this.#connection.close();
    await this.#ledger.close();
  }
}
