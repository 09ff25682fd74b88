// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the table quotes source text.

import { inFile } from './mutant.mjs';

const OVER_HTTP = 'test/limits.test.ts';
const PROPERTIES = 'test/budgets.property.test.ts';
const CHARGES = 'test/charges.test.ts';

/**
 * Planted bugs of merchants' budgets: what is counted when, where, and what a refusal costs.
 *
 * @type {import('./mutant.mjs').Mutant[]}
 */
export const BUDGET_MUTANTS = [
  ...inFile('libs/limits/src/budget.ts', PROPERTIES, [
    [
      'units are counted after the work',
      'this.#spent += units; this.#inFlight += flight; return { units, flight, isShare: false };',
      'this.#inFlight += flight; return { units: 0, flight, isShare: false };',
    ],
    ['what costs more than it was estimated at is forgiven', 'else this.#spent += units - taken.units;', ''],
    ['each process has the whole budget while Redis is gone', 'this.#processes = processes;', ''],
  ]),
  ...inFile('libs/limits/src/lua/lease.lua', PROPERTIES, [
    [
      'what a lost answer gave is given again',
      'given, told = tonumber(its_given), tonumber(its_shared)',
      'told = tonumber(its_shared)',
    ],
    [
      'what was spent on shares is never told',
      'local level = before + refilled - math.max(0, shared - told)',
      'local level = before + refilled',
    ],
    ['what is in flight elsewhere counts for nothing', 'most - flight_of_others', 'most'],
    [
      'who crashed is in flight for ever',
      "redis.call('HDEL', key, name)",
      'flight_of_others = flight_of_others + tonumber(its_flight)',
    ],
  ]),
  ...inFile('libs/limits/src/lease-client.ts', OVER_HTTP, [
    ['a budget per process', '`limits:{${call.merchantId}}`', '`limits:{${call.merchantId}}:${this.options.process}`'],
  ]),
  ...inFile('apps/api/src/lifecycle.ts', OVER_HTTP, [
    ['nobody is refused', 'charge?.refusal() ??', ''],
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
  ...inFile('libs/ledger/src/writing/writer.ts', CHARGES, [
    ['entries cost nothing', 'cost.addEntries(writtenEntries(outcome));', ''],
  ]),
  ...inFile('apps/api/src/pages.ts', CHARGES, [['rows cost nothing', 'asking.cost.addRows(read.length);', '']]),
];
