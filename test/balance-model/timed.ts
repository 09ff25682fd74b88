import type { Redis } from 'ioredis';
import type { ScriptName } from '#balances/scripts.js';
import { type LuaPatch, luaTexts, T0 } from '../support/lua-bench.js';

/**
 * How long may a stale balance be served when a writer cannot reach Redis at all? Time is counted in ticks of Redis' clock,
 * `SPAN` of which are the TTL. One writer is cut off: it commits and acknowledges without fence, publish or relay. Others
 * write, read, sweep and pause as they like, and Redis may fail over to an older copy of itself. The claim: no value is
 * served SPAN ticks or more after it was superseded. After cachemodel/timed.go, with the real scripts in place of its own.
 */
const SPAN = 2;
const TICK_MS = 1_000;
const TTL_MS = SPAN * TICK_MS;
/** `left` of a value that never dies: only a mutant makes one. */
const FOREVER = 15;
const KEY = 'bal:{1}:2';
const WRITER_TOKEN = 'w';
/** The token of an attempt that has ended. */
const STRANGE_TOKEN = 's';
const GONE = 3;
const MAX_READERS = 2;

export interface TimedRule {
  readonly name: string;
  readonly patches: readonly LuaPatch[];
  readonly failover: boolean;
  /** A fence may arrive after its writer's COMMIT and acknowledgement, and then what its writer sent behind it. */
  readonly lateFence?: 'invalidated' | 'published';
  readonly versions: number;
  readonly readers: number;
}

export interface TimedExploration {
  states: number;
  transitions: number;
  trace: string[];
  ran: number;
}

/** One copy of the hash. Ages and remaining lives in ticks. */
interface TimedKey {
  val: number;
  known: number;
  ver: number;
  left: number;
  /** 0 none, 1 + reader, or GONE. */
  lease: number;
  leaseAge: number;
  token: number;
  tokenAge: number;
  strange: number;
  /** Ticks until Redis expires the key; 0: it has no TTL. */
  expires: number;
}

const NO_KEY: TimedKey = {
  val: 0,
  known: 0,
  ver: 0,
  left: 0,
  lease: 0,
  leaseAge: 0,
  token: 0,
  tokenAge: 0,
  strange: 0,
  expires: 0,
};

const IDLE = 0;
const FENCED = 1;
const LOCKED = 2;
const COMMITTED = 3;
const ABORTED = 4;
/** With its fence under way: begun; committed and acknowledged; and after the fence came. */
const LATE_LOCKED = 5;
const LATE_COMMITTED = 6;
const LATE_FENCED = 7;
const LEASED = 1;
const GOT = 2;

interface TimedState {
  cur: number;
  /** Ticks since version i was superseded, at most SPAN. */
  since: number[];
  live: TimedKey;
  old: TimedKey;
  writer: number;
  writerVersion: number;
  readers: { state: number; val: number }[];
}

interface Call {
  script: ScriptName;
  args: readonly (string | number)[];
}

interface Result {
  key: TimedKey;
  reply: unknown;
}

/** Answers from memory, or notes what has to be asked. */
class TimedLua {
  ran = 0;
  readonly #redis: Redis;
  readonly #texts: ReturnType<typeof luaTexts>;
  readonly #memo = new Map<string, Result>();
  #missing = new Map<string, { code: string; call: Call }>();

  constructor(redis: Redis, patches: readonly LuaPatch[]) {
    this.#redis = redis;
    this.#texts = luaTexts(patches);
  }

  get missing(): number {
    return this.#missing.size;
  }

  apply(key: TimedKey, script: ScriptName, ...args: (string | number)[]): Result {
    const code = packKey(key);
    const name = `${code}${script} ${args.join(' ')}`;
    const known = this.#memo.get(name);
    if (known) return known;
    this.#missing.set(name, { code, call: { script, args } });
    return { key, reply: undefined };
  }

