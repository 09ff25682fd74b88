import type { Dice } from '../histories/history.js';
import type { Service } from '../histories/servers.js';
import { asAdmin } from '../support/database.js';
import type { Fleet } from './fleet.js';

const END_BACKENDS = `
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
 WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name LIKE 'counterfoil%'`;
const DRAFTS = 'SELECT FROM settlement_drafts LIMIT 1';
/** How often a run is looked at before it is struck, where nothing else is waited for. */
const MOST_LOOKS = 12;

type Moment = 'begun' | number;

interface Planned {
  readonly when: Moment;
  readonly kind: string;
  readonly strike: () => Promise<unknown>;
}

/** Befalls the processes of a fleet while a night is settled: each night as the dice say. */
export class NightHarm {
  readonly done: string[] = [];
  readonly #fleet: Fleet;
  readonly #dice: Dice;
  readonly #strikes: number;
  #planned: Planned[] = [];
  #looks = 0;
  readonly #repairs = new Map<Service, Promise<void>>();

  /** `strikes`: of a night, on average; never more than one above that. */
  constructor(fleet: Fleet, dice: Dice, strikes: number) {
    this.#strikes = strikes;
    this.#fleet = fleet;
    this.#dice = dice;
  }

  async begin(): Promise<void> {
    this.#looks = 0;
    this.#planned = Array.from({ length: Math.floor(this.#strikes + this.#dice.next()) }, () => this.#draw());
  }

  /** Each time that the run is looked at. */
  async strike(): Promise<void> {
    const looks = this.#looks++;
    for (const planned of [...this.#planned]) {
      const { when, kind, strike } = planned;
      if (when === 'begun' ? !(await this.#isBegun()) : looks < when) continue;
      this.#planned = this.#planned.filter((one) => one !== planned);
      this.done.push(`${kind}${when === 'begun' ? ' while a settlement was in the making' : ''}`);
      await strike();
    }
  }

  /** Everything runs again. */
  async end(): Promise<void> {
    await Promise.all(this.#repairs.values());
    this.#repairs.clear();
  }

  #draw(): Planned {
    const { apis, workers, theBank, redis, on } = this.#fleet;
    const kills = [...apis, ...workers, ...workers, theBank].map((service) => ({
      kind: `SIGKILL of ${service.name}`,
      strike: async () => this.#kill(service),
    }));
    // It comes back empty: jobs are made again from what PostgreSQL has.
    const emptied = Object.entries(redis).map(([role, one]) => ({
      kind: `SIGKILL of the ${role}'s Redis`,
      strike: () => one.crash(),
    }));
    const cut = {
      kind: 'connections to PostgreSQL ended',
      strike: () => asAdmin(on.ownerUrl, (owner) => owner.query(END_BACKENDS)),
    };
    const when = this.#dice.next() < 0.5 ? 'begun' : this.#dice.below(MOST_LOOKS);
    return { when, ...this.#dice.pick([...kills, ...emptied, cut]) };
  }

  /** Comes back while the others go on. */
  async #kill(service: Service): Promise<void> {
    await this.#repairs.get(service);
    await service.crash();
    const back = service.start();
    // Looked at when the night is over.
    back.catch(() => undefined);
    this.#repairs.set(service, back);
  }

  async #isBegun(): Promise<boolean> {
    const { rowCount } = await asAdmin(this.#fleet.on.ownerUrl, (owner) => owner.query(DRAFTS));
    return rowCount !== 0;
  }
}
