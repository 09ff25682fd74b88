import { LRUCache } from 'lru-cache';
import type { BusinessCalendar } from '#kernel/business-day.js';
import { ProblemError } from '#kernel/problem.js';
import { icuOffsets, type Offsets, QUARTER_MS, type ZoneOffset } from '#kernel/time-zone.js';

/** What tells a merchant's days. */
export interface MerchantClock {
  /** IANA name: the zone that it was opened in. */
  readonly timeZone: string;
  /** `HH:MM` */
  readonly cutoff: string;
  /** Later zones, oldest first; -Infinity: for all days. */
  readonly later: readonly { readonly fromMs: number; readonly timeZone: string }[];
}

/** Most merchants are in few zones, and all of a night ask for the same days. */
const REMEMBERED_ZONES = 1_000;
const REMEMBERED_SPANS = 1_000;

const zones = new LRUCache<string, Offsets>({ max: REMEMBERED_ZONES });

/** Throws `invalid_transition` where a zone is unknown, so that no day can be reckoned. */
export function calendarOf({ timeZone, cutoff, later }: MerchantClock): BusinessCalendar {
  const first = { fromMs: -Infinity, timeZone };
  const all = later.some(({ fromMs }) => fromMs === -Infinity) ? later : [first, ...later];
  const known = all.map(({ fromMs, timeZone: zone }) => ({ fromMs, offsets: offsetsOf(zone) }));
  const [only] = known;
  return { offsets: known.length === 1 && only ? only.offsets : oneAfterAnother(known), cutoff };
}

function offsetsOf(zone: string): Offsets {
  let offsets = zones.get(zone);
  if (!offsets) {
    const icu = icuOffsets(zone);
    if (!icu) throw new ProblemError('invalid_transition', `No day can be reckoned in the time zone ${zone}.`);
    offsets = remembered(icu);
    zones.set(zone, offsets);
  }
  return offsets;
}

function remembered(offsets: Offsets): Offsets {
  const spans = new LRUCache<string, ZoneOffset[]>({ max: REMEMBERED_SPANS });
  return (span) => {
    const name = `${span.fromMs}:${span.toMs}`;
    let found = spans.get(name);
    if (!found) {
      found = offsets(span);
      spans.set(name, found);
    }
    return found;
  };
}

/** Each zone's offsets from its beginning until the next one's. */
function oneAfterAnother(known: readonly { fromMs: number; offsets: Offsets }[]): Offsets {
  return (span) =>
    known.flatMap(({ fromMs, offsets }, index) => {
      const untilMs = known[index + 1]?.fromMs ?? Infinity;
      if (fromMs > span.toMs || untilMs <= span.fromMs) return [];
      const firstMs = Math.max(fromMs, span.fromMs);
      const toMs = Math.ceil(Math.min(untilMs, span.toMs) / QUARTER_MS) * QUARTER_MS;
      return offsets({ fromMs: Math.floor(firstMs / QUARTER_MS) * QUARTER_MS, toMs })
        .filter(({ atMs }) => atMs < untilMs)
        .map(({ atMs, minutes }) => ({ atMs: Math.max(atMs, firstMs), minutes }));
    });
}