  async learn(): Promise<void> {
    const missing = [...this.#missing];
    this.#missing = new Map();
    const pipeline = this.#redis.pipeline();
    for (const [, { code, call }] of missing) {
      const key = unpackKey(code);
      const fields = writeOut(key);
      pipeline.del(KEY);
      if (Object.keys(fields).length > 0) pipeline.hset(KEY, fields);
      else pipeline.ping();
      if (key.expires > 0) pipeline.pexpireat(KEY, T0 + key.expires * TICK_MS);
      else pipeline.ping();
      pipeline.eval(this.#texts[call.script], 1, KEY, ...call.args, T0);
      pipeline.hgetall(KEY);
      pipeline.call('PEXPIRETIME', KEY);
    }
    const replies = (await pipeline.exec()) ?? [];
    for (const [error] of replies) if (error) throw error;
    for (const [index, [name]] of missing.entries()) {
      const [, , , reply, fields, expiresAt] = replies.slice(index * 6, index * 6 + 6).map(([, value]) => value);
      this.#memo.set(name, { key: readBack(fields as Record<string, string>, expiresAt as number), reply });
      this.ran += 1;
    }
  }
}

function writeOut(key: TimedKey): Record<string, string> {
  const fields: Record<string, string> = {};
  if (key.known) fields.ver = String(key.ver);
  if (key.val) {
    fields.val = `v${key.ver}`;
    fields.die = String(T0 + (key.left === FOREVER ? 1_000 : key.left) * TICK_MS);
  }
  if (key.lease) fields.lease = `${key.lease === GONE ? 'gone' : `r${key.lease - 1}`} ${T0 - key.leaseAge * TICK_MS}`;
  if (key.token) fields[`f:${WRITER_TOKEN}`] = String(T0 - key.tokenAge * TICK_MS);
  if (key.strange) fields[`f:${STRANGE_TOKEN}`] = String(T0);
  return fields;
}

function readBack(fields: Record<string, string>, expiresAt: number): TimedKey {
  const expires = expiresAt < 0 ? 0 : (expiresAt - T0) / TICK_MS;
  if (expiresAt >= 0 && expires <= 0) return NO_KEY;
  const [holder, granted] = fields.lease?.split(' ') ?? [];
  const left = fields.die === undefined ? 0 : (Number(fields.die) - T0) / TICK_MS;
  const fencedAt = fields[`f:${WRITER_TOKEN}`];
  return {
    val: fields.val === undefined ? 0 : 1,
    known: fields.ver === undefined ? 0 : 1,
    ver: Number(fields.ver ?? 0),
    left: left > SPAN ? FOREVER : Math.max(0, left),
    lease: holder === undefined ? 0 : holder === 'gone' || holder === 'x' ? GONE : Number(holder.slice(1)) + 1,
    leaseAge: granted === undefined ? 0 : (T0 - Number(granted)) / TICK_MS,
    token: fencedAt === undefined ? 0 : 1,
    tokenAge: fencedAt === undefined ? 0 : (T0 - Number(fencedAt)) / TICK_MS,
    strange: fields[`f:${STRANGE_TOKEN}`] === undefined ? 0 : 1,
    expires,
  };
}

function packKey(k: TimedKey): string {
  const low =
    k.val | (k.known << 1) | (k.ver << 2) | (k.left << 4) | (k.lease << 8) | (k.leaseAge << 10) | (k.token << 12);
  return String.fromCharCode(low, k.tokenAge | (k.strange << 2) | (k.expires << 3));
}

function unpackKey(text: string): TimedKey {
  const low = text.charCodeAt(0);
  const high = text.charCodeAt(1);
  return {
    val: low & 1,
    known: (low >> 1) & 1,
    ver: (low >> 2) & 3,
    left: (low >> 4) & 15,
    lease: (low >> 8) & 3,
    leaseAge: (low >> 10) & 3,
    token: (low >> 12) & 1,
    tokenAge: high & 3,
    strange: (high >> 2) & 1,
    expires: (high >> 3) & 3,
  };
}

function pack(s: TimedState): string {
  let versions = s.cur | (s.writer << 2) | (s.writerVersion << 5);
  for (const [index, since] of s.since.entries()) versions |= since << (7 + 2 * index);
  let readers = 0;
  for (const [index, { state, val }] of s.readers.entries()) readers |= (state | (val << 2)) << (4 * index);
  return String.fromCharCode(versions, readers) + packKey(s.live) + packKey(s.old);
}

function unpack(text: string, readers: number): TimedState {
  const versions = text.charCodeAt(0);
  const r = text.charCodeAt(1);
  return {
    cur: versions & 3,
    writer: (versions >> 2) & 7,
    writerVersion: (versions >> 5) & 3,
    since: [0, 1, 2, 3].map((index) => (versions >> (7 + 2 * index)) & 3),
    readers: Array.from({ length: readers }, (_, index) => ({
      state: (r >> (4 * index)) & 3,
      val: (r >> (4 * index + 2)) & 3,
    })),
    live: unpackKey(text.slice(2, 4)),
    old: unpackKey(text.slice(4, 6)),
  };
}

interface TimedNext {
  state: TimedState;
  what: string;
  bad?: boolean;
}

function steps(rule: TimedRule, lua: TimedLua, s: TimedState): TimedNext[] {
  const out: TimedNext[] = [];
  const add = (change: Partial<TimedState>, what: string): void => {
    out.push({ state: { ...s, ...change }, what });
  };
  const committed = (): Partial<TimedState> => ({
    cur: s.cur + 1,
    since: s.since.map((since, index) => (index === s.cur ? 0 : since)),
  });
  const run = (script: ScriptName, ...args: (string | number)[]): Result => lua.apply(s.live, script, ...args);

  add(
    {
      since: s.since.map((since, index) => (index < s.cur ? Math.min(since + 1, SPAN) : since)),
      live: tick(s.live),
      old: tick(s.old),
    },
    'tick',
  );
  const mayCommit = s.cur < rule.versions;
  if (mayCommit && s.writer !== LOCKED && s.writer !== LATE_LOCKED)
    add(committed(), `the cut-off writer commits and acknowledges v${s.cur + 1}`);

  const ended = (live: TimedKey): Partial<TimedState> => ({
    writer: IDLE,
    writerVersion: 0,
    live: estrange(live),
    old: estrange(s.old),
  });
  switch (s.writer) {
    case IDLE:
      add({ writer: FENCED, live: run('fence', WRITER_TOKEN).key }, 'W fences');
      if (rule.lateFence) add({ writer: LATE_LOCKED }, 'W begins, takes the row lock, its fence under way');
      break;
    case FENCED:
      add({ writer: LOCKED }, 'W begins, takes the row lock');
      break;
    case LOCKED:
      if (mayCommit) add({ ...committed(), writer: COMMITTED, writerVersion: s.cur + 1 }, `W COMMIT v${s.cur + 1}`);
      add({ writer: ABORTED }, 'W aborts');
      break;
    case ABORTED:
      add(ended(run('unfence', WRITER_TOKEN, TTL_MS).key), 'W unfences');
      break;
    case COMMITTED: {
      const v = s.writerVersion;
      add(ended(run('publish', WRITER_TOKEN, v, `v${v}`, TTL_MS).key), `W publishes v${v}`);
      add(ended(s.live), 'W dies');
      break;
    }
    case LATE_LOCKED: {
      const late = { ...committed(), writer: LATE_COMMITTED, writerVersion: s.cur + 1 };
      if (mayCommit) add(late, `W COMMIT v${s.cur + 1}, acknowledges`);
      add(ended(s.live), 'W aborts, its fence is lost');
      break;
    }
    case LATE_COMMITTED:
      add({ writer: LATE_FENCED, live: run('fence', WRITER_TOKEN).key }, "W's fence arrives late");
      add(ended(s.live), "W's fence is lost");
      break;
    case LATE_FENCED: {
      const v = s.writerVersion;
      const unfenced = run('unfence', WRITER_TOKEN, TTL_MS).key;
      if (rule.lateFence === 'published') {
        add(ended(run('publish', WRITER_TOKEN, v, `v${v}`, TTL_MS).key), `W's publish of v${v} arrives behind it`);
      } else {
        const invalidated = lua.apply(unfenced, 'invalidate', v, TTL_MS).key;
        add(ended(invalidated), `W's unfence and its invalidate of v${v} arrive behind it`);
      }
      add(ended(s.live), 'what W sent behind it is lost');
      break;
    }
  }
  if (s.live.strange) add({ live: run('unfence', STRANGE_TOKEN, TTL_MS).key }, 'the sweeper removes a token');

  for (const [index, { state, val }] of s.readers.entries()) {
    const become = (next: { state: number; val: number }): TimedState['readers'] => s.readers.with(index, next);
    if (state === IDLE) {
      for (const [leaseMs, earlyMs] of [
        [TTL_MS, 0],
        [TTL_MS, TTL_MS * 1_000],
        [0, 0],
      ] as const) {
        const { key, reply } = run('read', `r${index}`, TTL_MS, leaseMs, earlyMs);
        const [kind] = Array.isArray(reply) ? reply : [];
        if (kind === 'GRANTED' || kind === 'REFRESH') {
          add({ live: key, readers: become({ state: LEASED, val: 0 }) }, `R${index + 1} takes the lease`);
        }
      }
    } else if (state === LEASED) {
      add({ readers: become({ state: GOT, val: s.cur }) }, `R${index + 1} reads the database: v${s.cur}`);
    } else {
      const { key } = run('fill', `r${index}`, val, `v${val}`, TTL_MS);
      const old = s.old.lease === index + 1 ? { ...s.old, lease: GONE } : s.old;
      add({ live: key, old, readers: become({ state: IDLE, val: 0 }) }, `R${index + 1} fills v${val}`);
    }
  }
  const { reply } = run('read', 'x', TTL_MS, TTL_MS, 0);
  if (Array.isArray(reply) && reply[0] === 'HIT') {
    const v = Number(reply[1]);
    const stale = v < s.cur && (s.since[v] as number) >= SPAN;
    if (stale) out.push({ state: s, what: `a read is served v${v}, superseded ${SPAN} or more ticks ago`, bad: true });
  }
  if (rule.failover) {
    add({ old: s.live }, 'the copy follows');
    add({ live: s.old }, 'failover to the old copy');
  }
  return out;
}

function tick(key: TimedKey): TimedKey {
  if (key.expires === 1) return NO_KEY;
  return {
    ...key,
    left: key.left === FOREVER ? FOREVER : Math.max(0, key.left - 1),
    leaseAge: key.lease ? Math.min(key.leaseAge + 1, SPAN) : 0,
    tokenAge: key.token ? Math.min(key.tokenAge + 1, SPAN) : 0,
    expires: Math.max(0, key.expires - 1),
  };
}

/** The writer's next attempt has another token. */
function estrange(key: TimedKey): TimedKey {
  return key.token ? { ...key, token: 0, tokenAge: 0, strange: 1 } : key;
}

const CHUNK = 2_000;

export async function exploreTimed(redis: Redis, rule: TimedRule, maxStates = 2_000_000): Promise<TimedExploration> {
  if (rule.readers > MAX_READERS) throw new Error(`at most ${MAX_READERS} readers`);
  const lua = new TimedLua(redis, rule.patches);
  const first = pack({
    cur: 0,
    since: [0, 0, 0, 0],
    live: NO_KEY,
    old: NO_KEY,
    writer: IDLE,
    writerVersion: 0,
    readers: Array.from({ length: rule.readers }, () => ({ state: IDLE, val: 0 })),
  });
  const from = new Map<string, { parent: string; what: string }>([[first, { parent: first, what: '' }]]);
  const queue = [first];
  let transitions = 0;
  const traceTo = (state: string, last: string): string[] => {
    const trace = [last];
    for (let at = state; at !== first; ) {
      const step = from.get(at) as { parent: string; what: string };
      trace.unshift(step.what);
      at = step.parent;
    }
    return trace;
  };
  for (let begin = 0; begin < queue.length; ) {
    const chunk = queue.slice(begin, begin + CHUNK);
    begin += chunk.length;
    const expand = (packed: string): TimedNext[] => steps(rule, lua, unpack(packed, rule.readers));
    do {
      if (lua.missing > 0) await lua.learn();
      for (const packed of chunk) expand(packed);
    } while (lua.missing > 0);
    for (const packed of chunk) {
      for (const next of expand(packed)) {
        transitions += 1;
        if (next.bad) return { states: from.size, transitions, trace: traceTo(packed, next.what), ran: lua.ran };
        const key = pack(next.state);
        if (from.has(key)) continue;
        from.set(key, { parent: packed, what: next.what });
        queue.push(key);
      }
    }
    if (queue.length > maxStates) return { states: from.size, transitions, trace: ['not exhausted'], ran: lua.ran };
  }
  return { states: from.size, transitions, trace: [], ran: lua.ran };
}
