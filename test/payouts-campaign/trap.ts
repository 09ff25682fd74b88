import { COMMIT, cut, type Link, type TcpProxy } from '../support/tcp-proxy.js';

const COMMITTED = Buffer.from('COMMIT\0', 'latin1');
/** After it there is nothing more of a commit group, or of a statement that is a transaction of its own. */
const END = COMMIT;

/** How much of what it catches PostgreSQL gets: nothing; all but COMMIT; all, and its answer is lost. */
export type Reach = 'nothing' | 'all but COMMIT' | 'all, unanswered';

export interface Prey {
  /** In the first message of the transaction, or after it. */
  readonly begins: string;
  /** Whether it is the one that is waited for, by all that was sent. */
  readonly isIt: (transaction: Buffer) => boolean;
  readonly reach: Reach;
}

/** Stands between a process and PostgreSQL, and holds the transactions that it waits for at one point. */
export class Trap {
  readonly #proxy: TcpProxy;
  readonly #prey: Prey;
  readonly #sent = new Map<Link, Buffer>();
  readonly #caught = new Map<Link, Buffer>();

  constructor(proxy: TcpProxy, prey: Prey) {
    this.#proxy = proxy;
    this.#prey = prey;
    proxy.onChunk = (link, bytes) => this.#take(link, bytes);
  }

  /** Whether something that is held names it. */
  holds(isNamed: (transaction: Buffer) => boolean): boolean {
    return [...this.#caught.values()].some(isNamed);
  }

  /** From now on everything goes through; what is held is lost with its connection. */
  open(): void {
    this.#proxy.onChunk = () => false;
    for (const [link, bytes] of this.#sent) if (!this.#caught.has(link)) link.server.write(bytes);
    for (const link of this.#caught.keys()) cut(link);
  }

  #take(link: Link, bytes: Buffer): boolean {
    if (this.#caught.has(link)) return true;
    const before = this.#sent.get(link);
    if (!before && !bytes.includes(this.#prey.begins)) return false;
    const sent = Buffer.concat([before ?? Buffer.alloc(0), bytes]);
    this.#sent.set(link, sent);
    const endsAt = sent.indexOf(END, sent.indexOf(this.#prey.begins));
    if (endsAt < 0) return true;
    this.#sent.delete(link);
    if (this.#prey.isIt(sent)) this.#hold(link, sent, endsAt);
    else link.server.write(sent);
    return true;
  }

  #hold(link: Link, sent: Buffer, endsAt: number): void {
    const { reach } = this.#prey;
    if (reach !== 'all, unanswered') this.#caught.set(link, sent);
    if (reach === 'all but COMMIT') link.server.write(sent.subarray(0, endsAt));
    if (reach !== 'all, unanswered') return;
    link.server.removeAllListeners('data');
    let answered = Buffer.alloc(0);
    link.server.on('data', (answer) => {
      answered = Buffer.concat([answered, answer]);
      if (answered.includes(COMMITTED)) this.#caught.set(link, sent);
    });
    link.server.write(sent);
  }
}
