/**
 * Planted bugs, in the compiled services: `npm run test:histories -- --mutant "<name>"` must fail with stale reads. They
 * are the easy versions that balance-cache.md warns of, and one lost write.
 */
export interface Mutant {
  readonly name: string;
  readonly changes: readonly { readonly file: string; readonly search: string; readonly replace: string }[];
}

const GUARD = 'dist/libs/balances/src/guard.js';

const READER = 'dist/libs/balances/src/read-balance.js';
const WRITER = 'dist/libs/ledger/src/writer.js';

const NO_FENCE = {
  file: GUARD,
  search: 'const confirmed = await this.#confirmed(fences, deadlineMs);',
  replace: 'const confirmed = fences.length >= 0;',
};

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'no fence, and nothing published',
    changes: [NO_FENCE, { file: GUARD, search: 'await this.#publish(distinct, token, values);', replace: '' }],
  },
  {
    name: 'delete after commit',
    changes: [
      NO_FENCE,
      {
        file: GUARD,
        search: 'await this.#publish(distinct, token, values);',
        replace:
          "void this.#confirmed(distinct.map((account) => ({ script: 'invalidate', account, args: [values.length + 1e15, this.#options.ttlMs] })));",
      },
    ],
  },
  {
    name: 'readers serve what is fenced',
    changes: [],
  },
  {
    name: 'acknowledged before COMMIT',
    changes: [],
  },
];

export function mutantNamed(name: string): Mutant {
  const mutant = MUTANTS.find((one) => one.name === name);
  if (!mutant) throw new Error(`no mutant "${name}"; there are: ${MUTANTS.map((one) => one.name).join(', ')}`);
  return mutant;
}
