/**
 * Planted bugs, in a copy of the compiled services: `npm run test:histories -- --mutant NAME` must fail. The first
 * shows that the checker sees anything at all, the next two are what people do today, the last loses one group in a hundred.
 */
export interface Mutant {
  readonly name: string;
  readonly changes: readonly { readonly file: string; readonly search: string; readonly replace: string }[];
}

const GUARD = 'dist/libs/balances/src/guard.js';
const READER = 'dist/libs/balances/src/read-balance.js';
const LUA = 'libs/balances/src/lua';

const NO_FENCE = {
  file: GUARD,
  search: 'const confirmed = await this.#confirmed(fences, deadlineMs);',
  replace: 'const confirmed = fences.length >= 0;',
};
const READERS_TELL_NOTHING = {
  file: READER,
  search: "if (known === '' || balance.version > BigInt(known)) {",
  replace: 'if (false) {',
};
const FILL =
  'local installs = own and tokens == 0 and not (hash.ver and newer(hash.ver, version)) and granted + ttl > now';
const FILL_DEADLINE = { file: `${LUA}/fill.lua`, search: 'granted + ttl)', replace: 'now + ttl)' };
const PUBLISH = 'local installs = fenced_at ~= nil and fenced_at + ttl > now and newest';

export const MUTANTS: readonly Mutant[] = [
  {
    name: 'nothing-told',
    changes: [
      NO_FENCE,
      { file: GUARD, search: 'await this.#publish(distinct, token, values);', replace: 'void values;' },
    ],
  },
  {
    name: 'delete-after-commit',
    changes: [
      NO_FENCE,
      READERS_TELL_NOTHING,
      {
        file: `${LUA}/publish.lua`,
        search: PUBLISH,
        replace: "redis.call('DEL', key)\ndo return 0 end\nlocal installs = false",
      },
      { file: `${LUA}/fill.lua`, search: FILL, replace: 'local installs = true' },
      FILL_DEADLINE,
    ],
  },
  {
    name: 'set-if-newer',
    changes: [
      NO_FENCE,
      READERS_TELL_NOTHING,
      { file: `${LUA}/publish.lua`, search: PUBLISH, replace: 'fenced_at = now\nlocal installs = newest' },
      {
        file: `${LUA}/fill.lua`,
        search: FILL,
        replace: 'local installs = not (hash.ver and newer(hash.ver, version))',
      },
      FILL_DEADLINE,
    ],
  },
  {
    name: 'acknowledged-without-commit',
    changes: [
      {
        file: 'dist/libs/ledger/src/writer.js',
        search: 'connection.writeAndCommit(writes), groupTimedOut',
        replace: 'Math.random() < 0.01 ? connection.rollback() : connection.writeAndCommit(writes), groupTimedOut',
      },
    ],
  },
];

export function mutantNamed(name: string): Mutant {
  const mutant = MUTANTS.find((one) => one.name === name);
  if (!mutant) throw new Error(`no mutant "${name}"; there are: ${MUTANTS.map((one) => one.name).join(', ')}`);
  return mutant;
}
