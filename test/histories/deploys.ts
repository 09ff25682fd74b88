import type { Interval } from './history.js';
import type { Sent } from './http.js';

/** How long after SIGTERM an API takes new connections (SHUTDOWN_DELAY_MS), and when a balancer has noticed that it is to go. */
export const DELAY_MS = 600;
export const NOTICED_MS = 250;

/** From the signal to an API until its end. */
export interface Ending extends Interval {
  readonly name: string;
  readonly url: string;
  readonly signal: NodeJS.Signals;
}

export interface Broken {
  /** Requests that were with an API that had been told to stop, and were answered. */
  readonly answered: number;
  readonly offences: readonly { readonly at: number; readonly text: string }[];
}

/**
 * A deploy fails no request: what is sent to an API until SHUTDOWN_DELAY_MS after SIGTERM is answered, unless its client gives it up
 * first; later ones may be refused. Nor does an API break off any that is neither told to stop nor killed.
 */
export function judgeDeploys(sent: readonly Sent[], endings: readonly Ending[]): Broken {
  const byUrl = Map.groupBy(endings, ({ url }) => url);
  let answered = 0;
  const offences: Broken['offences'][number][] = [];
  for (const one of sent) {
    // Its port may have been another's before, and be another's since.
    const ending = byUrl.get(new URL(one.url).origin)?.find(({ from, to }) => from <= one.to && one.from <= to);
    if (one.outcome === 'answered' && ending?.signal === 'SIGTERM') answered += 1;
    if (one.outcome !== 'broken') continue;
    if (ending && (ending.signal !== 'SIGTERM' || one.from >= ending.from + DELAY_MS)) continue;
    const when = ending
      ? `${ending.name} was told to stop at ${at(ending.from)}, ended at ${at(ending.to)}`
      : 'its API lived';
    const text = `${one.url}, sent at ${at(one.from)}, broke at ${at(one.to)} (${one.error}); ${when}`;
    offences.push({ at: one.to, text });
  }
  return { answered, offences };
}

const at = (ms: number): string => ms.toFixed(0);
