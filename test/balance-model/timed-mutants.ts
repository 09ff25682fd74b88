import type { TimedRule } from './timed.js';

/** The deadline's rules, each cut once. `steps` as the note has them. */
export const TIMED_MUTANTS: readonly (TimedRule & { steps: number })[] = [
  {
    name: 'fill counts its TTL from the fill',
    steps: 7,
    patches: [
      { file: 'fill', find: ' and granted + ttl > now', replace: '' },
      { file: 'fill', find: 'granted + ttl)', replace: 'now + ttl)' },
    ],
  },
  {
    name: 'publish counts its TTL from the publish',
    steps: 8,
    patches: [
      { file: 'publish', find: 'fenced_at + ttl > now and ', replace: '' },
      {
        file: 'publish',
        find: 'install(version, value, fenced_at + ttl)',
        replace: 'install(version, value, now + ttl)',
      },
    ],
  },
  {
    name: 'removing the last token renews the TTL',
    steps: 11,
    patches: [
      {
        file: 'unfence',
        find: 'drop_fence(token)\n',
        replace: "drop_fence(token)\nif tokens == 0 and hash.val then set('die', text(now + ttl)) end\n",
      },
    ],
  },
  {
    name: 'removing the last token forgets the deadline',
    steps: 11,
    patches: [
      {
        file: 'unfence',
        find: 'settle(ttl)\n',
        replace: "if hash.val and tokens == 0 then set('die', text(now + 1000000)) else settle(ttl) end\n",
      },
    ],
  },
  { name: 'publish behind an unconfirmed fence', steps: 8, patches: [], lateFence: 'published' as const },
].map((mutant) => ({ ...mutant, failover: false, versions: 2, readers: 1 }));
