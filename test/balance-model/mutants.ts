import type { LuaPatch } from '../support/lua-bench.js';
import type { Cut, Protocol } from './protocol.js';

/** Steps of the shortest counterexample on F / processes, F / eviction, FT / key loss, T / key loss; 0: none exists; –: no such rule there. */
type Steps = number | '–';

export interface Mutant {
  readonly name: string;
  /** As cachemodel/model_test.go has them; it has neither unconfirmed fences nor `heal`. */
  readonly steps: readonly [Steps, Steps, Steps, Steps];
  readonly cut?: readonly Cut[];
  readonly patches?: readonly LuaPatch[];
  readonly set?: Partial<Protocol>;
}

const NEWEST = 'local newest = not hash.ver or newer(version, hash.ver) or (version == hash.ver and not hash.val)';
const INSTALLS = 'local installs = fenced_at ~= nil and fenced_at + ttl > now and newest';
const INSTALL = 'install(version, value, fenced_at + ttl)';
const OTHERWISE = 'else\n  invalidate(version)\nend\ndrop_fence(token)';
const FENCED_READ = 'if tokens > 0 then\n  local oldest, since';

const publishes = (find: string, replace: string): LuaPatch => ({ file: 'publish', find, replace });
const fills = (find: string, replace: string): LuaPatch => ({ file: 'fill', find, replace });
const reads = (find: string, replace: string): LuaPatch => ({ file: 'read', find, replace });
const heals = (find: string, replace: string): LuaPatch => ({ file: 'heal', find, replace });
const account = (find: string, replace: string): LuaPatch => ({ file: 'account', find, replace });

const EVICTS = "redis.call('DEL', key)";
/** Of a mutant that leaves something: the exploration's `heal` has three more arguments. */
const [LEDGER_VERSION, LEDGER_VALUE, HEAL_TTL] = ['ARGV[3]', 'ARGV[4]', 'tonumber(ARGV[5])'];

const NO_LEASE: readonly LuaPatch[] = [
  reads("set('lease', id .. ' ' .. text(now))\n  return", 'return'),
  reads("set('lease', id .. ' ' .. text(now))\nredis.call('PEXPIREAT', key, text(now + ttl))\n", ''),
  fills('local own = held == id', 'local own = not hash.val or newer(version, hash.ver)'),
  fills(' and granted + ttl > now', ''),
  fills('granted + ttl)', 'now + ttl)'),
];
const FILL_IGNORES_TOKENS = fills('own and tokens == 0 and', 'own and');
const GRANT_ALTHOUGH_FENCED = reads(
  FENCED_READ,
  `if tokens > 0 then
  if not hash.lease then
    set('lease', id .. ' ' .. text(now))
    return { 'GRANTED', hash.ver or '' }
  end
  local oldest, since`,
);

