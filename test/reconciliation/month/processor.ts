import type { Life, ProviderFact } from '../../../apps/provider-simulator/src/life.js';
import { Random } from '../../../apps/provider-simulator/src/random.js';
import type { ReportFault } from '../../../apps/provider-simulator/src/reports/faults.js';
import {
  type Planted,
  type ReportFormat,
  type ReportOptions,
  reportOf,
} from '../../../apps/provider-simulator/src/reports/report.js';
import type { Story } from '../../night/stories.js';
import { wireOf } from '../../payments/lives.js';
import { bankingDayAfter } from './month.js';

/** The provider simulator, with payments that happened as the stories say. */

export interface Reported {
  readonly text: string;
  readonly planted: readonly Planted[];
}

/** What a processor pays in. */
export interface Credit {
  readonly reference: string;
  readonly batch: string;
  readonly amount: bigint;
  readonly currency: string;
  /** On which it is booked. */
  readonly date: string;
}

export interface Days {
  readonly from: string;
  readonly to: string;
  readonly faults: readonly ReportFault[];
}

const DAY_MS = 86_400_000;

export class Processor {
  readonly #lives: readonly Life[];

  constructor(
    stories: readonly Story[],
    readonly format: ReportFormat,
    private readonly seed: number,
  ) {
    this.#lives = stories.map(lifeOf);
  }

  report(days: Days): Reported {
    return this.#report({ ...days, format: this.format });
  }

  /** What is paid in of these days is what they are told to come to; told in minor units it can be added up. */
  credits(days: Days): Credit[] {
    const { text } = this.#report({ ...days, format: 'generic' });
    const rows = [...new Set(text.trim().split('\n').slice(1))].map((line) => line.split(','));
    const nets = new Map<string, bigint>();
    for (const [, , type, , , net = '0', currency, , batch] of rows) {
      const key = `${batch?.slice('batch-'.length)} ${currency}`;
      if (type !== 'payout') nets.set(key, (nets.get(key) ?? 0n) + BigInt(net));
    }
    return [...nets].flatMap(([key, amount]) => {
      const [day, currency] = key.split(' ') as [string, string];
      const batch = this.#batchOf(day);
      const reference = `${this.format}, batch ${batch} ${currency}`;
      return amount > 0n ? [{ reference, batch, amount, currency, date: bankingDayAfter(day) }] : [];
    });
  }

  #report(options: ReportOptions): Reported {
    const { lines, planted } = reportOf(this.#lives, options, new Random(this.seed, 'report'));
    return { text: [...lines].join(''), planted };
  }

  /** As the format names what is paid out of a day. */
  #batchOf(day: string): string {
    if (this.format === 'generic') return `batch-${day}`;
    return this.format === 'adyen_settlement_detail'
      ? String(Date.parse(day) / DAY_MS)
      : `po_${day.replaceAll('-', '')}`;
  }
}

function lifeOf({ ref, currency, happenings }: Story): Life {
  const facts = happenings.map(({ fact }) => {
    // The simulator tells what a dispute costs as an amount.
    const amount = fact.type === 'dispute_fee' ? fact.fee : fact.amount;
    return wireOf(
      { ...fact, ...(amount !== undefined && { amount }) },
      { provider: '', ref },
    ) as unknown as ProviderFact;
  });
  return { ref, currency, plot: 'purchase', facts: facts.map((fact) => ({ ...fact, currency })) };
}
