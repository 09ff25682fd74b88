// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.

import { inFile } from './mutant.mjs';

const OVER_HTTP = 'test/limits.test.ts';
const PROPERTIES = 'test/budgets.property.test.ts';
const CHARGES = 'test/charges.test.ts';
const USAGE = 'test/usage.test.ts';
const FULL = 'test/redis-full.test.ts';
const SPEC = 'libs/limits/src/budget.spec.ts';
const SEARCHES = 'test/list-searches.test.ts';

/**
 * Planted bugs of merchants' budgets: what is counted when, where, and what a refusal costs.
 *
 * @type {import('./mutant.mjs').Mutant[]}
 */
export const BUDGET_MUTANTS = [
  ...inFile('libs/limits/src/limit-metrics.ts', 'test/metrics.test.ts', [
    [
      'budgets that nobody shares are away for good',
      'limits.budgets.areShared ? Number(limits.budgets.isAway) : []',
      'Number(limits.budgets.isAway)',
    ],
  ]),
  ...inFile('libs/limits/src/budget.ts', PROPERTIES, [
    [
      'units are counted after the work',
      'this.#spent += units; this.#inFlight += flight; return { units, flight, isShare: false };',
      'this.#inFlight += flight; return { units: 0, flight, isShare: false };',
    ],
    ['what costs more than it was estimated at is forgiven', 'else this.#spent += units - taken.units;', ''],
    ['each process has the whole budget while Redis is gone', 'this.#processes = processes;', ''],
    [
      'each process has its part of a whole burst while Redis is gone',
      'this.#share ??= { level: this.#levelAt(nowMs) / this.#processes, atMs: nowMs };',
      'this.#share ??= { level: this.#shareBurst, atMs: nowMs };',
    ],
    [
      'a share is refilled as the whole is',
      '* this.#plan.unitsPerSecond) / this.#processes / 1_000',
      '* this.#plan.unitsPerSecond) / 1_000',
    ],
    [
      'a Redis that comes back empty gives another burst',
      'supposed: Math.floor(this.#refilled(nowMs)),',
      'supposed: this.#plan.burstUnits,',
    ],
    [
      'a Redis that comes back empty has a debt of all that was spent on shares',
      'supposed: Math.floor(this.#refilled(nowMs)),',
      'supposed: Math.floor(this.#levelAt(nowMs)),',
    ],
    ['what was taken by another plan is kept', 'this.#given = Math.min(this.#given, this.#spent);', ''],
    [
      'what was in flight by another plan is more than the next has room for',
      'this.#flightGranted = Math.min(this.#flightGranted, this.#plan.unitsInFlight);',
      '',
    ],
    ['the credit of a first request is given again and again', '!this.#isAsked && this.#spent === 0 && units', 'units'],
  ]),
  ...inFile('libs/limits/src/lua/lease.lua', PROPERTIES, [
    [
      'what a lost answer gave is given again',
      'given, told = tonumber(its_given), tonumber(its_shared)',
      'told = tonumber(its_shared)',
    ],
    ['what was spent on shares is never told', 'before + refilled - (untold - spare)', 'before + refilled'],
    [
      'who could not ask for long is in debt for what nobody else could have had',
      'math.min(untold, math.max(0, over - over_known))',
      '0',
    ],
    [
      'what there was no room for pays for shares twice',
      'over, level = over - spare + math.max(0, level - burst)',
      'over, level = over + math.max(0, level - burst)',
    ],
    [
      'what overflowed before pays for shares',
      'math.min(untold, math.max(0, over - over_known))',
      'math.min(untold, over)',
    ],
    ['what overflowed before pays for shares of who has forgotten its merchant', 'is_first and 0 or ', ''],
    ['a new plan is refilled by as if it had always been', 'math.min(hash.rate, rate)', 'rate'],
    ['a clock that is set back takes units away', 'math.max(0, now - hash.at)', '(now - hash.at)'],
    [
      'who forgot its merchant while Redis was away gives all back that it ever had',
      'if not is_first then given, told = tonumber(its_given), tonumber(its_shared) end',
      'given, told = tonumber(its_given), tonumber(its_shared)',
    ],
    ['debts are forgotten', 'local owed = math.max(0, spent - given)', 'local owed = 0'],
    ['what is in flight elsewhere counts for nothing', 'most - flight_of_others', 'most'],
    [
      'who crashed is in flight for ever',
      "redis.call('HDEL', key, name)",
      'flight_of_others = flight_of_others + tonumber(its_flight)',
    ],
  ]),
  ...inFile('libs/limits/src/lua/lease.lua', FULL, [
    [
      'where budgets are evicted each process has the whole',
      'local is_lost = not hash.level and',
      'local is_lost = false and',
    ],
  ]),
  ...inFile('libs/limits/src/budget.ts', SPEC, [
    ['each settle charges the whole again', 'taken.units = units;', ''],
    ['a plan that was looked up earlier replaces a newer one', 'if (atMs < this.#planAtMs) return false;', ''],
    [
      'a share does not pay what a request came to',
      'if (taken.isShare && this.#share) this.#share.level -= units - taken.units;',
      '',
    ],
  ]),
  ...inFile('libs/limits/src/budgets.ts', PROPERTIES, [
    ['what Redis had lost is forgotten for a pause', '&& !budget.isPart', ''],
  ]),
  ...inFile('libs/limits/src/charge.ts', SPEC, [
    ['a stream goes on in debt', '&& budget.available(this.parts.clock()) < 0', '&& false'],
    ['what rests is landed again at its end', 'this.#flight = 0;\n  }\n\n  /** Resolves', '}\n\n  /** Resolves'],
  ]),
  ...inFile('apps/api/src/request-end.ts', 'apps/api/src/request-end.spec.ts', [
    ['a request is over with its client', 'this.#isOver || this.#isServed ||', 'this.#isOver ||'],
    ['whose client has gone is never over', 'this.#isServed = false;\n    this.#look();', 'this.#isServed = false;'],
    [
      'who asks later is never told',
      'if (this.#isOver) callback(); else this.#callbacks.push(callback);',
      'this.#callbacks.push(callback);',
    ],
  ]),
  ...inFile('apps/api/src/charging.ts', CHARGES, [
    ['a list that does not say its limit has none', 'Number(limit ?? DEFAULT_LIMIT)', 'Number(limit ?? 0)'],
    ['a limit that is no number is none', 'rows <= MOST_ROWS ? rows : MOST_ROWS', 'rows <= MOST_ROWS ? rows : 0'],
  ]),
  ...inFile('apps/api/src/events/events.controller.ts', CHARGES, [
    ['who went before it began to wait is waited for', 'if (reply.raw.closed) gone.abort();', ''],
  ]),
  ...inFile('libs/balances/src/cache-client.ts', FULL, [
    ['a Redis that may evict fences is used', 'if (this.#evictsFences) throw', 'if (false) throw'],
    [
      'a Redis that does not tell its policy keeps fences',
      "info('memory').catch(() => undefined)",
      "info('memory').catch(() => '')",
    ],
  ]),
  ...inFile('apps/api/src/lifecycle.ts', 'test/door.test.ts', [
    ['what is refused at the door has no trace', "begin(config.traceparentTrust === 'everybody');", ''],
    ['a stranger’s trace goes on', "begin(config.traceparentTrust === 'everybody');", 'begin(true);'],
    ['each refusal has a line in the log', 'if (leftOut === undefined) return;', ''],
    ['requests that are paid for have no lines', 'payer === undefined ||', 'true ||'],
  ]),
  ...inFile('apps/api/src/problems.ts', 'test/door.test.ts', [
    ['who has no valid key is not told how to send one', "if (answer.code === 'unauthorized' &&", 'if (false &&'],
  ]),
  ...inFile('libs/limits/src/lease-client.ts', OVER_HTTP, [
    ['a budget per process', '`limits:{${call.merchantId}}`', '`limits:{${call.merchantId}}:${this.options.process}`'],
  ]),
  ...inFile('apps/api/src/lifecycle.ts', OVER_HTTP, [
    ['nobody is refused', 'charge?.refusal() ??', ''],
    [
      'a refusal takes the key first',
      'if (refusal) return void sendProblem(logger, refusal, request, reply); state.end.serve();',
      `const key = request.headers['idempotency-key'];
      const taken = ((globalThis as { taken?: Set<unknown> }).taken ??= new Set());
      if (taken.has(key)) return void done(new ProblemError('idempotency_in_flight', 'The key is taken.'));
      if (key !== undefined) taken.add(key);
      if (refusal) return void sendProblem(logger, refusal, request, reply);
      state.end.serve();`,
    ],
    [
      'a refusal comes after the work',
      'if (refusal) return void sendProblem(logger, refusal, request, reply); state.end.serve();',
      `const { send } = reply;
      if (refusal) reply.send = () => send.call(Object.assign(reply, { send }), refusal);
      state.end.serve();`,
    ],
    ['answers do not tell of limits', 'if (charge) tellLimit(charge, reply);', ''],
  ]),
  ...inFile('apps/api/src/problems.ts', OVER_HTTP, [
    [
      'a refused body is taken to its end, to reach the next request',
      "code === 'rate_limited' ? TAKEN_UNREAD_BYTES : ",
      '',
    ],
  ]),
  ...inFile('apps/api/src/events/events.controller.ts', OVER_HTTP, [
    ['who waits for events is in flight', 'request.state?.charge?.rest();', ''],
  ]),
  ...inFile('libs/limits/src/limits.ts', OVER_HTTP, [
    [
      'operators are refused',
      'if (merchantId === undefined || byOperator) return',
      'if (merchantId === undefined) return',
    ],
  ]),
  ...inFile('libs/limits/src/usage/usage-store.ts', USAGE, [
    [
      'flushes take rows in the order in which they were counted',
      'ORDER BY merchant_id, hour, price COLLATE "C", by_operator ON CONFLICT',
      'ON CONFLICT',
    ],
  ]),
  ...inFile('libs/ledger/src/writing/writer.ts', CHARGES, [
    ['entries cost nothing', 'cost.addEntries(writtenEntries(outcome));', ''],
  ]),
  ...inFile('libs/platform/src/search.ts', CHARGES, [
    ['rows that a filter passes by cost nothing', 'cost.addSearch(last.looked, fitting.length);', ''],
  ]),
  ...inFile('libs/webhooks/src/endpoint.queries.ts', CHARGES, [
    [
      'attempts of deliveries cost nothing',
      'cost.addRows(deliveries.reduce((sum, { log }) => sum + log.length, 0));',
      '',
    ],
  ]),
  ...inFile('libs/ledger/src/accounts/account-list.ts', SEARCHES, [
    ['accounts whose codes begin so are all looked at', 'return many < few;', 'return true;'],
    ['accounts are found by no index', 'return many < few;', 'return false;'],
  ]),
  ...inFile('apps/api/src/reconciliations/report-export.controller.ts', 'test/report-export.test.ts', [
    ['rows of an export cost nothing', '(rows) => cost.addRows(rows.length)', '() => undefined'],
    ['bytes of an export cost nothing', '(text) => cost.addBytes(Buffer.byteLength(text))', '() => undefined'],
    ['an export is charged by its characters', 'cost.addBytes(Buffer.byteLength(text))', 'cost.addBytes(text.length)'],
  ]),
  ...inFile('libs/platform/src/cost.ts', SEARCHES, [
    ['what is found is charged twice', 'this.#passedBy += looked - found;', 'this.#passedBy += looked + found;'],
    ['each read of a page may look at as many', 'this.#mayLookAt -= looked;', ''],
  ]),
  ...inFile('libs/platform/src/search.ts', SEARCHES, [
    ['a search looks at as many rows as there are', '${descending} LIMIT $${values.length}', '${descending}'],
    ['a search that ends early is the last page', 'last.is_last && last.looked === most', 'false'],
    ['a list with filters has a page more than it has rows', ' && last.looked === most', ''],
    ['the row at which a search ends is found', 'rows.filter(({ fits }) => fits)', 'rows'],
  ]),
  ...inFile('libs/platform/src/postgres.ts', SEARCHES, [
    ['a search may be sorted', 'walks: search.tests.length > 0', 'walks: false'],
  ]),
  ...inFile('apps/api/src/pages.ts', SEARCHES, [
    ['a page goes on behind its last row', 'const end = stoppedAt ?? (', 'const end = ('],
  ]),
  ...inFile('apps/api/src/pages.ts', CHARGES, [['rows cost nothing', 'asking.cost.addRows(found.rows.length);', '']]),
];