/** One rule removed at a time. What the scripts hold is cut out of their text; what actors do is switched off. */
export const MUTANTS: readonly Mutant[] = [
  { name: 'delete after commit', steps: [8, 8, 0, '–'], cut: ['fence'], set: { publish: 'delete' } },
  {
    name: 'set if newer, no lease, no fence',
    steps: [8, 8, 8, 8],
    cut: ['fence'],
    patches: [
      ...NO_LEASE,
      publishes(NEWEST, 'local newest = not hash.val or newer(version, hash.ver)'),
      publishes(INSTALLS, 'local installs = newest'),
      publishes(INSTALL, 'install(version, value, now + ttl)'),
      publishes(OTHERWISE, 'end\ndrop_fence(token)'),
    ],
    set: { publish: 'publish' },
  },
  {
    name: 'publish without its own token installs',
    steps: [13, 13, 12, '–'],
    patches: [publishes(INSTALLS, 'local installs = newest'), publishes(INSTALL, 'install(version, value, now + ttl)')],
  },
  {
    name: 'lock with a TTL',
    steps: [0, 10, 0, '–'],
    patches: [
      {
        file: 'fence',
        find: "redis.call('PERSIST', key)",
        replace: "if next(fields) == nil then redis.call('PEXPIREAT', key, text(now + 5000)) end",
      },
    ],
  },
  { name: 'outbox alone', steps: [7, 7, 7, 7], cut: ['fence', 'ack after publish'], set: { publish: 'nothing' } },
  { name: 'join a database read already sent', steps: [8, 8, 8, 7], cut: ['join only an unsent read'] },
  { name: 'no lease', steps: [10, 10, 10, 8], patches: NO_LEASE },
  { name: 'token removed by time, or by a sweeper without a row', steps: [10, 10, 0, '–'], cut: ['sweeper’s row'] },
  { name: 'ack before publish', steps: [0, 0, 9, 7], cut: ['ack after publish'] },
  {
    name: 'publish sets a TTL while tokens remain',
    steps: [0, 15, 0, '–'],
    patches: [publishes('settle(ttl)\n', "settle(ttl)\nredis.call('PEXPIREAT', key, text(now + ttl))\n")],
  },
  {
    name: 'invalidate leaves no floor (as written)',
    steps: [10, 10, 10, 8],
    patches: [
      account(
        'if hash.val and newer(version, hash.ver) then drop_value() end',
        'if hash.val and newer(version, hash.ver) then drop_value() drop("ver") end',
      ),
      account('if not hash.val and (tokens > 0 or hash.lease) and', 'if false and'),
    ],
  },
  {
    name: 'fill ignores the floor',
    steps: [9, 9, 9, 8],
    patches: [fills('not (hash.ver and newer(hash.ver, version))', 'true')],
  },
  {
    name: 'publish ignores the floor',
    steps: [12, 12, 12, '–'],
    patches: [publishes(NEWEST, 'local newest = not hash.val or newer(version, hash.ver)')],
  },
  { name: 'publish before COMMIT', steps: [5, 5, 5, '–'], cut: ['publish after COMMIT'] },
  {
    name: 'publish does not compare versions',
    steps: [11, 11, 11, '–'],
    patches: [publishes(NEWEST, 'local newest = true')],
  },
  {
    name: 'publish without its own token leaves an older value',
    steps: [0, 0, 10, '–'],
    patches: [publishes(OTHERWISE, OTHERWISE.replace('else', 'elseif fenced_at then'))],
  },
  {
    name: 'serve although fenced',
    steps: [9, 9, 0, '–'],
    patches: [
      reads(FENCED_READ, FENCED_READ.replace('tokens > 0', 'tokens > 0 and not hash.val')),
      reads('if leased or now + early', 'if tokens > 0 or leased or now + early'),
    ],
  },
  {
    name: 'lease ids repeat',
    steps: [12, 11, 11, 10],
    patches: [
      fills('local own = held == id', 'local own = held ~= nil'),
      fills("if own then drop('lease') end", "if held == id or installs then drop('lease') end"),
    ],
  },
  { name: 'grant delivered twice with one id', steps: [12, 11, 11, 10], cut: ['grant sent once'] },
  {
    name: 'lease taken after the database read',
    steps: [11, 10, 10, 9],
    patches: [
      fills(
        'local held, granted = lease()',
        'local held, granted = lease()\nif not held then held, granted = id, now end',
      ),
    ],
  },
  { name: 'fence delivered twice', steps: [14, 14, 13, '–'], cut: ['fence sent once'] },
  {
    name: 'fence and publish delivered twice',
    steps: [14, 14, 13, '–'],
    cut: ['fence sent once', 'publish sent once'],
  },
  { name: 'sweeper on conflict only removes', steps: [10, 10, 0, '–'], cut: ['sweeper invalidates'] },
  {
    name: 'sweeper reads the version before the conflict',
    steps: [10, 10, 0, '–'],
    cut: ['version read after the conflict'],
  },
  { name: 'sweeper does not wait for an open row', steps: [11, 11, 0, '–'], cut: ['sweeper waits for an open row'] },
  {
    name: 'token row in a transaction of its own',
    steps: [10, 10, 0, '–'],
    cut: ['token row in the same transaction'],
  },
  { name: 'write_fences purged by age', steps: [12, 12, 0, '–'], cut: ['proof kept'] },
  { name: 'unfence on an ambiguous COMMIT', steps: [10, 10, 0, '–'], cut: ['token kept on ambiguous COMMIT'] },
  { name: 'database reads from a replica', steps: [10, 10, 10, 8], cut: ['read the primary'] },
  {
    name: 'reader returns before it invalidates',
    steps: ['–', '–', 10, 8],
    cut: ['invalidate before returning'],
    set: { silent: true },
  },
  { name: 'strong read does not invalidate', steps: ['–', '–', 10, 8], set: { silent: true } },
  { name: 'fence optional', steps: [8, 8, 0, '–'], set: { mayNotFence: true } },
  {
    name: 'publish behind an unconfirmed fence',
    steps: ['–', '–', 10, '–'],
    cut: ['invalidate behind an unconfirmed fence'],
    set: { unconfirmed: true },
  },
  {
    name: 'heal installs what the ledger said',
    steps: [7, 7, 7, 8],
    set: { heal: true },
    patches: [
      heals(
        EVICTS,
        `install(${LEDGER_VERSION}, ${LEDGER_VALUE}, now + ${HEAL_TTL})\nredis.call('PEXPIREAT', key, hash.die)`,
      ),
    ],
  },
  {
    name: 'heal ignores tokens',
    steps: [13, 13, 0, '–'],
    set: { heal: true },
    patches: [heals('tokens > 0 or ', '')],
  },
  {
    name: 'heal leaves the lease, and no floor',
    steps: [10, 10, 10, 0],
    set: { heal: true },
    patches: [heals(EVICTS, `drop_value()\ndrop('ver')\nsettle(${HEAL_TTL})`)],
  },
  {
    name: 'heal leaves a floor above the wrong version',
    steps: ['–', '–', 17, '–'],
    // One writer is enough, and keeps `npm test` short.
    set: { heal: true, reportsFloor: true, writers: 1 },
    patches: [heals(EVICTS, `invalidate(text(tonumber(version) + 1))\nsettle(${HEAL_TTL})`)],
  },
];

