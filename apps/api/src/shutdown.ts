import type { Server } from 'node:http';
import { Server as NetServer } from 'node:net';
import { setImmediate as nextTurn, setTimeout as sleep } from 'node:timers/promises';

const POLL_MS = 10;
/** Of connections that wait to be accepted: Node's own. */
const BACKLOG = 511;
/** How long those who wait are accepted, while others go on coming. */
const ACCEPT_MS = 1_000;
/** How long idle keep-alive connections are left open for a request that may be under way in them. */
const IDLE_LINGER_MS = 1_000;

/** Whether the process is going down, and how many requests it still has in hand. */
export class Shutdown {
  #draining = false;
  #inHand = 0;
  readonly #listeners: (() => void)[] = [];

  /** From the moment of SIGTERM: `/readyz` is 503, and each answer says `Connection: close`. */
  get isDraining(): boolean {
    return this.#draining;
  }

  get inHand(): number {
    return this.#inHand;
  }

  /** Calls back at the moment of SIGTERM: for what would otherwise be in hand until the grace is over. */
  onDrain(listener: () => void): void {
    this.#listeners.push(listener);
  }

  requestBegan(): void {
    this.#inHand += 1;
  }

  requestEnded(): void {
    this.#inHand -= 1;
  }

  /**
   * Lets clients go without failing one of their requests: first only the readiness changes, then no new connections are
   * accepted, and the open ones end with their next answer. Idle ones are closed after a moment rather than at once, since a
   * request may be on its way in them. Ends whatever is still in hand after `graceMs`.
   */
  async drain(server: Server, options: { delayMs: number; graceMs: number }): Promise<void> {
    this.#draining = true;
    for (const listener of this.#listeners) listener();
    const endMs = performance.now() + options.graceMs;
    await sleep(Math.min(options.delayMs, options.graceMs));
    await acceptWhatCame(server, Math.min(endMs, performance.now() + ACCEPT_MS));
    // Not Server.close of http: that one cuts idle connections at once.
    NetServer.prototype.close.call(server);
    const lingerEndMs = Math.min(endMs, performance.now() + IDLE_LINGER_MS);
    while (performance.now() < lingerEndMs && (this.#inHand > 0 || (await connectionsOf(server)) > 0))
      await sleep(POLL_MS);
    await readWhatCame();
    server.closeIdleConnections();
    while (performance.now() < endMs && this.#inHand > 0) await sleep(POLL_MS);
    server.closeAllConnections();
  }
}

/**
 * Until nobody waits to be accepted: who still does when the server closes is reset. A turn of the event loop accepts one connection, and the
 * system keeps BACKLOG of them. Ends by `endMs` (monotonic).
 */
async function acceptWhatCame(server: Server, endMs: number): Promise<void> {
  let accepted = 0;
  const count = () => {
    accepted += 1;
  };
  server.on('connection', count);
  for (let before = -1; before < accepted && accepted < BACKLOG && performance.now() < endMs; ) {
    before = accepted;
    await readWhatCame();
  }
  server.off('connection', count);
}

/** A process that slept finds its timers due before it has accepted the connections and read the requests that came meanwhile. */
async function readWhatCame(): Promise<void> {
  await nextTurn();
  await nextTurn();
}

function connectionsOf(server: Server): Promise<number> {
  return new Promise((resolve) => {
    server.getConnections((error, count) => resolve(error ? 0 : count));
  });
}
