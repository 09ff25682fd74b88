import { inFile } from './mutant.mjs';

const QUEUE = 'libs/platform/src/fair-queue.spec.ts';
const LINES = 'libs/ledger/src/writing/lines.spec.ts';
const LANES = 'test/fair-lanes.test.ts';
const POOL = 'test/connection-turns.test.ts';

/**
 * Planted bugs of what merchants share: queues, lanes of the writer, connections.
 *
 * @type {import('./mutant.mjs').Mutant[]}
 */
export const LIMIT_MUTANTS = [
  ...inFile('libs/platform/src/fair-queue.ts', QUEUE, [
    ['whoever is held saves without end', 'line.deficit = Math.min(line.deficit, line.places.first?.cost ?? 0);', ''],
    ['whoever is released comes first', 'if (line) this.#ring.push(line);', 'if (line) this.#ring.unshift(line);'],
    ['a turn costs nothing', 'line.deficit -= place.cost;', ''],
    ['all weigh the same', 'quantum * Math.max(weightOf(line.key) || 0, LEAST_WEIGHT)', 'quantum'],
    ['capacity is in all only', ' || this.sizeOf(key) >= keyCapacity', ''],
    ['whoever is held has turns', 'if (!this.#held.has(key)) this.#ring.push(line);', 'this.#ring.push(line);'],
    ['what was taken comes last again', 'line.places.unshift(place)', 'line.places.push(place)'],
  ]),
  ...inFile('libs/ledger/src/writing/lines.ts', LINES, [
    [
      'one lane takes all merchants',
      'return Math.ceil((this.#queues.shared.ready + this.#inFlight) / this.#options.lanes);',
      'return this.#queues.shared.ready;',
    ],
    [
      'small requests wait for all large ones',
      'if (this.#queues[other].sizeOf(merchantId) === 0) this.#queues[own]',
      'this.#queues[own]',
    ],
    ['what was left behind comes in another order', 'of waiting.toReversed()', 'of waiting'],
    [
      'whoever goes apart saves with each look at who is next',
      'next = cost < this.#options.groupSize ? queue.peek() : undefined',
      'next = queue.peek()',
    ],
    ['who goes apart weighs the same', 'apart: new FairQueue({ weightOf, quantum', 'apart: new FairQueue({ quantum'],
    ['whoever was locked elsewhere holds groups up again', ' || this.#isApart(merchantId)', ''],
  ]),
  ...inFile('libs/ledger/src/writing/lines.ts', 'libs/ledger/src/writing/lines.property.spec.ts', [
    ['a merchant waits for itself for ever', 'this.#queues[other].release(merchantId);', ''],
    ['whoever is passed over is forgotten', 'for (const merchantId of passed) queue.release(merchantId);', ''],
  ]),
  ...inFile('libs/ledger/src/writing/lines.ts', LANES, [
    [
      'one line in order of arrival',
      '(goesApart ? apart : shared).push(merchantId, waiting',
      '(goesApart ? apart : shared).push(0n, waiting',
    ],
    ['a lane is full in all only', ' || ofMerchant >= this.#options.merchantCapacity', ''],
    ['a batch goes with the others', 'waiting.cost > this.#options.groupSize * LARGE || ', ''],
    [
      'a merchant has two groups in flight',
      'for (const each of Object.values(this.#queues)) each.hold(merchantId);',
      '',
    ],
  ]),
  ...inFile('libs/ledger/src/writing/lane.ts', LANES, [
    [
      'a group waits for whoever is locked elsewhere',
      "kind === 'shared' ? parts.options.lockWaitMs : parts.options.apartLockWaitMs",
      'parts.options.groupTimeoutMs',
    ],
    ['whoever is left behind tries for ever', 'waiting.missed < this.#options.attempts', 'waiting.missed < Infinity'],
    [
      'poison parts others',
      'if (ofMerchants.length === 1) this.#lines.leaveOneByOne(alive);',
      'if (ofMerchants.length > 0) this.#lines.leaveOneByOne(alive);',
    ],
  ]),
  ...inFile('db/migrations/1765020100000-locks-within.ts', LANES, [
    ['a group sees whom it did not lock', "set_config('counterfoil.merchant_ids', locked::text, true), ", ''],
    [
      'who holds a lock is waited for as long as it likes',
      "set_config('lock_timeout', left_ms::text, true)",
      "set_config('lock_timeout', '0', true)",
    ],
  ]),
  ...inFile('libs/platform/src/connection-turns.ts', POOL, [
    ['connections in order of arrival', 'this.#waiting.push(holder, turn)', "this.#waiting.push('platform', turn)"],
    [
      'one merchant has all connections',
      'if (count >= this.#options.perMerchant) this.#waiting.hold(merchantId);\n    else',
      '',
    ],
    [
      'who waits no longer has its turn all the same',
      'if (place && !this.#waiting.remove(place)) this.leave(holder);',
      '',
    ],
    [
      'who waits no longer gives back what it never had',
      'if (place && !this.#waiting.remove(place)) this.leave(holder);',
      'if (place) this.#waiting.remove(place);\n      this.leave(holder);',
    ],
    ['merchants’ reads weigh the same', 'PLATFORM_WEIGHT : options.weightOf(holder)', 'PLATFORM_WEIGHT : 1'],
  ]),
];