/** Guards and orders that are not needed for safety: with each of them changed everything must still hold. */
export const NOT_NEEDED: readonly Mutant[] = [
  { name: 'fill ignores tokens', steps: [0, 0, 0, '–'], patches: [FILL_IGNORES_TOKENS] },
  { name: 'grant a lease although fenced', steps: [0, 0, 0, '–'], patches: [GRANT_ALTHOUGH_FENCED] },
  {
    name: 'grant and fill although fenced',
    steps: [0, 0, 0, '–'],
    patches: [GRANT_ALTHOUGH_FENCED, FILL_IGNORES_TOKENS],
  },
  {
    name: 'invalidate deletes newer values too',
    steps: [0, 0, 0, 0],
    patches: [
      account('if hash.val and newer(version, hash.ver) then drop_value() end', 'if hash.val then drop_value() end'),
    ],
  },
  {
    name: 'heal does not compare',
    steps: [0, 0, 0, 0],
    set: { heal: true },
    patches: [heals(" or (hash.ver or '') ~= version or hash.val ~= value", '')],
  },
  { name: 'publish delivered twice', steps: [0, 0, 0, '–'], cut: ['publish sent once'] },
  { name: 'fence after the row lock, before COMMIT', steps: [0, 0, 0, '–'], cut: ['fence before the row lock'] },
  { name: 'fence at any time, COMMIT waits for it', steps: [0, 0, 0, '–'], cut: ['fence before BEGIN'] },
  { name: 'retry after ROLLBACK keeps its token', steps: [0, 0, 0, '–'], cut: ['new token after ROLLBACK'] },
  { name: 'publish only invalidates', steps: [0, 0, 0, '–'], set: { publish: 'invalidate' } },
];

export function mutate(protocol: Protocol, mutant: Mutant): Protocol {
  return {
    ...protocol,
    sound: false,
    checkLatest: false,
    ...mutant.set,
    name: `${mutant.name} | ${protocol.name}`,
    cut: new Set([...protocol.cut, ...(mutant.cut ?? [])]),
    patches: [...protocol.patches, ...(mutant.patches ?? [])],
  };
}
