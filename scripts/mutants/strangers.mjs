import { inFile } from './mutant.mjs';

const SPEC = 'libs/tenancy/src/strangers.spec.ts';
const HTTP = 'test/strangers.test.ts';

/**
 * Planted bugs before authentication.
 *
 * @type {import('./table.mjs').Mutant[]}
 */
export const STRANGER_MUTANTS = [
  ...inFile('libs/tenancy/src/strangers.ts', SPEC, [
    ['a failure is counted when it is known to be one', '    this.#ofAddress.count(from);\n', ''],
    ['whoever has not failed is refused for others', 'this.#ofAddress.isFresh(from) ? 0 : ', ''],
    ['look-ups go in the order in which they came', 'this.#waiting.push(from, turn)', "this.#waiting.push('', turn)"],
    ['who waits no longer keeps the place', 'if (!this.#waiting.remove(place)) this.#leave();', ''],
    [
      'an address of IPv6 is one address',
      'return networkOf(this.#options.addresses.of(peer));',
      'return this.#options.addresses.of(peer);',
    ],
    ['valid ones count as failures', 'if (!isValid) return;', 'return;'],
  ]),
  ...inFile('libs/tenancy/src/authenticator.ts', HTTP, [
    ['a key that was valid is a stranger’s again', 'if (this.#familiar.has(name)) return findAndKeep();', ''],
    ['unknown keys are no failures', 'isValid = caller !== undefined;', ''],
  ]),
  ...inFile('apps/api/src/lifecycle.ts', HTTP, [
    ['wrong signatures are no failures', 'attempt.end(reply.statusCode !== UNAUTHORIZED)', 'attempt.end(true)'],
  ]),
];
