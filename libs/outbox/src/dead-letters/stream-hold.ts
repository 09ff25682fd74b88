import type { TransactionClient } from '#platform/postgres.js';
import { ClaimLost, ConsumerPosition } from '../consumers/position-store.js';
import type { Position } from '../log/position.js';
import type { FreeStream } from './dead-letter-store.js';

/** As whoever enters the relay's scope: the transaction is of a release that knows of merchants apart (docs/adr/0037). */
const LEAVES_APART = `SELECT set_config('counterfoil.leaves_apart', 'on', true)`;

/** Keeps a merchant's stream where it is: by its own position, where it goes apart, or else by its partition's. In the merchant's scope. */
export class StreamHold {
  readonly #own: ConsumerPosition;
  readonly #partition: ConsumerPosition;

  constructor(consumer: string, { merchantId, partition }: FreeStream, claimant: string, claimMs: number) {
    this.#own = new ConsumerPosition(consumer, { merchantId }, claimant, claimMs);
    this.#partition = new ConsumerPosition(consumer, { partition }, claimant, claimMs);
  }

  /** Takes or prolongs the claim; answers up to where the stream has been gone through. Throws ClaimLost when others have it. */
  async hold(client: TransactionClient): Promise<Position> {
    await client.query({ text: LEAVES_APART });
    if (await this.#own.read(client)) return this.#own.hold(client);
    const stands = await this.#partition.hold(client);
    // Nobody goes apart any more while the partition is held: who has done so meanwhile is seen now.
    if (await this.#own.read(client)) throw new ClaimLost('the merchant has gone apart from its partition');
    return stands;
  }

  async release(client: TransactionClient): Promise<void> {
    await this.#own.release(client);
    await this.#partition.release(client);
  }
}
