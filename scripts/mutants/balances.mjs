import { inFile } from './mutant.mjs';

/**
 * Planted bugs of the balance cache around a Redis that is not well. Those that only real processes show are in
 * scripts/mutants/faults.mjs.
 *
 * @type {import('./mutant.mjs').Mutant[]}
 */
export const BALANCE_MUTANTS = [
  ...inFile('libs/balances/src/pending-invalidations.ts', 'test/balance-cache-faults.test.ts', [
    ['strict waits for nothing', "this.#policy === 'available' ||", 'true ||'],
    ['what was waited for is waited for again', 'this.#outlived.set(key, version);', 'void version;'],
    [
      'an unfence takes the invalidation along',
      'version >= before.version ? [calls, before.invalidating] : [before.invalidating, calls]',
      '[calls, before.invalidating]',
    ],
    [
      'a process forgets what it could not invalidate',
      'pending.knownAtMs + this.#ttlMs > this.#clock.monotonic()',
      'pending.knownAtMs < 0',
    ],
  ]),
  ...inFile('libs/balances/src/read-balance.ts', 'test/balance-cache-faults.test.ts', [
    ['strict readers do not wait', 'await deadline.race(this.#pending.outlive(account, version));', ''],
    [
      'strict readers wait without end',
      'await deadline.race(this.#pending.outlive(account, version));',
      'await this.#pending.outlive(account, version);',
    ],
  ]),
  ...inFile('libs/balances/src/fences.ts', 'test/balance-cache-faults.test.ts', [
    ['something is installed behind a fence that was not confirmed', 'if (confirmed) await', 'if (token > 0n) await'],
  ]),
  ...inFile('libs/balances/src/read-balance.ts', 'test/redis-gone.test.ts', [
    [
      'without Redis there is no answer',
      'if (!Array.isArray(reply)) { this.#counts.bypassed += 1;',
      "if (!Array.isArray(reply)) { throw new Error('Redis is away');",
    ],
  ]),
  ...inFile('apps/api/src/health.controller.ts', 'test/redis-gone.test.ts', [
    ['a Redis that is away does not show', "connected && breaker === 'closed' && !refusing", '!refusing'],
    ['a Redis that refuses does not show', "breaker === 'closed' && !refusing", "breaker === 'closed'"],
  ]),
  ...inFile('libs/balances/src/cache-client.ts', 'test/redis-gone.test.ts', [
    ['a Redis that refused does so for ever', "if (calls[index]?.script === 'fence') this.#refusing = false;", ''],
  ]),
  ...inFile('libs/balances/src/cache-client.ts', 'test/balance-cache-faults.test.ts', [
    [
      'Redis is left alone for as long as the clock was set back',
      'new MonotonicPause(\n      new ExponentialBackoff({ initialDelay: HALF_OPEN_FIRST_MS, maxDelay: HALF_OPEN_LONGEST_MS }),\n    ),',
      'new ExponentialBackoff({ initialDelay: HALF_OPEN_FIRST_MS, maxDelay: HALF_OPEN_LONGEST_MS }),',
    ],
    [
      'an open breaker leaves Redis alone for no time',
      'this.#endMs = performance.now() + forMs;',
      'this.#endMs = performance.now();',
    ],
    [
      'a look for Redis has no end',
      '.execute(() => this.#within(this.#timeoutMs, this.#redis.ping()))',
      '.execute(() => this.#redis.ping())',
    ],
    ['where nobody asks Redis is never back', 'if (this.#breaker.state === CircuitState.Closed) return;', 'return;'],
  ]),
  ...inFile('libs/platform/src/redis.ts', 'test/redis-silent.test.ts', [
    ['a silent Redis is waited for', 'reconnectUnlessReady(redis, readyTimeoutMs);', ''],
    ['a Redis that is ready is cut', "for (const end of ['ready', 'close'])", "for (const end of ['close'])"],
  ]),
  ...inFile('libs/ledger/src/writing/group-store.ts', 'test/writer.test.ts', [
    [
      'the end of a transaction is waited for',
      "this.#orCut(this.#client.query('ROLLBACK'))",
      "this.#client.query('ROLLBACK')",
    ],
    ['the end of a connection is waited for', 'this.#orCut(this.#client.end())', 'this.#client.end()'],
  ]),
  ...inFile('libs/ledger/src/writing/lane.ts', 'test/redis-gone.test.ts', [
    [
      'what is acknowledged was not committed',
      'connection.writeAndCommit(writes), groupTimedOut',
      'Math.random() < 0.2 ? connection.rollback() : connection.writeAndCommit(writes), groupTimedOut',
    ],
  ]),
];
