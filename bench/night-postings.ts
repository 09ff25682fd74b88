import { openBook } from './book.js';
import type { LoadResult } from './generator.js';
import { Generator } from './generator-process.js';
import type { NightBook } from './night-book.js';
import { NightService, OPERATOR_KEY } from './night-service.js';
import type { BenchMerchant, Load } from './requests.js';

const CALLERS = 16;
/** Of what this machine can post, before the night. */
const SHARE = 0.25;
const WARM_UP_MS = 1_000;
/** Of each kind. */
const MERCHANTS = 20;
const ACCOUNTS = 50;

export interface Beside {
  /** Whether the night went on all the while. */
  isWhole: boolean;
  perSecond: number;
  /** Milliseconds, by whom: those who are being settled and those who are not. */
  without: Record<'settled' | 'others', LoadResult>;
  during: Record<'settled' | 'others', LoadResult>;
}

/** Who posts while a night runs: on accounts that are being settled, and on others. First without it, at the same rate. */
export async function postBeside(book: NightBook, measureMs: number): Promise<Beside> {
  const copy = await book.copy();
  const service = await NightService.start(copy);
  const [settled, others] = [new Generator(), new Generator()];
  try {
    const { port } = service.api;
    settled.use(await merchantsToSettle(service));
    others.use(await openBook(port, OPERATOR_KEY, MERCHANTS, ACCOUNTS));
    const load = { port, callers: CALLERS, spread: 'uniform', batch: 1, lateMs: 0, warmUpMs: WARM_UP_MS } as const;
    const both = async (more: Pick<Load, 'measureMs' | 'perSecond'>) => {
      const on = { measuring: () => undefined, measured: () => undefined };
      const results = [settled, others].map((generator) => generator.run({ ...load, ...more }, on));
      const [first, second] = (await Promise.all(results)) as [LoadResult, LoadResult];
      const refused = first.firstRefusal ?? second.firstRefusal;
      if (refused !== undefined) throw new Error(`a posting was refused: ${refused}`);
      return { settled: first, others: second };
    };
    const full = await both({ measureMs });
    const perSecond =
      SHARE * (full.settled.requests / full.settled.seconds + full.others.requests / full.others.seconds);
    const each = { measureMs, perSecond: perSecond / 2 };
    const without = await both(each);
    const run = await service.begin(book.day.businessDate);
    const during = await both(each);
    const { status } = await service.look(run);
    return { isWhole: status === 'running', perSecond, without, during };
  } finally {
    for (const generator of [settled, others]) generator.stop();
    await service.stop();
    await copy.drop();
  }
}

/** Keys of some of them, and the two accounts that are on both sides of what they post: the one that is being settled is one. */
async function merchantsToSettle(service: NightService): Promise<BenchMerchant[]> {
  const operate = service.clientOf();
  const { data } = await operate('GET', `/v1/merchants?limit=${MERCHANTS}`);
  return Promise.all(
    data.map(async ({ id }: { id: string }) => {
      const { secret } = await operate('POST', `/v1/merchants/${id}/api_keys`, {});
      const call = service.clientOf(secret);
      const codes = ['merchant_payable:EUR', 'cash:EUR'];
      const found = await Promise.all(codes.map((code) => call('GET', `/v1/accounts?code_prefix=${code}`)));
      return { id, apiKey: secret, accounts: found.map((page) => page.data[0].id) };
    }),
  );
}
