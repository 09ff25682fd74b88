import type { Dice } from '../histories/history.js';
import type { Service } from '../histories/servers.js';
import { asAdmin } from '../support/database.js';
import { until } from '../support/until.js';

const END_BACKENDS = `
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'counterfoil%'`;
const NEVER_MS = 3_600_000;

type Kind = [name: string, strike: () => Promise<unknown>];

export interface Prey {
  readonly apis: readonly Service[];
  readonly worker: Service;
  readonly ownerUrl: string;
  /** Facts that were answered so far. */
  readonly told: () => number;
}

/** Two hands, one on processes and one on connections. Each strikes after a drawn number of facts, so that it is between any two of them. */
export class PaymentFaults {
  readonly done: string[] = [];
  readonly #prey: Prey;
  readonly #every: number;
  #stopped = false;

  /** `every`: facts between two strikes of a hand, on average. */
  constructor(prey: Prey, every: number) {
    this.#prey = prey;
    this.#every = every;
  }

  stop(): void {
    this.#stopped = true;
  }

  /** Until `stop`; then everything runs. */
  async run(dice: Dice): Promise<void> {
    const { apis, worker, ownerUrl } = this.#prey;
    const kills = [...apis, worker].map((service): Kind => [`SIGKILL of ${service.name}`, () => killed(service)]);
    const cutOff = (): Promise<unknown> => asAdmin(ownerUrl, (owner) => owner.query(END_BACKENDS));
    await Promise.all([this.#hand(dice, kills), this.#hand(dice, [['connections to PostgreSQL ended', cutOff]])]);
  }

  /** Every kind comes before one comes twice. */
  async #hand(dice: Dice, kinds: readonly Kind[]): Promise<void> {
    const { told } = this.#prey;
    while (!this.#stopped) {
      for (const [kind, strike] of dice.shuffled(kinds)) {
        const next = told() + 1 + dice.below(2 * this.#every);
        await until('so many facts', () => this.#stopped || told() >= next, NEVER_MS);
        if (this.#stopped) return;
        await strike();
        this.done.push(kind);
      }
    }
  }
}

async function killed(service: Service): Promise<void> {
  await service.crash();
  await service.start();
}
