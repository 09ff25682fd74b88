import type { LuaPatch } from '../support/lua-bench.js';

/** What is explored: the protocol's actors, the faults, the oracle, and which rule a mutant cuts. */
export interface Protocol {
  readonly name: string;
  readonly writers: number;
  readonly readers: number;
  /** A key with a TTL vanishes. */
  readonly evict?: boolean;
  /** A key vanishes at any time. */
  readonly loss?: boolean;
  /** Redis dies and comes back empty. */
  readonly outages?: boolean;
  /** A lease that is too old is taken over in place (the note's form only lets it vanish). */
  readonly takeover?: boolean;
  /** Silent readers: database reads that invalidate nothing, and whose version somebody then knows. */
  readonly silent?: boolean;
  /** Oracle of acknowledgements and cached reads alone. */
  readonly ackOnly?: boolean;
  /** Whoever learns a version invalidates what is older in the cache before anybody else hears of it. */
  readonly invalidates?: boolean;
  /** A writer may go without its fence. */
  readonly mayNotFence?: boolean;
  /** A fence may go unconfirmed: its message arrives at any time, after the acknowledgement too, or never. */
  readonly unconfirmed?: boolean;
  /** The monitor heals at any time, with whatever value it saw and whatever it once read in the ledger. */
  readonly heal?: boolean;
  /** A reader whom `read` sent to the database does not invalidate what `read` itself reported (otherwise: the relay's step). */
  readonly reportsFloor?: boolean;
  /** A publish or fill may come after its deadline. */
  readonly mayBeLate?: boolean;
  /** Also: a servable value is the latest committed version. */
  readonly checkLatest?: boolean;
  /** Also: TTLs, and that the cache serves again once all writers are dead. */
  readonly sound?: boolean;
  /** What a writer does after COMMIT. */
  readonly publish: 'publish' | 'invalidate' | 'delete' | 'nothing';
  readonly cut: ReadonlySet<Cut>;
  /** Bugs planted in the scripts. */
  readonly patches: readonly LuaPatch[];
}

/** Rules of the actors; the rules of the scripts are cut by patching their text. */
export type Cut =
  | 'fence'
  | 'ack after publish'
  | 'sweeper’s row'
  | 'sweeper invalidates'
  | 'sweeper waits for an open row'
  | 'version read after the conflict'
  | 'token row in the same transaction'
  | 'token kept on ambiguous COMMIT'
  | 'proof kept'
  | 'join only an unsent read'
  | 'read the primary'
  | 'fence sent once'
  | 'publish sent once'
  | 'grant sent once'
  | 'invalidate before returning'
  | 'publish after COMMIT'
  | 'invalidate behind an unconfirmed fence'
  // Variants that must hold:
  | 'fence before the row lock'
  | 'fence before BEGIN'
  | 'new token after ROLLBACK';

const base = { writers: 3, readers: 2, takeover: true, publish: 'publish', cut: new Set<Cut>(), patches: [] } as const;

/** Fences and sweep, with silent readers: a servable value is the latest commit. */
export const F: Protocol = { ...base, name: 'F', silent: true, checkLatest: true, sound: true };
/** Fences, sweep and invalidate-before-answering: what is built. */
export const FT: Protocol = { ...base, name: 'FT', invalidates: true, sound: true };
/** Invalidate-before-answering alone. */
export const T: Protocol = {
  ...base,
  name: 'T',
  invalidates: true,
  publish: 'invalidate',
  cut: new Set<Cut>(['fence']),
  sound: true,
};

export const processes = (protocol: Protocol): Protocol => ({ ...protocol, name: `${protocol.name} / processes` });
export const eviction = (protocol: Protocol): Protocol => ({
  ...protocol,
  name: `${protocol.name} / eviction`,
  evict: true,
});
/** Instead of a publish, whoever got no answer to his fence invalidates and unfences. */
export const unconfirmed = (protocol: Protocol): Protocol => ({
  ...protocol,
  name: `${protocol.name}, fences unconfirmed`,
  unconfirmed: true,
});
export const healed = (protocol: Protocol): Protocol => ({ ...protocol, name: `${protocol.name}, healed`, heal: true });
export const keyLoss = (protocol: Protocol): Protocol => ({
  ...protocol,
  name: `${protocol.name} / key loss`,
  evict: true,
  loss: true,
});
