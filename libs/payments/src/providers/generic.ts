import { type Clocks, type Delivery, jsonOf } from '#platform/signatures.js';
import { keyOfSecret, refusalOf } from '#platform/standard-webhooks.js';
import { readGenericEvent } from './generic-event.js';
import type { Provider, Told, Translation, Verdict } from './provider.js';
import { GENERIC_QUERY } from './queries.js';

/** As many as POST /v1/provider_events/batch takes. */
const MAX_EVENTS = 1_000;

function verifyStandard(delivery: Delivery, keys: readonly Buffer[], clocks: Clocks): Verdict {
  const reason = refusalOf(delivery, keys, clocks);
  return reason ? { accepted: false, reason } : { accepted: true, body: delivery.body, refused: 0 };
}

function translate(name: string, body: Buffer): Translation {
  const given = jsonOf(body);
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    return { unreadable: 'it is no JSON object' };
  if (!('events' in given)) return { told: [toldOf(name, given)] };
  const { events } = given;
  if (!Array.isArray(events) || events.length === 0 || events.length > MAX_EVENTS || Object.keys(given).length > 1) {
    return { unreadable: `events must be a list of 1 to ${MAX_EVENTS}, and stand alone` };
  }
  return { told: events.map((event) => toldOf(name, event)) };
}

function toldOf(name: string, given: unknown): Told {
  const event = readGenericEvent(given);
  if (typeof event === 'string') return { what: 'an event', ignored: event };
  const { fact, paymentRef, provider } = event;
  if (provider !== undefined && provider !== name)
    return { what: fact.type, ignored: `it is of another provider than ${name}` };
  return { what: fact.type, paymentRef, eventId: fact.id, fact };
}

/** Any provider that is made to speak the contract's own form. */
export function genericProvider(name: string): Provider {
  return {
    secretForm: 'a secret of Standard Webhooks: whsec_ and the base64 of 24 to 64 bytes',
    keyOf: keyOfSecret,
    verify: verifyStandard,
    translate: (body) => translate(name, body),
    query: GENERIC_QUERY,
  };
}
