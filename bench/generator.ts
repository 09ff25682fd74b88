import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { percentile } from '#db/bench/text-table.js';
import { HttpConnection } from './http-connection.js';
import { type BenchMerchant, type Load, RequestSource } from './requests.js';

/**
 * The load generator, a process of its own: N callers with a connection each, in a closed loop or at a rate. It tells its parent when the
 * measured time begins and, at its end, what came of it.
 */

export type ToGenerator = { merchants: BenchMerchant[] } | { load: Load };

export interface LoadResult {
  /** Requests answered 2xx while it was measured. */
  requests: number;
  seconds: number;
  /** Latency of each, in milliseconds. */
  p50: number;
  p99: number;
  p999: number;
  /** Answers of 400 and above, warm-up included: their number and the first one's text. */
  refused: number;
  firstRefusal: string | undefined;
  /** The generator's own CPU while it was measured. */
  cpuMs: number;
}

export type FromGenerator =
  | { event: 'measuring' }
  | { event: 'measured' }
  | { event: 'result'; result: LoadResult }
  | { event: 'failed'; message: string };

let merchants: BenchMerchant[] = [];

process.on('message', (message: ToGenerator) => {
  if ('merchants' in message) merchants = message.merchants;
  else
    run(message.load).then(
      (result) => tell({ event: 'result', result }),
      (error: Error) => tell({ event: 'failed', message: error.message }),
    );
});
process.on('disconnect', () => process.exit(0));

function tell(message: FromGenerator): void {
  process.send?.(message);
}

async function run(load: Load): Promise<LoadResult> {
  const connections = await Promise.all(Array.from({ length: load.callers }, () => HttpConnection.open(load.port)));
  const source = new RequestSource(merchants, load, randomBytes(6).toString('hex'));
  const latenciesMs: number[] = [];
  let refused = 0;
  let firstRefusal: string | undefined;
  let measuring = false;
  let sent = 0;
  const beganAt = performance.now();
  const dueAt = (number: number, perSecond: number): number => beganAt + (number * 1_000) / perSecond;
  let stopped = false;
  /** Callers whose next request is not due yet: nobody waits for what was never sent. */
  const early = new Set<() => void>();

  const callers = connections.map(
    (connection) =>
      new Promise<void>((resolve, reject) => {
        let sentAt = 0;
        const answered = (status: number, body: Buffer | undefined): void => {
          if (body) {
            refused += 1;
            firstRefusal ??= `${status} ${body.toString()}`;
          } else if (measuring) latenciesMs.push(performance.now() - sentAt);
          if (stopped) resolve();
          else call();
        };
        const call = (): void => {
          const waitMs = load.perSecond === undefined ? 0 : dueAt(sent++, load.perSecond) - performance.now();
          if (waitMs < 1) {
            send();
            return;
          }
          early.add(resolve);
          setTimeout(() => {
            early.delete(resolve);
            if (!stopped) send();
          }, waitMs);
        };
        const send = (): void => {
          const request = source.next();
          sentAt = performance.now();
          connection.send(request, answered, reject);
        };
        call();
      }),
  );
  const done = Promise.all(callers);
  try {
    await Promise.race([done, delay(load.warmUpMs)]);
    tell({ event: 'measuring' });
    const cpuBefore = process.cpuUsage();
    const startedAt = performance.now();
    measuring = true;
    // However slow the server is, there is something to tell.
    do await Promise.race([done, delay(load.measureMs)]);
    while (latenciesMs.length === 0);
    measuring = false;
    stopped = true;
    for (const leave of early) leave();
    const seconds = (performance.now() - startedAt) / 1_000;
    const { user, system } = process.cpuUsage(cpuBefore);
    tell({ event: 'measured' });
    // What the clients were still waiting for is finished, so that the next load starts on an idle server.
    await done;
    return {
      requests: latenciesMs.length,
      seconds,
      p50: percentile(latenciesMs, 0.5),
      p99: percentile(latenciesMs, 0.99),
      p999: percentile(latenciesMs, 0.999),
      refused,
      firstRefusal,
      cpuMs: (user + system) / 1_000,
    };
  } finally {
    for (const connection of connections) connection.close();
  }
}
