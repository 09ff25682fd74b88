/** From `atMs` on the zone's clocks are this far ahead of UTC. */
export interface ZoneOffset {
  readonly atMs: number;
  readonly minutes: number;
}

/** Zones change their clocks at some quarter of an hour of UTC. */
export const QUARTER_MS = 900_000;
/** Less than two changes of one zone lie apart. */
const STRIDE_MS = 7 * 86_400_000;

/** Both times are whole quarters. */
export interface Span {
  readonly fromMs: number;
  readonly toMs: number;
}

/** The offsets in a span: the first one, and each one that follows with the quarter of an hour from which it holds. */
export type Offsets = (span: Span) => ZoneOffset[];

/** The offsets of a zone as ICU knows them. Undefined: ICU does not know the zone. */
export function icuOffsets(zone: string): Offsets | undefined {
  const minutesAt = offsetsOf(zone);
  return minutesAt && ((span) => offsetsIn(span, minutesAt));
}

function offsetsIn({ fromMs, toMs }: Span, minutesAt: (atMs: number) => number): ZoneOffset[] {
  const found: ZoneOffset[] = [{ atMs: fromMs, minutes: minutesAt(fromMs) }];
  for (let lowMs = fromMs; lowMs < toMs; lowMs += STRIDE_MS) {
    const highMs = Math.min(lowMs + STRIDE_MS, toMs);
    const minutes = minutesAt(highMs);
    if (minutes === minutesAt(lowMs)) continue;
    found.push({ atMs: firstQuarter(lowMs, highMs, (atMs) => minutesAt(atMs) === minutes), minutes });
  }
  return found;
}

/** The first quarter after `lowMs` at which it is so; it is so at `highMs`. */
function firstQuarter(lowMs: number, highMs: number, isSo: (atMs: number) => boolean): number {
  let [before, after] = [lowMs / QUARTER_MS, highMs / QUARTER_MS];
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (isSo(middle * QUARTER_MS)) after = middle;
    else before = middle;
  }
  return after * QUARTER_MS;
}

function offsetsOf(zone: string): ((atMs: number) => number) | undefined {
  // Intl also takes offsets such as +02:00, which know no summer time.
  if (!/^[A-Za-z]/.test(zone)) return undefined;
  try {
    const format = new Intl.DateTimeFormat('en-US', { timeZone: zone, timeZoneName: 'longOffset' });
    return (atMs) => {
      const name = format.formatToParts(atMs).find(({ type }) => type === 'timeZoneName')?.value ?? '';
      const [, sign, hours = '0', minutes = '0'] = /^GMT(?:([+-])(\d\d):(\d\d))?/.exec(name) ?? [];
      return (sign === '-' ? -1 : 1) * (Number(hours) * 60 + Number(minutes));
    };
  } catch {
    return undefined;
  }
}
